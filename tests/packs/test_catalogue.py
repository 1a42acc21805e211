import re

import pytest

from appliance.packs.catalogue import CATALOGUE, PUBLISHER, for_language, language_of, named
from appliance.packs.layout import WHISPER
from appliance.packs.published import HUB, REVISIONS
from appliance.packs.sources import Wheels
from appliance.packs.store import EMBEDDED

MOST_FILES = 30


def test_names_are_unique():
    assert len({pack.name for pack in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("pack", CATALOGUE, ids=lambda pack: pack.name)
def test_facts_are_well_formed(pack):
    assert re.fullmatch("[a-z]{2}|mul", pack.language)
    assert re.fullmatch("([a-z]{2})?", pack.region)
    assert pack.engine in ("vosk", "whisper")
    assert pack.size == 0 or pack.size > 30_000_000
    assert "NC" not in pack.licence
    assert (not pack.sources) == (pack.name in EMBEDDED)
    assert all(isinstance(source, Wheels) for source in pack.sources[1:])
    assert len({file for source in pack.sources for file in source.files}) <= MOST_FILES
    if pack.engine == "vosk" and pack.sources:
        [archive, *_] = pack.sources
        assert archive.url == f"{PUBLISHER}/{pack.name}.zip"
        assert archive.md5 is None or re.fullmatch("[0-9a-f]{32}", archive.md5)
    if pack.engine == "whisper" and pack.sources:
        [folder, *_] = pack.sources
        assert folder.url == f"{HUB}/{pack.name}/resolve/{REVISIONS[pack.name]}"
        assert {file.name for file in folder.files} == {*WHISPER, "vocabulary.txt"}
    for file in (file for source in pack.sources for file in source.files):
        assert re.fullmatch("[0-9a-f]{64}", file.sha256), file.name


def test_named():
    assert named("vosk-model-small-hi-0.22").language == "hi"
    assert named("vosk-model-small-hi") is None


@pytest.mark.parametrize(
    ("language", "best"),
    [
        ("ko", "vosk-model-small-ko-0.22"),
        ("mul", "faster-whisper-base"),
        ("en", "faster-whisper-base.en"),
        ("hi", "vosk-model-small-hi-0.22"),
        ("kk", "vosk-model-small-kz-0.15"),
        ("uk", "vosk-model-small-uk-v3-nano"),
        ("vi", "vosk-model-small-vn-0.4"),
        ("zh", "vosk-model-small-cn-0.22"),
    ],
)
def test_the_best_for_a_language(language, best):
    assert for_language(language)[0].name == best


def test_english_from_best_to_last_resort():
    assert [pack.name for pack in for_language("en")] == [
        "faster-whisper-base.en",
        "faster-whisper-small.en",
        "faster-whisper-tiny.en",
        "vosk-model-small-en-us-0.15",
        "vosk-model-small-en-in-0.4",
        "vosk-model-small-en-gb-0.15",
        "vosk-model-en-us-0.22-lgraph",
        "whisper-tiny-en",
        "kiosk-words",
    ]


def test_vosks_own_codes_are_not_languages():
    assert not for_language("cn") + for_language("ua") + for_language("vn") + for_language("kz") + for_language("xx")


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("kiosk-words", "en"),
        ("vosk-model-small-ar-tn-0.1-linto", "ar"),
        ("vosk-model-cn-0.22", "zh"),
        ("vosk-model-small-uk-v9-tiny", "uk"),
        ("vosk-model-en-us-0.42-gigaspeech", "en"),
        ("vosk-tiny-en", "en"),
        ("vosk-model-spk-0.4", "und"),
        ("vosk-model", "und"),
        ("my-model-en", "und"),
    ],
)
def test_the_language_in_a_name(name, language):
    assert language_of(name) == language
