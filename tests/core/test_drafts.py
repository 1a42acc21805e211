"""Utterances that stay open over a pause, and the drafts of their finals.

Silence, voice and silence in turn, in milliseconds; frames have 32 ms. Pre-roll and hangover are 320 ms, the silence
that ends a segment is 500 ms: a pause of 416 ms begins a draft and does not end the segment.
"""

import numpy as np
import pytest
from msgspec import structs

from appliance.core.events import RATE, Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted
from appliance.core.options import Changes, Endpointing, Mode
from appliance.core.ports import Evidence
from appliance.core.session import Session
from tests.core.rig import COMMIT, LIMITS, Drafter, WholeFake, hear, new, of, options, texts
from tests.core.test_resume import resumed, same
from tests.sound import noise, speech

MS = RATE // 1000
SPEECH = (992, 1024, 992)
PAUSE = (992, 1024, 416, 1024, 992)
"""Voice from 992 to 2016 and from 2432 to 3456."""
NOISE = Evidence(no_speech=0.99, log_probability=-2.0, compression=1.0, tokens=1)
SURE = Evidence(no_speech=0.01, log_probability=-0.1, compression=1.0, tokens=9)


def at_ms(milliseconds):
    return milliseconds * MS * 2


def heard(recognizer, durations=SPEECH, steps=(), wanted=None):
    """The events, and where the utterances are, in milliseconds."""
    samples = speech(*durations)
    events = hear(wanted or options(partial_ms=0), samples.tobytes(), steps, recognizer=recognizer)
    return events, [(start // MS, end // MS) for start, end in recognizer.places(samples)]


def drafted_at(recognizer, durations=SPEECH, **limits):
    """How many milliseconds after the voice's end the first draft is asked for, and how many drafts there are."""
    session, first = new(options(partial_ms=0, **limits), recognizer), None
    data = speech(*durations).tobytes()
    for at in range(0, len(data), 1024):
        list(session.push(data[at : at + 1024]))
        if recognizer.drafts and first is None:
            first = at // 1024 * 32 + 32 - sum(durations[:2])
    list(session.finish())
    return first, len(recognizer.drafts)


# the utterance


@pytest.mark.parametrize(
    ("utterance_s", "expected"),
    [
        (8.0, [(672, 3776)]),
        (2.0, [(672, 3776)]),
        (1.67, [(672, 3776)]),  # the pause is told 1.664 s after the utterance began
        (1.66, [(672, 2336), (2336, 3776)]),
        (0.0, [(672, 2336), (2336, 3776)]),
    ],
)
def test_session_short_utterance_goes_on_over_a_pause(utterance_s, expected):
    events, places = heard(Drafter(utterance_s=utterance_s), PAUSE)
    assert places == expected
    assert texts(events) == [" ".join(f"u{number + 1}" for number in range(len(expected)))]
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded, Final, Closed]


def test_session_utterance_is_settled_at_the_first_late_pause():
    recorder = Drafter(utterance_s=3.0)
    _, places = heard(recorder, (992, 1024, 416, 1024, 416, 512, 992))
    assert places == [(672, 3776), (3776, 4704)]


@pytest.mark.parametrize(
    ("silence", "pause", "expected"),
    [
        (3000, 896, [(672, 4256)]),  # with the pause in it
        (3000, 1504, [(672, 2336), (3200, 4864)]),  # after a second it is settled; the next one has pre-roll of its own
        (1000, 896, [(672, 4256)]),
        (700, 960, [(672, 2336), (2656, 4320)]),  # two segments
    ],
)
def test_session_longest_pause_settles_the_utterance(silence, pause, expected):
    events, places = heard(
        Drafter(), (992, 1024, pause, 1024, 3200), wanted=options(partial_ms=0, silence_to_end_ms=silence)
    )
    assert places == expected
    assert len(texts(events)) == (2 if silence < pause else 1)


def test_session_manual_mode_settles_when_the_silence_is_complete():
    events, places = heard(Drafter(), (992, 1024, 800, 1024, 992), wanted=options(manual=True, partial_ms=0))
    assert places == [(672, 2336), (2496, 4160)]
    assert texts(events) == ["u1 u2"]


# the draft


@pytest.mark.parametrize(
    ("final_s", "silence", "after"),
    [
        (0.0, 500, None),  # a final that costs nothing needs none
        (0.01, 500, 448),  # left 52 <= 12.5 + 50 ms
        (0.1, 500, 352),  # left 148 <= 125 + 50
        (0.2, 500, 320),  # at once, at the hangover
        (9.0, 500, 320),
        (0.1, 1000, 832),  # left 168
        (0.1, 3000, 832),  # after a second the utterance is settled
        (0.1, 320, None),  # the silence is complete before there is a pause
    ],
)
def test_session_draft_is_asked_in_time_and_once(final_s, silence, after):
    drafts = 0 if after is None else 1
    assert drafted_at(Drafter(final_s=final_s), (992, 1024, 3200), silence_to_end_ms=silence) == (after, drafts)


def test_session_draft_sees_the_hangover_and_no_more():
    recorder = Drafter()
    _, places = heard(recorder)
    assert places == [(672, 2336)]
    assert recorder.drafts == [(2336 - 672) * MS]


def test_session_draft_is_discarded_when_speech_goes_on():
    recorder = Drafter(final_s=1.0)
    events, places = heard(recorder, PAUSE)
    assert recorder.drafts == [(2336 - 672) * MS, (3776 - 672) * MS]
    assert places == [(672, 3776)]  # the audio of the pause too, once and in order
    assert texts(events) == ["u1"]


def test_session_short_sound_in_pause_keeps_the_draft():
    recorder = Drafter(final_s=1.0)
    _, places = heard(recorder, (992, 1024, 352, 64, 992))
    assert len(recorder.drafts) == 1
    assert places == [(672, 2336)]


@pytest.mark.parametrize(("partial_ms", "slower", "told"), [(250, 1, 1), (0, 1, 0), (250, 0, 0)])
def test_session_draft_is_told_as_a_partial_where_wanted(partial_ms, slower, told):
    recorder = Drafter()
    session = new(options(partial_ms=partial_ms), recorder)
    session.ease(slower)
    data = speech(*SPEECH).tobytes()
    events = [*session.push(data), *session.finish()]
    assert [partial.text for partial in of(Partial, events)] == ["u1"] * told
    assert len(recorder.drafts) == 1
    assert texts(events) == ["u1"]


# what may happen in a pause: at 2400 ms the utterance waits, with a draft and 64 ms of held audio

IN_PAUSE = at_ms(2400)


def whole(places, first, last):
    """The places follow one another without a gap."""
    assert (places[0][0], places[-1][1]) == (first, last)
    assert all(a[1] == b[0] for a, b in zip(places, places[1:], strict=False))


@pytest.mark.parametrize("final_s", [0.01, 1.0])
def test_commit_in_pause_ends_the_utterance_there(final_s):
    recorder = Drafter(final_s=final_s)
    events, places = heard(recorder, PAUSE, [(IN_PAUSE, COMMIT)])
    whole(places, 672, 3776)
    assert places[0] == (672, 2336)
    assert [type(event) for event in events] == [
        SpeechStarted, SpeechEnded, Final, Committed, SpeechStarted, SpeechEnded, Final, Closed,
    ]  # fmt: skip
    assert [(final.text, final.cause) for final in of(Final, events)] == [
        ("u1", Cause.COMMIT), ("u2", Cause.SILENCE),
    ]  # fmt: skip


def test_commit_within_a_frame_in_pause_loses_nothing():
    recorder = Drafter()
    _, places = heard(recorder, PAUSE, [(IN_PAUSE + 330, COMMIT)])
    whole(places, 672, 3776 + 10)


def test_finish_in_pause_gives_the_final():
    recorder = Drafter(final_s=1.0)
    events, places = heard(recorder, (992, 1024, 400))
    assert places == [(672, 2336)]
    assert [(final.text, final.cause) for final in of(Final, events)] == [("u1", Cause.FINISH)]
    assert len(recorder.drafts) == 1


def test_configure_phrases_in_pause_settles_the_utterance():
    recorder = Drafter(final_s=1.0)
    events, places = heard(recorder, PAUSE, [(IN_PAUSE, Changes(phrases=("on",)))])
    whole(places, 672, 3776)
    assert places[0] == (672, 2336)
    assert recorder.grammars == [(), ("on",)]
    assert texts(events) == ["u1 u2"]
    (final,) = of(Final, events)
    assert [(word.start // MS, word.end // MS) for word in final.words] == places


def test_configure_phrases_in_pause_then_silence_ends_segment():
    recorder = Drafter()
    events, places = heard(
        recorder, SPEECH, [(IN_PAUSE, Changes(phrases=()))], wanted=options(partial_ms=0, pre_roll_ms=0)
    )
    assert places == [(992, 2336)]
    assert texts(events) == ["u1"]


@pytest.mark.parametrize(
    ("limits", "finals", "utterances"),
    [
        ({"silence_to_end_ms": 300}, ["u1", "u2"], 2),
        ({"silence_to_end_ms": 2000}, ["u1"], 1),
        ({"mode": Mode.MANUAL}, ["u1"], 1),
        ({"pre_roll_ms": 0}, ["u1"], 1),
    ],
)
def test_configure_endpointing_in_pause_holds_at_once(limits, finals, utterances):
    changed = Endpointing(**{**LIMITS, **limits})
    events, places = heard(Drafter(), PAUSE, [(IN_PAUSE, Changes(endpointing=changed))])
    assert texts(events) == finals
    assert len(places) == utterances


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (1568, [(672, 2112), (2112, 3552), (3552, 3776)]),  # in the hangover, both times
        (1840, [(672, 2336), (2336, 3776)]),  # with the frame that begins the pause
        (1900, [(672, 2336), (2336, 3776)]),  # in the pause, 64 ms later; its audio is held
        (3500, [(672, 3776)]),
    ],
)
def test_longest_segment_cut_near_a_pause_loses_nothing(longest, expected):
    events, places = heard(Drafter(final_s=1.0), PAUSE, wanted=options(partial_ms=0, longest_ms=longest))
    whole(places, 672, 3776)
    assert places == expected
    assert [final.segment for final in of(Final, events)] == list(range(len(expected)))


def test_resume_at_every_frame_gives_the_same_finals():
    data = noise(*((bool(number % 2), frames * 512) for number, frames in enumerate((31, 32, 13, 32, 31)))).tobytes()
    for cut in range(0, len(data), 1024):
        same(*resumed(options(), data, cut, recognizer=WholeFake()))


@pytest.mark.parametrize("position", [2300, 2400, 2440, 3500])
def test_origin_near_a_pause_keeps_the_whole_segment(position):
    session = new(options(), Drafter())
    list(session.push(speech(*PAUSE).tobytes()[: at_ms(position)]))
    assert session.origin.position == 672 * MS
    assert session.origin.segment == 0


# what the engine says of an utterance


@pytest.mark.parametrize(
    ("language", "hears", "text", "told"),
    [
        ("", ("a", "b"), "a b", "en"),
        ("hi", ("a", "b"), "a b", "hi"),
        ("ja", ("今日", "は"), "今日は", "ja"),
        ("yue", ("a", "b"), "ab", "yue"),
        ("ko", ("a", "b"), "a b", "ko"),
    ],
)
def test_final_language_is_that_of_the_hypothesis(language, hears, text, told):
    events = hear(options(), speech(*SPEECH).tobytes(), recognizer=Drafter(language=language, hears=hears))
    (final,), partials = of(Final, events), of(Partial, events)
    assert (final.text, final.language) == (text, told)
    assert {partial.text for partial in partials} == {text}


def test_final_without_evidence_of_speech_is_none():
    recorder = Drafter(evidence=NOISE)
    events = hear(options(), speech(*SPEECH).tobytes(), recognizer=recorder)
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded, Closed]
    assert len(recorder.utterances) == len(recorder.drafts) == 1


@pytest.mark.parametrize(
    ("earlier", "last", "text"),
    [
        ((), SURE, "a b c d"),
        (((2, SURE),), NOISE, "a b"),
        (((2, NOISE),), SURE, "c d"),
        (((1, SURE), (2, NOISE)), SURE, "a d"),
        (((0, NOISE), (4, SURE)), NOISE, "a b c d"),
        (((4, SURE),), None, "a b c d"),
    ],
)
def test_final_leaves_out_parts_without_evidence_of_speech(earlier, last, text):
    recorder = Drafter(hears=("a", "b", "c", "d"), evidence=last, earlier=earlier)
    events = hear(options(), speech(*SPEECH).tobytes(), recognizer=recorder)
    assert texts(events) == [text]
    assert of(Partial, events)[-1].text == text


def test_partial_fixed_words_count_without_those_left_out():
    """Two of four words are fixed; where the first two are left out, no word is."""

    class Promising(Drafter):
        def draft(self):
            return structs.replace(super().draft(), fixed=2)

    for earlier, stable in (((), 2), (((2, NOISE),), 0)):
        recorder = Promising(hears=("a", "b", "c", "d"), evidence=SURE, earlier=earlier)
        (partial,) = of(Partial, hear(options(), speech(*SPEECH).tobytes(), recognizer=recorder))
        assert partial.stable == stable


def test_accept_gets_few_frames_at_a_time_and_no_empty_array():
    sizes = []

    class Sized(Drafter):
        def accept(self, samples):
            sizes.append(len(samples))
            super().accept(samples)

    heard(Sized(final_s=1.0), PAUSE)
    assert np.all(np.array(sizes) > 0)
    assert sum(sizes) == (3776 - 672) * MS


def test_origin_after_commit_in_pause_keeps_the_held_audio():
    """It is the pre-roll of what may come."""
    session = new(options(), Drafter())
    list(session.push(speech(*PAUSE).tobytes()[:IN_PAUSE]))
    list(session.commit())
    assert session.origin.position == 2336 * MS


class Meter:
    """A voice detector that is as sure as the audio is loud."""

    frame = 512

    def probabilities(self, frames):
        return [float(np.abs(frame.astype(int)).max()) / 10_000 for frame in frames]


@pytest.mark.parametrize(("loudness", "told"), [((9_000, 6_000), 1), ((6_000, 9_000), 1), ((9_000, 9_000), 2)])
def test_final_of_each_utterance_is_judged_by_its_own_voice(loudness, told):
    doubtful = Evidence(no_speech=0.6, log_probability=-0.5, compression=1.0, tokens=1)  # if the detector doubts it too
    quiet, parts = np.zeros(RATE, np.int16), []
    for level in loudness:
        parts += [quiet, np.full(RATE, level, np.int16)]
    session = Session(options(partial_ms=0), Drafter(evidence=doubtful), Meter())
    events = [*session.push(np.concatenate([*parts, quiet]).tobytes()), *session.finish()]
    assert len(of(SpeechStarted, events)) == 2
    assert len(texts(events)) == told
