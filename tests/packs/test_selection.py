from pathlib import Path

import pytest

from appliance.engines.registry import EngineError
from appliance.packs.selection import EMBEDDED, select
from appliance.packs.store import Installed

US = ("vosk-model-small-en-us-0.15", "vosk", "en")
GB = ("vosk-model-small-en-gb-0.15", "vosk", "en")
HINDI = ("vosk-model-small-hi-0.22", "vosk", "hi")
GERMAN = ("vosk-model-small-de-0.15", "vosk", "de")
WHISPER = (EMBEDDED, "whisper", "en")
KIOSK = ("kiosk-words", "vosk", "en")
SOFTWARE = (KIOSK, WHISPER)
OF_LANGUAGE = "no installed model fits engine {} and language {}"


class Shelf:
    """A store with these packs."""

    def __init__(self, *packs):
        self._packs = packs

    def installed(self):
        return [Installed(*pack, Path("/packs", pack[0]), "", 1) for pack in self._packs]


@pytest.mark.parametrize(
    ("packs", "asked", "names"),
    [
        # what is installed goes before what came with the software, and that before the kiosk's few words
        (SOFTWARE, {}, [EMBEDDED]),
        ((*SOFTWARE, US), {}, [US[0]]),
        ((*SOFTWARE, GB, US), {}, [GB[0]]),
        ((KIOSK,), {}, ["kiosk-words"]),
        ((*SOFTWARE, GB, US), {"suited": US[0]}, [US[0]]),
        ((*SOFTWARE, GB), {"suited": US[0]}, [GB[0]]),
        # one for every other language
        ((*SOFTWARE, GERMAN, HINDI, US), {}, [GERMAN[0], EMBEDDED, HINDI[0]]),
        ((*SOFTWARE, HINDI), {"language": "en"}, [EMBEDDED, HINDI[0]]),
        ((*SOFTWARE, HINDI, US), {"language": "hi"}, [HINDI[0], EMBEDDED]),
        ((KIOSK, HINDI), {"language": "hi"}, [HINDI[0]]),
        # an engine
        ((*SOFTWARE, US, HINDI), {"engine": "whisper"}, [EMBEDDED]),
        (SOFTWARE, {"engine": "vosk"}, ["kiosk-words"]),
        ((*SOFTWARE, US, HINDI), {"engine": "vosk"}, [US[0], HINDI[0]]),
        # a model
        ((*SOFTWARE, US), {"model": "kiosk-words"}, ["kiosk-words"]),
        ((*SOFTWARE, US), {"model": EMBEDDED}, [EMBEDDED]),
        ((*SOFTWARE, GERMAN, HINDI), {"model": HINDI[0]}, [HINDI[0], EMBEDDED, GERMAN[0]]),
    ],
)
def test_which_models_are_loaded(packs, asked, names):
    assert [model.name for model in select(Shelf(*packs), **asked).models] == names


@pytest.mark.parametrize(
    ("packs", "asked", "why"),
    [
        ((*SOFTWARE, US), {}, "it is installed"),
        ((*SOFTWARE, US), {"suited": US[0]}, "it is installed and suits this board"),
        (SOFTWARE, {}, "no Vosk model is installed, and this one came with the software"),
        (SOFTWARE, {"model": EMBEDDED}, "it was asked for"),
    ],
)
def test_it_says_why(packs, asked, why):
    assert select(Shelf(*packs), **asked).why == why


@pytest.mark.parametrize(
    ("packs", "asked", "message"),
    [
        ((), {}, OF_LANGUAGE.format("auto", "auto")),
        (SOFTWARE, {"language": "hi"}, OF_LANGUAGE.format("auto", "hi")),
        ((HINDI,), {"engine": "whisper"}, OF_LANGUAGE.format("whisper", "auto")),
        (SOFTWARE, {"model": "absent"}, "the model absent is not installed; see: appliance models list"),
        (SOFTWARE, {"model": EMBEDDED, "engine": "vosk"}, f"the model {EMBEDDED} is not installed"),
    ],
)
def test_what_is_not_there_is_an_error(packs, asked, message):
    with pytest.raises(EngineError, match=message):
        select(Shelf(*packs), **asked)


def test_where_a_model_is():
    chosen = {model.name: model for model in select(Shelf(*SOFTWARE, GERMAN)).models}
    assert (chosen[GERMAN[0]].engine, chosen[GERMAN[0]].path) == ("vosk", f"/packs/{GERMAN[0]}")
    assert (chosen[EMBEDDED].engine, chosen[EMBEDDED].path) == ("whisper", f"/packs/{EMBEDDED}")


@pytest.mark.parametrize(
    ("asked", "engine", "language"),
    [({}, "vosk", "en"), ({"language": "hi"}, "vosk", "hi"), ({"engine": "whisper"}, "whisper", "en")],
)
def test_a_folder_is_taken_as_a_model(tmp_path, asked, engine, language):
    folder = tmp_path / "my-model"
    folder.mkdir()
    first = select(Shelf(*SOFTWARE), model=str(folder), **asked).models[0]
    assert (first.name, first.path) == ("my-model", str(folder.resolve()))
    assert (first.engine, first.language) == (engine, language)
