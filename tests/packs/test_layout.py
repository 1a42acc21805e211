import json

import pytest

from appliance.packs import store as packs
from appliance.packs.layout import engine_of, problems_of
from appliance.packs.store import PackError, Store
from appliance.packs.weights import weights_problem
from tests.packs.publisher import MODEL, folder, zipped
from tests.packs.whisper import WHISPER, weights


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        (WHISPER, "whisper"),
        (["model.bin"], "whisper"),
        (["tokenizer.json", "config.json"], "whisper"),
        (["config.json", "README.md", "vocabulary.json"], "whisper"),
        (MODEL, "vosk"),
        ([], "vosk"),
    ],
)
def test_the_files_tell_the_engine(names, engine):
    assert engine_of(list(names)) == engine


def test_a_complete_whisper_folder_has_no_problems(tmp_path):
    assert problems_of("whisper", folder(tmp_path, WHISPER)) == []


def test_both_vocabularies_are_accepted(tmp_path):
    files = {name: content for name, content in WHISPER.items() if name != "vocabulary.txt"}
    assert problems_of("whisper", folder(tmp_path, {**files, "vocabulary.json": b"[]"})) == []


def test_the_embedded_model_has_no_problems():
    assert problems_of("whisper", packs.embedded()["whisper-tiny-en"]) == []


@pytest.mark.parametrize("name", WHISPER)
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_missing_or_empty_file_is_named(tmp_path, name, how):
    files = dict(WHISPER)
    if how == "missing":
        del files[name]
    else:
        files[name] = b""
    [problem] = problems_of("whisper", folder(tmp_path, files))
    assert name in problem
    assert how in problem


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_json_that_is_none_is_named(tmp_path, name):
    [problem] = problems_of("whisper", folder(tmp_path, {**WHISPER, name: b"<html>Please log in</html>"}))
    assert problem.startswith(f"{name} cannot be read: ")


def test_an_unknown_engine_is_a_problem(tmp_path):
    assert problems_of("pocket", tmp_path) == ["there is no engine called 'pocket'"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (weights(), ""),
        (weights(version=7), ""),
        (weights()[:-1], "is truncated: it ends after"),
        (weights()[:-20], "is truncated"),
        (weights()[:1_100_000], "is truncated"),
        (weights()[:1000], "has 1000 bytes; a Whisper model has 1000000 at least"),
        (weights() + b"x", "is damaged: 1 bytes follow the weights"),
        (weights(name=b"TransformerSpec\0"), "holds a 'TransformerSpec'; a Whisper model is a 'WhisperSpec'"),
        (weights().replace(b"\3\0\0\0\2\0\0\0", b"\3\0\0\0\0\0\0\x70", 1), "is damaged: it lists 1879048192 variables"),
        (b"\6\0\0\0\xff\xff" + bytes(1_000_000), "holds a"),
    ],
)
def test_weights_are_checked_without_loading_them(tmp_path, content, problem):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    assert weights_problem(path).startswith(problem)
    assert bool(weights_problem(path)) == bool(problem)


class TestInstall:
    @pytest.fixture
    def store(self, tmp_path):
        return Store(tmp_path / "models")

    @pytest.mark.parametrize(
        ("name", "language"), [("my-whisper.en", "en"), ("my-whisper-en", "en"), ("my-whisper", "mul")]
    )
    def test_the_engine_of_a_zip_is_found(self, store, tmp_path, name, language):
        (tmp_path / f"{name}.zip").write_bytes(zipped(WHISPER))
        found = store.install(str(tmp_path / f"{name}.zip"), progress=lambda done, total: None)
        assert (found.engine, found.language, found.context.shortest_s) == ("whisper", language, 12.0)
        assert store.verify(found.name) == []

    def test_a_folder_put_there_by_hand_counts(self, store, tmp_path):
        folder(tmp_path / "models" / "whisper-own", WHISPER)
        [found] = [pack for pack in store.installed() if pack.name == "whisper-own"]
        assert (found.engine, found.language) == ("whisper", "mul")

    def test_the_context_of_a_record_is_carried_on(self, store, tmp_path):
        record = {"name": "x", "engine": "whisper", "language": "en", "licence": "", "source": ""}
        context = {"shortest_s": 0.0, "margin_s": 1.0}
        text = json.dumps({**record, "context": context}).encode()
        source = folder(tmp_path / "own.en", {**WHISPER, "appliance-pack.json": text})
        found = store.install(str(source), progress=lambda done, total: None)
        assert (found.context.shortest_s, found.context.margin_s) == (0.0, 1.0)

    @pytest.mark.parametrize("packed", [True, False])
    def test_truncated_weights_are_refused(self, store, tmp_path, packed):
        files = {**WHISPER, "model.bin": weights()[:-100]}
        source = tmp_path / "own.zip" if packed else folder(tmp_path / "own", files)
        if packed:
            source.write_bytes(zipped(files))
        with pytest.raises(PackError, match=r"own.* cannot be used: model\.bin is truncated"):
            store.install(str(source), progress=lambda done, total: None)
        assert "own" not in store.names()
