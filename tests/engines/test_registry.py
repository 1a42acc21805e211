import subprocess
import sys

import pytest

from appliance.engines.fake import FakeRecognizer
from appliance.engines.registry import DETECTORS, ENGINES, LIBRARIES, EngineError, ModelSpec, detector, load

WITHOUT = """
import sys
engine, library, folder = sys.argv[1:]
sys.modules[library] = None
from appliance.engines.registry import EngineError, ModelSpec, load
try:
    load(ModelSpec(name="mine", engine=engine, language="en", path=folder))
except EngineError as error:
    print(error)
"""
BROKEN = {
    "vosk": {"am/final.mdl": b"nonsense", "conf/mfcc.conf": b"", "conf/model.conf": b""},
    "whisper": {"model.bin": b"nonsense", "config.json": b"{}", "tokenizer.json": b"{}", "vocabulary.json": b"[]"},
}
REASONS = {"vosk": "could not read the model", "whisper": "model.bin|tokenizer.json"}


def spec(engine, path=None, **more):
    return ModelSpec(name="mine", engine=engine, language="en", path=path, **more)


def test_load_unknown_engine_names_the_known_ones():
    with pytest.raises(EngineError, match=r"'kaldi'.*whisper, vosk"):
        load(spec("kaldi"))


@pytest.mark.parametrize(
    ("engine", "library"), [(engine, library) for engine in ENGINES for library in LIBRARIES[engine].split()]
)
def test_load_without_library_says_what_to_install(engine, library, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, engine, library, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert f"library of the engine {engine} is missing" in done.stdout, done.stderr
    assert f"pip install {LIBRARIES[engine]}" in done.stdout


@pytest.mark.parametrize("engine", ENGINES)
def test_load_missing_folder_raises_engine_error(engine, tmp_path):
    with pytest.raises(EngineError, match=r"(?s)the model mine cannot be used.*absent.*appliance models verify mine"):
        load(spec(engine, str(tmp_path / "absent")))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("empty", [True, False])
def test_load_broken_folder_raises_engine_error(engine, empty, tmp_path):
    for name, content in {} if empty else BROKEN[engine].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError, match=rf"(?s)the model mine cannot be used.*({REASONS[engine]})"):
        load(spec(engine, str(tmp_path)))


@pytest.mark.parametrize("engine", ENGINES)
def test_load_without_path_names_the_model(engine):
    with pytest.raises(EngineError, match="mine"):
        load(spec(engine))


def test_the_fake_engine_and_its_script():
    recognizer = load(spec("fake", script='{"words": ["ja"], "sessions_per_worker": 2}'))
    assert isinstance(recognizer, FakeRecognizer)
    assert (recognizer.capabilities.model, recognizer.capabilities.sessions_per_worker) == ("mine", 2)


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name):
    model = detector(name)
    assert model.frame == model.stream().frame == 512
