"""How many streams fit on this machine, measured as the box measures itself; and whether what it promises holds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from appliance.bench.overload import Overload, Strain, overload, small_box, strain, talk
from appliance.bench.plan import CLOSED, FREE, KIOSK, WHISPER, Plan, Row, Tell
from appliance.bench.quota import NoQuota, quota
from appliance.engines.registry import ModelSpec
from appliance.scheduling.calibrate import calibrate
from appliance.scheduling.messages import Plan as Load
from appliance.scheduling.pool import Pool
from appliance.scheduling.settings import Settings

QUOTAS = {"whisper": 0.5, "vosk": 0.5}
"""Cores left to the box while more is asked of it than fits, so that a small number of clients is too many."""
LATE_S = 0.3
"""A final in a full box may be so much later than the same in an empty one."""
TOLD_S = 0.3
"""Three of the periods in which a quota stops everyone, the event loop included."""


async def capacity(plan: Plan, tell: Tell) -> None:
    """Cost and room of each model; then three times as many clients as fit, and a box that is left with too little."""
    for model, groups in ((WHISPER, FREE), (KIOSK, CLOSED[:3])):
        await _cost(model, tell)
        sentences = talk(plan.clips(groups), plan.seconds)
        cores = QUOTAS[model.engine]
        try:
            with quota(cores) as limited:
                async with small_box(model.name, limited) as child:
                    _tell_overload(tell, model, cores, await overload(child, sentences))
                    _tell_strain(tell, model, await strain(child, sentences * 2, limited, cores))
        except NoQuota as error:
            tell(_row(f"overload, {model.name}: left out, {error}", 0.0))


async def _cost(model: ModelSpec, tell: Tell) -> None:
    from appliance import canary

    pool = Pool(Load(models=(model,)), Settings())
    await pool.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            await calibrate(pool, Path(folder) / "calibration.json", canary.load().samples, "bench")
        tell(_row(f"cost of a stream, {model.name}", pool.costs[model.name], "cores"))
        tell(_row(f"streams that fit, {model.name}", pool.budget.free(pool.models[model.name])))
        tell(_row(f"to measure that took, {model.name}", time.monotonic() - began, "s"))
    finally:
        await pool.close()


def _tell_overload(tell: Tell, model: ModelSpec, cores: float, found: Overload) -> None:
    where = f"{model.name} on {cores} cores, {found.offered} streams offered"
    tell(_row(f"{where}: let in", found.admitted, f"of {found.fits}", found.admitted == found.fits))
    for name, value in (("p50", found.late_p50), ("p95", found.late_p95), ("worst", found.late_max)):
        good = value <= LATE_S if name != "p50" else None
        tell(_row(f"{where}: finals later than alone, {name}", 1000 * value, "ms", good, 1000 * LATE_S))
    good = found.refused_max <= TOLD_S
    tell(_row(f"{where}: refusal after dialling, worst", 1000 * found.refused_max, "ms", good, 1000 * TOLD_S))


def _tell_strain(tell: Tell, model: ModelSpec, found: Strain) -> None:
    where = f"{model.name}, left with too little"
    tell(_row(f"{where}: highest level of easing", found.highest, "of 3"))
    tell(_row(f"{where}: first step after", found.first_step_s, "s"))
    tell(_row(f"{where}: steps, there and back", found.steps))
    tell(_row(f"{where}: all taken back after the end of it", found.back_s, "s", found.back_s < float("inf")))
    tell(_row(f"{where}: streams cut off", found.cut_off, "", found.cut_off == 0))


def _row(what: str, value: float, unit: str = "", good: bool | None = None, aim: float | None = None) -> Row:
    return Row(what, value, unit, "" if aim is None else f"<= {aim:.0f}", good)
