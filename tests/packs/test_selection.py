from pathlib import Path

import pytest

from appliance.engines.registry import Context, EngineError
from appliance.packs.choice import Cost
from appliance.packs.selection import EMBEDDED, select
from appliance.packs.store import Installed

US = ("vosk-model-small-en-us-0.15", "vosk", "en")
GB = ("vosk-model-small-en-gb-0.15", "vosk", "en")
LGRAPH = ("vosk-model-en-us-0.22-lgraph", "vosk", "en")
HINDI = ("vosk-model-small-hi-0.22", "vosk", "hi")
GERMAN = ("vosk-model-small-de-0.15", "vosk", "de")
WHISPER = (EMBEDDED, "whisper", "en")
BASE_EN = ("faster-whisper-base.en", "whisper", "en")
BASE = ("faster-whisper-base", "whisper", "mul")
TINY = ("faster-whisper-tiny", "whisper", "mul")
OWN = ("my-own-en", "vosk", "en")
KIOSK = ("kiosk-words", "vosk", "en")
SOFTWARE = (KIOSK, WHISPER)
BOARD = (BASE_EN[0], EMBEDDED, LGRAPH[0], US[0], BASE[0], TINY[0])
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
        # the most accurate one; the kiosk's few words only when there is nothing else
        (SOFTWARE, {}, [EMBEDDED]),
        ((*SOFTWARE, US), {}, [EMBEDDED]),
        ((*SOFTWARE, BASE_EN, US), {}, [BASE_EN[0]]),
        ((KIOSK, GB, US), {}, [US[0]]),
        ((*SOFTWARE, BASE), {"language": "en"}, [EMBEDDED, BASE[0]]),
        ((KIOSK,), {}, ["kiosk-words"]),
        # a model of the operator's own comes before those of which something is known
        ((*SOFTWARE, BASE_EN, OWN), {}, [OWN[0]]),
        # the board's order comes before the figures
        ((*SOFTWARE, BASE_EN), {"preferred": (EMBEDDED, BASE_EN[0])}, [EMBEDDED]),
        ((*SOFTWARE, LGRAPH, US), {"preferred": (US[0], EMBEDDED)}, [US[0]]),
        ((*SOFTWARE, GB), {"preferred": (US[0],)}, [EMBEDDED]),
        # one for every other language
        ((*SOFTWARE, GERMAN, HINDI), {"language": "en"}, [EMBEDDED, GERMAN[0], HINDI[0]]),
        ((*SOFTWARE, HINDI), {}, [HINDI[0], EMBEDDED]),
        ((*SOFTWARE, HINDI, US), {}, [EMBEDDED, HINDI[0]]),
        ((*SOFTWARE, HINDI), {"language": "hi"}, [HINDI[0], EMBEDDED]),
        ((KIOSK, HINDI), {"language": "hi"}, [HINDI[0]]),
        # a multilingual one serves what no other does
        ((*SOFTWARE, BASE), {"preferred": BOARD}, [EMBEDDED, BASE[0]]),
        ((*SOFTWARE, BASE, TINY, HINDI), {"language": "hi", "preferred": BOARD}, [HINDI[0], EMBEDDED, BASE[0]]),
        ((*SOFTWARE, BASE, TINY), {"language": "mr", "preferred": BOARD}, [BASE[0], EMBEDDED]),
        ((*SOFTWARE, BASE), {"language": "mul"}, [BASE[0], EMBEDDED]),
        ((BASE, HINDI), {"language": "en"}, [BASE[0], HINDI[0]]),
        # an engine
        ((*SOFTWARE, US, HINDI), {"engine": "whisper"}, [EMBEDDED]),
        (SOFTWARE, {"engine": "vosk"}, ["kiosk-words"]),
        ((*SOFTWARE, US, HINDI), {"engine": "vosk"}, [US[0], HINDI[0]]),
        # a model
        ((*SOFTWARE, US), {"model": "kiosk-words"}, ["kiosk-words"]),
        ((*SOFTWARE, US), {"model": US[0]}, [US[0]]),
        ((*SOFTWARE, GERMAN, HINDI), {"model": HINDI[0]}, [HINDI[0], EMBEDDED, GERMAN[0]]),
    ],
)
def test_which_models_are_loaded(packs, asked, names):
    assert [model.name for model in select(Shelf(*packs), **asked).models] == names


SLOW, LATE, FAST = Cost(2.0, 1.0), Cost(0.5, 4.0), Cost(0.1, 0.3)


@pytest.mark.parametrize(
    ("packs", "costs", "names"),
    [
        ((*SOFTWARE, BASE_EN), {BASE_EN[0]: FAST}, [BASE_EN[0]]),
        ((*SOFTWARE, BASE_EN), {BASE_EN[0]: SLOW}, [EMBEDDED]),
        ((*SOFTWARE, BASE_EN), {BASE_EN[0]: LATE, EMBEDDED: FAST}, [EMBEDDED]),
        ((*SOFTWARE, BASE_EN, US), {BASE_EN[0]: SLOW, EMBEDDED: LATE}, [US[0]]),
        # the kiosk's words are no way out
        (SOFTWARE, {EMBEDDED: SLOW}, [EMBEDDED]),
        # another language is served slowly rather than not at all
        ((*SOFTWARE, HINDI, US), {HINDI[0]: SLOW}, [EMBEDDED, HINDI[0]]),
        ((*SOFTWARE, BASE, TINY), {BASE[0]: SLOW, TINY[0]: FAST}, [EMBEDDED, TINY[0]]),
    ],
)
def test_what_is_too_slow_is_passed_over(packs, costs, names):
    found = select(Shelf(*packs), preferred=BOARD, costs=costs, cores=4.0)
    assert [model.name for model in found.models] == names


def test_it_says_why_another_was_passed_over():
    found = select(Shelf(*SOFTWARE, BASE_EN), preferred=BOARD, costs={BASE_EN[0]: SLOW}, cores=4.0)
    assert found.why == (
        "faster-whisper-base.en is too slow here: one stream takes 2.00 of 1.00 cores; "
        "it is the most accurate one that is installed and suits this board"
    )


@pytest.mark.parametrize(
    ("packs", "asked", "why"),
    [
        (SOFTWARE, {}, "it is the most accurate one that is installed"),
        (SOFTWARE, {"preferred": BOARD}, "it is the most accurate one that is installed and suits this board"),
        ((KIOSK,), {}, "no model for free speech is installed"),
        ((*SOFTWARE, OWN), {}, "it was installed by the operator"),
        (SOFTWARE, {"model": EMBEDDED}, "it was asked for"),
    ],
)
def test_it_says_why(packs, asked, why):
    assert select(Shelf(*packs), **asked).why == why


@pytest.mark.parametrize(
    ("packs", "asked", "better"),
    [
        (SOFTWARE, {}, ""),
        (SOFTWARE, {"preferred": BOARD}, BASE_EN[0]),
        (SOFTWARE, {"preferred": BOARD, "costs": {BASE_EN[0]: SLOW}}, ""),
        ((*SOFTWARE, BASE_EN), {"preferred": BOARD}, ""),
        (SOFTWARE, {"preferred": (EMBEDDED, BASE_EN[0])}, ""),
        (SOFTWARE, {"preferred": ("faster-whisper-small.en", BASE_EN[0], BASE[0], EMBEDDED)}, BASE_EN[0]),
        ((*SOFTWARE, TINY), {"preferred": BOARD, "language": "mr"}, BASE[0]),
        (SOFTWARE, {"preferred": BOARD, "model": EMBEDDED}, ""),
    ],
)
def test_a_better_pack_that_suits_the_board_is_named(packs, asked, better):
    assert select(Shelf(*packs), **asked).better == better


def test_the_facts_are_told_to_programs_and_people():
    found = select(Shelf(*SOFTWARE), preferred=BOARD)
    expected = "general English, about 1 word in 20 wrong on clear speech, 1 in 3 with a strong accent"
    better = (
        "faster-whisper-base.en, not installed: general English, about 1 word in 24 wrong on clear speech "
        "(publisher's figure)"
    )
    assert found.told() == {"name": EMBEDDED, "accuracy": expected, "why": found.why, "better": better}
    assert found.line() == f"model {EMBEDDED} (whisper, en): {expected}; better: {better}"


@pytest.mark.parametrize(
    ("packs", "asked", "message"),
    [
        ((), {}, OF_LANGUAGE.format("auto", "auto")),
        (SOFTWARE, {"language": "hi"}, "models install vosk-model-small-hi-0.22"),
        (SOFTWARE, {"language": "mr"}, "models install faster-whisper-base"),
        (SOFTWARE, {"language": "or"}, OF_LANGUAGE.format("auto", "or") + "; see: appliance models list$"),
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


def test_the_context_of_a_pack_is_passed_on():
    context = Context(shortest_s=0.0, margin_s=1.0)

    class One:
        def installed(self):
            return [Installed(*WHISPER, Path("/packs"), "MIT", 1, context)]

    assert select(One()).models[0].context == context
    assert select(Shelf(BASE)).models[0].context == Context(shortest_s=12.0, margin_s=2.0)


@pytest.mark.parametrize(
    ("packs", "asked", "language"),
    [
        ((BASE,), {}, "en"),
        ((BASE,), {"language": "hi"}, "hi"),
        ((BASE,), {"language": "mul"}, "mul"),
        ((BASE,), {"model": BASE[0], "language": "ta"}, "ta"),
        ((BASE,), {"model": BASE[0]}, "mul"),
        (SOFTWARE, {}, "en"),
    ],
)
def test_the_language_of_a_multilingual_model(packs, asked, language):
    assert select(Shelf(*packs), **asked).models[0].language == language


@pytest.mark.parametrize(
    ("file", "asked", "engine", "language"),
    [
        ("am", {}, "vosk", "en"),
        ("am", {"language": "hi"}, "vosk", "hi"),
        ("am", {"engine": "whisper"}, "whisper", "en"),
        ("model.bin", {}, "whisper", "en"),
    ],
)
def test_a_folder_is_taken_as_a_model(tmp_path, file, asked, engine, language):
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / file).touch()
    first = select(Shelf(*SOFTWARE), model=str(folder), **asked).models[0]
    assert (first.name, first.path) == ("my-model", str(folder.resolve()))
    assert (first.engine, first.language) == (engine, language)
