"""Contexts, bounds and runaway protection with a stand-in for CTranslate2's model; the bound also with the real one."""

from __future__ import annotations

import ctranslate2
import numpy as np
import pytest

from appliance.core.events import RATE
from appliance.engines.registry import Context
from appliance.engines.whisper.decoder import Decoder, compression, contexts, without_loop
from appliance.engines.whisper.features import Spectrogram
from tests.engines.recordings import group
from tests.engines.whisper.rig import Letters, Model, folder, recognizer

STOCK = Context()
TUNED = Context(shortest_s=0.0, margin_s=1.0)


@pytest.mark.parametrize(
    ("seconds", "context", "frames"),
    [
        (0.1, STOCK, (1200, 3000)),
        (5.0, STOCK, (1200, 3000)),
        (10.5, STOCK, (1250, 3000)),
        (28.0, STOCK, (3000, 3000)),
        (30.0, STOCK, (3000, 3000)),
        (40.0, STOCK, (3000, 3000)),
        (0.1, TUNED, (110, 1200)),
        (3.015, TUNED, (400, 1200)),
        (10.5, TUNED, (1150, 1250)),
        (10.99, TUNED, (1198, 1298)),
        (11.0, TUNED, (1200, 3000)),
        (29.5, TUNED, (3000, 3000)),
        (0.1, Context(shortest_s=0.0, margin_s=0.5), (60, 1200)),
    ],
)
def test_contexts_of_audio_length_are_even_and_bounded(seconds, context, frames):
    found = contexts(round(seconds * RATE), context)
    assert found == frames
    assert all(number % 2 == 0 and number <= 3000 for number in found)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 1.0, 1.0),
        ("no " * 15, 1.0, 1.0),  # too short to say
        ("the quick brown fox jumps over the lazy dog and runs away", 0.5, 1.3),
        ("so it goes on, " * 12, 2.4, 20.0),
        ("é" * 48, 2.4, 20.0),
    ],
)
def test_compression_of_text_shows_repetition(text, low, high):
    assert low <= compression(text) <= high


@pytest.mark.parametrize(
    ("tokens", "left"),
    [
        ([], []),
        ([1], [1]),
        ([1, 2, 3], [1, 2, 3]),
        ([7, 7], [7, 7]),  # twice can be said
        ([7, 7, 7], [7]),
        ([1, 2, 7, 7, 7, 7], [1, 2, 7]),
        ([1, 2, 3, 2, 3, 2, 3], [1, 2, 3]),
        ([5, 1, 2, 3, 1, 2, 3, 1, 2, 3], [5, 1, 2, 3]),
        ([7, 7, 7, 1], [7, 7, 7, 1]),  # not at the end
    ],
)
def test_without_loop_keeps_one_repetition(tokens, left):
    assert without_loop(tokens) == left


# with a stand-in for the model


def decoder(monkeypatch, model: Model, context: Context = TUNED) -> Decoder:
    asked = {}

    def made(path, **options):
        asked.update(options, path=path)
        return model

    monkeypatch.setattr(ctranslate2.models, "Whisper", made)
    monkeypatch.setattr(ctranslate2.StorageView, "from_array", staticmethod(lambda array: array))
    found = Decoder(folder(), Letters(), context, threads=3)  # type: ignore[arg-type]
    assert asked == {
        "path": str(folder()), "device": "cpu", "compute_type": "int8", "inter_threads": 1, "intra_threads": 3,
    }  # fmt: skip
    return found


def audio(seconds: float) -> Spectrogram:
    made = Spectrogram(80)
    made.push(np.random.default_rng(0).integers(-3000, 3000, round(seconds * RATE)).astype(np.int16))
    return made


def codes(text: str) -> list[int]:
    return [ord(letter) for letter in text]


LOOP = codes("so it goes on, " * 12)


def test_decode_returns_text_tokens_and_evidence(monkeypatch):
    model = Model([*codes("hello"), Letters.end, Letters.untimed])
    found = decoder(monkeypatch, model).decode(audio(2.0), ["en"])
    assert found.tokens == codes("hello")
    assert (found.language, found.runaway, found.frames) == ("en", False, 200)
    assert (found.evidence.no_speech, found.evidence.log_probability, found.evidence.tokens) == (0.5, -0.25, 5)
    assert model.frames == [300]
    assert model.starts == [[Letters.start, ord("e"), Letters.untimed]]


def test_decode_prompt_and_forced_stand_around_opening(monkeypatch):
    model = Model(codes("abc"))
    decoder(monkeypatch, model).decode(audio(2.0), ["en"], prompt=range(5), forced=codes("ab"))
    before = [Letters.previous, *range(5)]
    assert model.starts == [[*before, Letters.start, ord("e"), Letters.untimed, *codes("ab")]]


def test_decode_runaway_tries_longer_context_unprompted(monkeypatch):
    model = Model(LOOP, codes("so it goes"))
    found = decoder(monkeypatch, model).decode(audio(2.0), ["en"], prompt=[5], forced=codes("so"))
    assert model.frames == [300, 1200]
    assert model.starts[1] == [Letters.start, ord("e"), Letters.untimed]
    assert found.tokens == codes("so it goes")
    assert not found.runaway


@pytest.mark.parametrize(("second", "kept"), [("x" * 200, "so it goes on, "), ("y" * 60, "y")])
def test_decode_two_runaways_keeps_the_shorter_once(monkeypatch, second, kept):
    model = Model(LOOP, codes(second))
    found = decoder(monkeypatch, model).decode(audio(2.0), ["en"])
    assert found.tokens == codes(kept)
    assert found.runaway


def test_decode_runaway_at_longest_context_tries_once(monkeypatch):
    model = Model(LOOP)
    found = decoder(monkeypatch, model).decode(audio(29.5), ["en"])
    assert model.frames == [3000]
    assert found.tokens == codes("so it goes on, ")


@pytest.mark.parametrize(("count", "runaway"), [(35, False), (36, True)])
def test_decode_length_bound_reached_is_a_runaway(monkeypatch, count, runaway):
    text = [number + 300 for number in range(count)]  # nothing repeats; 2 s may have 36 tokens
    model = Model(text, text)
    assert decoder(monkeypatch, model).decode(audio(2.0), ["en"]).runaway is runaway
    assert len(model.frames) == 1 + runaway


def test_decode_several_languages_takes_the_likeliest(monkeypatch):
    model = Model(codes("a"), codes("b"), languages={"fr": 0.6, "en": 0.3, "de": 0.1})
    made = decoder(monkeypatch, model)
    assert made.decode(audio(1.0), ["en", "de"]).language == "en"
    assert made.detect(audio(1.0)) == {"fr": 0.6, "en": 0.3, "de": 0.1}
    assert made.decode(audio(1.0), ["xx", "de"]).language == "de"


@pytest.mark.parametrize(
    ("alignments", "starts"),
    [
        ([(0, 0), (1, 10), (2, 20), (3, 30)], [0, 3200, 6400, 9600]),
        ([(0, 4), (0, 5), (1, 5), (2, 6), (3, 9)], [1280, 1600, 1920, 2880]),  # several frames to a token
        ([(0, 4)], [1280, 32_000, 32_000, 32_000]),  # what is not placed is at the end
        ([], [32_000] * 4),
    ],
)
def test_align_gives_a_start_for_each_token_and_end(monkeypatch, alignments, starts):
    model = Model(codes("abc"))
    model.alignments = alignments
    made = decoder(monkeypatch, model)
    found = made.align(made.decode(audio(2.0), ["en"]))
    assert model.aligned == ([Letters.start, ord("e")], [codes("abc")], 200)
    assert (found.starts, found.probabilities) == (starts, [0.5] * 3)


@pytest.mark.parametrize("error", [RuntimeError("unsupported version"), ValueError("no such device")])
def test_decoder_load_failure_raises_os_error(monkeypatch, error):
    def broken(path, **options):
        raise error

    monkeypatch.setattr(ctranslate2.models, "Whisper", broken)
    with pytest.raises(OSError, match=str(error)):
        Decoder(folder(), Letters(), TUNED)  # type: ignore[arg-type]


# with the embedded model


class Endless:
    """The real model, which may not end a text."""

    def __init__(self, model, end: int) -> None:
        self._model = model
        self._end = end

    def __getattr__(self, name):
        return getattr(self._model, name)

    def generate(self, *arguments, **options):
        return self._model.generate(*arguments, **options, suppress_tokens=[self._end])


@pytest.mark.parametrize("prompt", [0, 64])
@pytest.mark.parametrize("forced", [0, 3])
def test_decode_endless_real_model_reaches_the_bound(monkeypatch, prompt, forced):
    """The bound is reached exactly, or a runaway would not be found and fast speech would be cut off."""
    made, vocabulary = recognizer().decoder(), recognizer().vocabulary
    monkeypatch.setattr(made, "_model", Endless(made._model, vocabulary.end))
    lengths = []
    monkeypatch.setattr(
        "appliance.engines.whisper.decoder.without_loop", lambda tokens: lengths.append(len(tokens)) or tokens
    )
    words = vocabulary.tokens(" one two three four five six seven eight nine ten" * 8)[:64]
    found = made.decode(audio(0.5), ["en"], prompt=words[:prompt], forced=words[:forced])
    assert found.runaway
    assert lengths == [4 + 20]


def test_decode_forced_tokens_of_real_model_come_back():
    made, vocabulary = recognizer().decoder(), recognizer().vocabulary
    sound = Spectrogram(made.bins)
    sound.push(group("an4_spell_digits")[0].samples)
    free = made.decode(sound, ["en"])
    assert len(free.tokens) > 3
    assert made.decode(sound, ["en"], forced=free.tokens[:2]).tokens == free.tokens
    other = vocabulary.tokens(" Banana")
    assert made.decode(sound, ["en"], forced=other).tokens[: len(other)] == other
