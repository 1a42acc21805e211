import builtins

import pytest

from appliance.engines.fake import FakeRecognizer
from appliance.engines.registry import DETECTORS, ENGINES, EngineError, ModelSpec, detector, load
from appliance.packs.store import embedded


def spec(engine, path=None, **more):
    return ModelSpec(name="mine", engine=engine, language="en", path=path, **more)


def test_an_unknown_engine_is_told_with_those_there_are():
    with pytest.raises(EngineError, match=r"'whisper'.*vosk, pocketsphinx"):
        load(spec("whisper"))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_library_is_told_with_what_to_install(engine, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == engine:
            raise ModuleNotFoundError(f"No module named {engine!r}", name=engine)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EngineError, match=f"library of the engine {engine} is missing.*pip install {engine}"):
        load(spec(engine, str(embedded()["kiosk-words"])))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_folder(engine, tmp_path):
    with pytest.raises(EngineError, match=r"(?s)the model mine cannot be used.*absent.*appliance models verify mine"):
        load(spec(engine, str(tmp_path / "absent")))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("files", [{}, {"am/final.mdl": b"nonsense", "conf/mfcc.conf": b"", "conf/model.conf": b""}])
def test_a_broken_model(engine, files, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError, match=r"(?s)the model mine cannot be used.*could not read the model"):
        load(spec(engine, str(tmp_path)))


def test_an_engine_without_a_model_of_its_own_says_so():
    with pytest.raises(EngineError, match="mine"):
        load(spec("vosk"))


def test_the_fake_engine_and_its_script():
    recognizer = load(spec("fake", script='{"words": ["ja"], "sessions_per_worker": 2}'))
    assert isinstance(recognizer, FakeRecognizer)
    assert (recognizer.capabilities.model, recognizer.capabilities.sessions_per_worker) == ("mine", 2)


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name):
    model = detector(name)
    assert model.frame == model.stream().frame == 512
