"""A session that continues another one from its safe point says what the first one would have said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.events import RATE, Final
from appliance.core.options import RATES, AudioFormat, Encoding
from appliance.core.segment import Origin
from tests.core.rig import COMMIT, WholeFake, new, of, options, origin, play
from tests.sound import encode, noise, speech, wav, wav_header

NEAR = RATE // 5
"""200 ms."""


def resumed(wanted, data, cut, steps=(), recognizer=None):
    """Finals after the cut: those of the session that was never cut, and those of its successor."""
    first, whole = new(wanted, recognizer), new(wanted, recognizer)
    before = of(Final, play(first, data[:cut], [step for step in steps if step[0] <= cut]))
    expected = of(Final, [*play(whole, data, steps), *whole.finish()])
    assert expected[: len(before)] == before
    second = new(wanted, recognizer, origin=origin(first))
    later = [step for step in steps if step[0] > cut]
    got = of(Final, [*play(second, data, later, start=first.origin.wire), *second.finish()])
    return expected[len(before) :], got


def same(expected, got):
    assert [(final.segment, final.text) for final in got] == [(final.segment, final.text) for final in expected]
    for a, b in zip(expected, got, strict=True):
        assert a.start == pytest.approx(b.start, abs=NEAR)
        assert a.end == pytest.approx(b.end, abs=NEAR)
        for one, other in zip(a.words, b.words, strict=True):
            assert one.start == pytest.approx(other.start, abs=NEAR)
            assert one.end == pytest.approx(other.end, abs=NEAR)


STRETCHES = st.lists(st.tuples(st.booleans(), st.integers(1, 20_000)), min_size=1, max_size=8)
WHOLE_FRAMES = st.fixed_dictionaries(
    {},
    optional={
        "manual": st.booleans(),
        "min_speech_ms": st.sampled_from([0, 96, 250]),
        "silence_to_end_ms": st.sampled_from([0, 200, 500, 1000]),
        "pre_roll_ms": st.sampled_from([0, 32, 320, 480]),
        "hangover_ms": st.sampled_from([0, 100, 320, 480]),
    },
)


@pytest.mark.parametrize("recognizer", [None, WholeFake()], ids=["frames", "whole"])
@settings(max_examples=200)
@given(stretches=STRETCHES, limits=WHOLE_FRAMES, place=st.floats(0, 1))
def test_at_any_cut_the_rest_is_the_same(recognizer, stretches, limits, place):
    data = noise(*stretches).tobytes()
    same(*resumed(options(**limits), data, round(len(data) * place), recognizer=recognizer))


@pytest.mark.parametrize("voice", [10_000, 12_250, 14_500])
def test_a_cut_in_a_long_silence_does_not_move_the_frames(voice):
    """How long the utterance is, and so what is heard, must not depend on where a successor began."""
    data = noise((False, 40_000), (True, voice), (False, 16_000)).tobytes()
    expected, got = resumed(options(), data, 70_000)
    assert got == expected


@pytest.mark.parametrize("recognizer", [None, WholeFake()], ids=["frames", "whole"])
@settings(max_examples=150)
@given(stretches=STRETCHES, limits=WHOLE_FRAMES, place=st.floats(0, 1), commits=st.lists(st.floats(0, 1), max_size=4))
def test_with_commits_before_and_after(recognizer, stretches, limits, place, commits):
    data = noise(*stretches).tobytes()
    steps = [(round(len(data) * at / 2) // 512 * 1024, COMMIT) for at in commits]
    same(*resumed(options(**limits), data, round(len(data) * place), steps, recognizer))


FIRST, LATER = 22, 32
"""Frames of voice in a segment of 1024 ms: pre-roll takes 10 of the first one, none of the others."""


@settings(max_examples=100)
@given(
    st.lists(st.integers(30, 90).filter(lambda n: (n - FIRST) % LATER >= 4), min_size=1, max_size=3), st.floats(0, 1)
)
def test_with_segments_that_are_cut_for_their_length(lengths, place):
    """What is left after a cut is long enough to be speech again."""
    stretches = [part for n in lengths for part in ((False, 32 * 512), (True, n * 512))]
    data = noise(*stretches, (False, 32 * 512)).tobytes()
    same(*resumed(options(longest_ms=1024), data, round(len(data) * place)))


@pytest.mark.parametrize("left", [1, 2])
def test_the_end_of_a_word_after_a_cut_for_length_is_not_forgotten(left):
    """After the cut ``left`` frames of voice remain, too few to start speech; the first session knows it goes on."""
    data = noise((False, 20 * 512), (True, (FIRST + left) * 512), (False, 40 * 512)).tobytes()
    expected, got = resumed(options(longest_ms=1024), data, (43 + left) * 1024)
    assert len(expected) == 1
    same(expected, got)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("place", [0.02, 0.3, 0.55, 0.8, 0.97])
def test_in_every_format(rate, encoding, place):
    data = encode(speech(1010, 1100, 1200, 700, 930, rate=rate), encoding)
    audio = AudioFormat(encoding, rate)
    cut = round(len(data) * place)
    expected, got = resumed(options(audio), data, cut)
    assert [final.segment for final in got] == [final.segment for final in expected]
    for a, b in zip(expected, got, strict=True):
        assert (a.start, a.end) == (pytest.approx(b.start, abs=NEAR), pytest.approx(b.end, abs=NEAR))


# what ``safe`` says


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=20)
@given(stretches=STRETCHES, encoding=st.sampled_from(Encoding), sizes=st.lists(st.integers(1, 9_000), max_size=20))
def test_safe_is_a_whole_sample_that_never_goes_back(channels, rate, stretches, encoding, sizes):
    audio = AudioFormat(encoding, rate, channels)
    data = wav_header(audio) + encode(np.repeat(noise(*stretches), channels), encoding)
    session, at, safe = new(options(audio)), 0, 0
    for size in sizes:
        list(session.push(data[at : at + size]))
        at = min(len(data), at + size)
        assert session.consumed == at
        assert safe <= session.origin.wire <= session.consumed
        safe = session.origin.wire
        assert safe == 0 or (safe - 44) % audio.frame_bytes == 0


@pytest.mark.parametrize(
    ("header", "encoding", "channels"),
    [(44, Encoding.S16LE, 1), (58, Encoding.F32LE, 1), (46, Encoding.S16LE, 2), (44, Encoding.S32LE, 2)],
)
def test_safe_stays_at_whole_samples_when_a_header_was_no_multiple_of_them(header, encoding, channels):
    """A second worker may die too. A header with an 18-byte fmt chunk, as for floats, is 2 bytes off."""
    audio = AudioFormat(encoding, RATE, channels)
    origin = header + 1000 * audio.frame_bytes
    session = new(options(audio), origin=Origin(origin, 1000))
    for _ in range(5):
        list(session.push(bytes(RATE * audio.frame_bytes)))
        assert session.origin.wire >= origin
        assert (session.origin.wire - header) % audio.frame_bytes == 0


def test_a_long_header_does_not_shift_the_times_of_what_follows():
    listed = b"LIST" + (20_000).to_bytes(4, "little") + bytes(20_000)
    plain = wav(speech(992, 1024, 992, 1024, 992))
    data = plain[:36] + listed + plain[36:]
    expected, got = resumed(options(), data, len(data) - 50_000)
    assert len(expected) == 1
    same(expected, got)


def test_little_is_kept_while_nobody_speaks():
    session = new(options())
    list(session.push(noise((False, 60 * RATE)).tobytes()))
    assert session.consumed - session.origin.wire <= 2 * RATE


def test_what_was_said_is_kept_until_its_final():
    session = new(options())
    list(session.push(speech(2048, 3000).tobytes()))
    assert session.origin.wire == (2048 - 320) * 32
    list(session.push(speech(700).tobytes()))
    assert session.origin.segment == 1
    assert session.origin.wire >= (2048 + 3000) * 32


@settings(max_examples=200)
@given(STRETCHES, WHOLE_FRAMES, st.integers(200, 9_000), st.floats(0, 1))
def test_resume_headers_on_every_message_same_finals(stretches, limits, size, place):
    """The safe point counts the bytes of the headers before it, and none of those after it."""
    data, header = noise(*stretches).tobytes(), wav_header(AudioFormat())
    messages = [header + data[at : at + 2 * size] for at in range(0, len(data), 2 * size)]
    cut = round(len(messages) * place)
    first, whole = new(options(**limits)), new(options(**limits))
    before = [event for message in messages[:cut] for event in first.push(message, begins=True)]
    bare = [*whole.push(data), *whole.finish()]
    expected = of(Final, bare)[len(of(Final, before)) :]
    start = first.origin
    second = new(options(**limits), origin=start)
    events = []
    for index, message in enumerate(messages):
        at = sum(map(len, messages[:index]))
        gone = max(0, start.wire - at)
        if gone < len(message):
            events += second.push(message[gone:], begins=not gone)
    same(expected, of(Final, [*events, *second.finish()]))
