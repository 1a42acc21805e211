"""What one stream of each model costs on this machine, measured in the workers that will do the work.

As many workers measure at once as there are cores or more, with several streams in turn if they may hold them: caches
and memory are shared. The worst worker counts. Each stream hears a phrase over and over without a pause, as nobody
speaks for long, and with noise under it, because a recogniser is two to four times faster on a clean synthetic voice
than on people in a room (docs/capacity.md).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from appliance.core.events import RATE
from appliance.core.ports import Samples
from appliance.scheduling import figures
from appliance.scheduling.figures import Figure, Figures
from appliance.scheduling.messages import Measure, Measured
from appliance.scheduling.pool import Pool

log = logging.getLogger(__name__)

STREAMS = 8
"""In a worker that may hold several: with more of them a stream hardly costs more, with one it may cost half."""
MORE = 2
"""Workers beyond the cores, where each stream has one of its own: they take turns on a core, and its caches, too."""
SPEECH_S = 6.0
"""Of speech without a pause, at least; one phrase or a part of one more."""
QUIET_S = 4.0
CLEAN_LIMIT_S, SPEECH_LIMIT_S, QUIET_LIMIT_S = 30.0, 15.0, 5.0
"""A slow machine is not measured for longer; what it has done by then is what its cost is taken from."""
NOISE_DB = 25
"""Signal over noise at which the phrase costs what spontaneous speech does, with either engine."""
SILENT_SHARE = 0.02
"""Of the loudest 10 ms: what is below, before and after a phrase, is no part of it."""
OWN = 3.0
"""The daemon's own work for a stream, over what the worker spends on listening to silence (docs/performance.md)."""
IDLE = 0.8
"""Of the processor time there is for those that measure: with less, the machine was busy with other things."""
HELD = "measuring what this device can do"

Tell = Callable[[str], None]


async def calibrate(
    pool: Pool, path: Path, phrase: Samples, machine: str, on_progress: Tell = lambda what: None
) -> Figures:
    """Costs of the pool's models, from ``path`` if nothing has changed since, else measured; the pool admits by them.

    ``phrase`` is 16 kHz mono speech. Nobody is let in while it is measured; a pool that somebody else holds is held
    afterwards, too. A model that cannot be measured goes on with its adapter's guess.
    """
    specs = [spec for spec in pool.plan.models if spec.name in pool.models]
    kept = dict(await asyncio.to_thread(figures.load, path))
    cores = pool.usable
    prints = {spec.name: await asyncio.to_thread(figures.fingerprint, spec, machine, cores) for spec in specs}
    stale = [
        name
        for name, print_ in prints.items()
        if name not in kept or kept[name].fingerprint != print_ or kept[name].provisional
    ]
    before = pool.held
    pool.held = before or HELD
    try:
        for number, name in enumerate(stale, 1):
            on_progress(f"measuring {name} ({number} of {len(stale)})")
            try:
                kept[name] = await _measure(pool, name, prints[name], phrase)
            except OSError as error:  # a ConnectionError when a worker died of it
                kept.pop(name, None)
                log.error("%s could not be measured, its cost is a guess: %s", name, error)
    finally:
        pool.held = before
    found = Figures(machine=machine, cores=cores, models=kept)
    if stale:
        await asyncio.to_thread(figures.save, path, found)
    pool.price({name: kept[name].cost for name in prints if name in kept})
    _tell(pool)
    return found


async def _measure(pool: Pool, name: str, print_: str, phrase: Samples) -> Figure:
    """One clean run, which also warms up; speech; silence."""
    alone = pool.models[name].sessions_per_worker == 1
    streams = min(STREAMS, pool.models[name].sessions_per_worker)
    copies = pool.cores + MORE if alone else pool.cores
    limit_s = pool.settings.hang_s / 2

    async def run(samples: Samples, longest_s: float, streams: int = 1) -> list[Measured]:
        return await pool.measure(Measure(name, samples.tobytes(), min(longest_s, limit_s), streams), copies)

    clean = await run(phrase, CLEAN_LIMIT_S)
    speech = await run(continuous(phrase, SPEECH_S), SPEECH_LIMIT_S, streams)
    quiet = await run(room(QUIET_S), QUIET_LIMIT_S)
    whole = clean[0].audio_s >= len(phrase) / RATE
    share = had(speech, pool.usable)
    if share < IDLE:
        log.warning(
            "%s was measured while the machine was busy with other things (%.0f %% was left for it): "
            "it is measured again at the next start",
            name, 100 * share,
        )  # fmt: skip
    return Figure(
        fingerprint=print_,
        cost=cost(speech, quiet),
        final_s=round(max(run.final_s for run in speech), 3),  # the phrase's own final comes before its silent end
        heard=clean[0].text if whole else "",
        measured_at=round(time.time(), 1),
        provisional=share < IDLE,
    )


def cost(speech: Sequence[Measured], quiet: Sequence[Measured]) -> float:
    """Cores per stream, the daemon's own work for it included."""
    return rate(speech) + OWN * rate(quiet)


def rate(runs: Sequence[Measured]) -> float:
    """Processor seconds per second of audio of the worst run."""
    return max(run.cpu_s / max(run.audio_s, 0.1) for run in runs)


def had(runs: Sequence[Measured], cores: float) -> float:
    """The share they had, on average, of the processor time that so many at once can have on so many cores."""
    wall_s = sum(run.wall_s for run in runs)
    return sum(run.cpu_s for run in runs) / wall_s / min(1.0, cores / len(runs)) if wall_s else 1.0


def continuous(phrase: Samples, seconds: float) -> Samples:
    """The phrase without the silence around it, over and over in light noise, for at least so long."""
    spoken = trimmed(phrase)
    speech = np.tile(spoken, int(np.ceil(seconds * RATE / len(spoken)))).astype(np.float64)
    level = np.sqrt(np.mean(speech**2)) * 10 ** (-NOISE_DB / 20)
    speech += np.random.default_rng(0).normal(0, level, len(speech))
    return np.clip(speech, -32_768, 32_767).astype(np.int16)


def trimmed(phrase: Samples) -> Samples:
    """From the first to the last 10 ms that are not silent; all of it when nothing is."""
    blocks = np.abs(phrase[: len(phrase) // 160 * 160].reshape(-1, 160).astype(np.int32)).max(axis=1)
    loud = np.flatnonzero(blocks > SILENT_SHARE * blocks.max(initial=0))
    return phrase[loud[0] * 160 : (loud[-1] + 1) * 160] if len(loud) else phrase


def room(seconds: float) -> Samples:
    """A quiet room: noise at -66 dBFS, the same every time."""
    return np.random.default_rng(0).normal(0, 16, int(seconds * RATE)).astype(np.int16)


def _tell(pool: Pool) -> None:
    costs: Mapping[str, float] = pool.costs
    for name, model in pool.models.items():
        log.info("%s: %.3f cores per stream, %d streams fit", name, costs[name], pool.budget.free(model))
        if costs[name] > pool.budget.limit:
            log.warning(
                "%s is too slow for this machine, one stream is let in all the same: it takes %.2f of %.2f cores",
                name, costs[name], pool.budget.limit,
            )  # fmt: skip
