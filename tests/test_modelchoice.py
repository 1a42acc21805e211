"""The models of a device with real packs, and figures of calibration in its state directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from appliance import modelchoice
from appliance.board.detect import Profile
from appliance.config import load
from appliance.engines.registry import EngineError
from appliance.packs.choice import Cost
from appliance.packs.selection import EMBEDDED, Selection
from appliance.scheduling import cores, figures
from appliance.scheduling.figures import Figure, Figures
from tests.packs.publisher import folder
from tests.packs.whisper import WHISPER

OTHER = "faster-whisper-base.en"
BOARD = Profile(name="test", title="A board", models=(OTHER, EMBEDDED))


@pytest.fixture
def config(tmp_path: Path):
    folder(tmp_path / "models" / OTHER, WHISPER)
    return load(None, {"server": {"state_dir": str(tmp_path)}, "recognizer": {"models_dir": str(tmp_path / "models")}})


def keep(config, selection: Selection, cost: float, machine: str = BOARD.title) -> None:
    """Figures as calibration keeps them for every candidate; the embedded model is fast."""
    usable = cores.usable()
    kept = {
        spec.name: Figure(
            fingerprint=figures.fingerprint(spec, machine, usable), cost=0.05 if spec.name == EMBEDDED else cost
        )
        for spec in selection.candidates
    }
    figures.save(config.state_dir / figures.FILE, Figures(machine=machine, cores=usable, models=kept))


def test_without_figures_the_most_accurate_is_taken(config):
    found = modelchoice.chosen(config, BOARD)
    assert [spec.name for spec in found.models] == [OTHER]
    assert [spec.name for spec in found.candidates] == [OTHER, EMBEDDED]


def test_a_model_that_was_too_slow_is_passed_over(config):
    keep(config, modelchoice.chosen(config, BOARD), 5.0)
    found = modelchoice.chosen(config, BOARD)
    assert found.models[0].name == EMBEDDED
    assert found.why.startswith(f"{OTHER} is too slow here: one stream takes 5.00 of ")


def test_a_model_that_was_fast_enough_stays(config):
    keep(config, modelchoice.chosen(config, BOARD), 0.2)
    assert modelchoice.chosen(config, BOARD).models[0].name == OTHER


def test_figures_of_another_machine_do_not_count(config):
    keep(config, modelchoice.chosen(config, BOARD), 5.0, machine="Another board")
    assert modelchoice.chosen(config, BOARD).models[0].name == OTHER


def test_figures_of_a_model_that_was_replaced_do_not_count(config):
    keep(config, modelchoice.chosen(config, BOARD), 5.0)
    (config.models_dir / OTHER / "config.json").write_text("{}")
    assert modelchoice.chosen(config, BOARD).models[0].name == OTHER


def test_a_model_that_is_asked_for_is_taken_however_slow(config):
    keep(config, modelchoice.chosen(config, BOARD), 5.0)
    asked = structs.replace(config, recognizer=structs.replace(config.recognizer, model=OTHER))
    assert modelchoice.chosen(asked, BOARD).models[0].name == OTHER


def test_what_is_not_installed_is_an_error(config):
    asked = structs.replace(config, recognizer=structs.replace(config.recognizer, model="nope"))
    with pytest.raises(EngineError, match="nope is not installed"):
        modelchoice.chosen(asked, BOARD)


@pytest.mark.parametrize(
    ("costs", "told"),
    [
        ({OTHER: 0.2}, ""),
        ({OTHER: 0.2, EMBEDDED: 0.05}, ""),
        ({}, ""),
        ({OTHER: 5.0}, f"; the next start takes {EMBEDDED}"),
        ({OTHER: 5.0, EMBEDDED: 9.0}, ""),
    ],
)
def test_a_note_tells_what_the_next_start_takes(config, costs, told):
    measured = {name: Figure(fingerprint="x", cost=cost) for name, cost in costs.items()}
    note = modelchoice.too_slow_note(modelchoice.chosen(config, BOARD), measured, config)
    assert note.endswith(told)
    assert bool(note) == bool(told)


@pytest.mark.parametrize(("provisional", "final_s"), [(False, 2.5), (True, 0.0)])
def test_elapsed_time_on_a_busy_machine_does_not_count(provisional, final_s):
    figure = Figure(fingerprint="x", cost=0.3, final_s=2.5, provisional=provisional)
    assert modelchoice.cost_of(figure) == Cost(0.3, final_s)


def test_a_single_candidate_needs_no_note(config):
    only = structs.replace(modelchoice.chosen(config, BOARD), candidates=())
    assert modelchoice.too_slow_note(only, {OTHER: Figure(fingerprint="x", cost=9.0)}, config) == ""
