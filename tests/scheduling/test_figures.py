import os

import msgspec
import pytest

from appliance.engines.registry import LIBRARIES, Context, ModelSpec
from appliance.scheduling import figures
from appliance.scheduling.figures import Figure, Figures

FOUND = Figures(
    machine="a board",
    cores=4.0,
    models={"kiosk": Figure(fingerprint="12ab", cost=0.125, heard="one two", measured_at=1_700_000_000.5)},
)


def model(tmp_path, **changes):
    folder = tmp_path / "model"
    (folder / "am").mkdir(parents=True, exist_ok=True)
    file = folder / "am" / "final.mdl"
    if not file.exists():
        file.write_bytes(b"weights")
        os.utime(file, ns=(1, 1))
    return ModelSpec(**{"name": "kiosk", "engine": "vosk", "language": "en", "path": str(folder), **changes})


def test_what_is_kept_comes_back(tmp_path):
    path = tmp_path / "new" / "calibration.json"
    figures.save(path, FOUND)
    assert figures.load(path) == FOUND.models
    assert os.listdir(path.parent) == [path.name]
    kept = msgspec.json.decode(path.read_bytes())
    assert kept == {
        "machine": "a board",
        "cores": 4.0,
        "models": {"kiosk": {"fingerprint": "12ab", "cost": 0.125, "heard": "one two", "measured_at": 1_700_000_000.5}},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"machine": "a"}',
        '{"machine": "a", "cores": 1, "models": {"m": {}}}',
        "\xff\xfe",
        '{"machine": "a", "cores": 1, "models": {"m": {"fingerprint": "f", "cost": "cheap"}}}',
    ],
)
def test_what_cannot_be_understood_is_measured_again(tmp_path, caplog, text):
    path = tmp_path / "calibration.json"
    path.write_bytes(text.encode("latin-1"))
    assert figures.load(path) == {}
    assert "measuring again" in caplog.text


@pytest.mark.parametrize("cost", [0, -1])
def test_a_cost_that_none_can_have_is_no_cost(tmp_path, cost):
    path = tmp_path / "calibration.json"
    figures.save(path, Figures(machine="", cores=1, models={"m": Figure(fingerprint="f", cost=cost)}))
    assert figures.load(path) == {}


def test_no_file_is_no_trouble(tmp_path, caplog):
    assert figures.load(tmp_path / "calibration.json") == {}
    assert not caplog.records


def test_what_cannot_be_written_is_said_and_no_more(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    figures.save(tmp_path / "file" / "calibration.json", FOUND)
    assert "cannot be kept" in caplog.text


def test_a_fingerprint_stays_while_nothing_changes(tmp_path):
    one = figures.fingerprint(model(tmp_path), "board", 4.0)
    assert one == figures.fingerprint(model(tmp_path), "board", 4.0)
    assert len(one) == 16


@pytest.mark.parametrize(
    "change", ["size", "time", "more", "name", "engine", "machine", "cores", "inside", "context", "share"]
)
def test_it_changes_with_everything_that_may_change_a_cost(tmp_path, change):
    before = figures.fingerprint(model(tmp_path), "board", 4.0)
    file = tmp_path / "model" / "am" / "final.mdl"
    spec, machine, cores = model(tmp_path), "board", 4.0
    match change:
        case "size":
            file.write_bytes(b"other weights")
            os.utime(file, ns=(1, 1))
        case "time":
            os.utime(file, ns=(2, 2))
        case "more":
            (file.parent / "tree").write_bytes(b"")
        case "name":
            spec = model(tmp_path, name="other")
        case "engine":
            spec = model(tmp_path, engine="whisper")
        case "machine":
            machine = "other board"
        case "cores":
            cores = 2.0
        case "context":
            spec = model(tmp_path, context=Context(shortest_s=0.0))
        case "share":
            spec = model(tmp_path, partial_share=0.5)
        case "inside":
            spec = model(tmp_path, path=None)
    assert figures.fingerprint(spec, machine, cores) != before


@pytest.mark.parametrize("engine", LIBRARIES)
def test_fingerprint_changes_with_each_library_of_the_engine(tmp_path, monkeypatch, engine):
    versions = dict.fromkeys(" ".join(LIBRARIES.values()).split(), "1.0")
    monkeypatch.setattr(figures, "_version", lambda name: versions.get(name, ""))
    seen = {figures.fingerprint(model(tmp_path, engine=engine), "board", 4.0)}
    for name in versions:
        versions[name] = "2.0"
        seen.add(figures.fingerprint(model(tmp_path, engine=engine), "board", 4.0))
    assert len(seen) == 1 + len(LIBRARIES[engine].split())


def test_fingerprint_without_the_library_is_one_too(tmp_path, monkeypatch):
    def absent(name):
        raise figures.metadata.PackageNotFoundError(name)

    before = figures.fingerprint(model(tmp_path), "board", 4.0)
    monkeypatch.setattr(figures.metadata, "version", absent)
    assert figures.fingerprint(model(tmp_path), "board", 4.0) != before
