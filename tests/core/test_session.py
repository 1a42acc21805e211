import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.events import RATE, Cause, Closed, Committed, Final, Partial, SpeechEnded, SpeechStarted, Word
from appliance.core.options import RATES, AudioFormat, Changes, Encoding, Endpointing
from appliance.core.session import LONGEST_PAUSE
from appliance.engines.fake import FakeRecognizer
from tests.core.rig import COMMIT, Drafter, Recorder, WholeFake, hear, new, of, options, texts
from tests.sound import encode, noise, speech, wav, wav_header

S16 = AudioFormat()


def wire(samples):
    return samples.astype("<i2").tobytes()


def at_ms(milliseconds):
    """A byte position in s16le at 16 kHz."""
    return milliseconds * RATE // 1000 * 2


# one after the other


@pytest.mark.parametrize(
    ("durations", "limits", "expected"),
    [
        ((), {}, []),
        ((3000,), {}, []),
        # 0.32 s of pre-roll and hangover around: one fake word for each 0.3 s
        ((992, 1024, 992), {}, [("one two three four five", 992, 2016, Cause.SILENCE)]),
        ((992, 1024, 512), {}, [("one two three four five", 992, 2016, Cause.SILENCE)]),
        ((992, 1024, 416), {}, [("one two three four five", 992, 2016, Cause.FINISH)]),
        ((992, 1024), {}, [("one two three four", 992, 2016, Cause.FINISH)]),
        ((0, 1024, 992), {}, [("one two three four", 0, 1024, Cause.SILENCE)]),
        ((992, 1024, 992), {"pre_roll_ms": 0, "hangover_ms": 96}, [("one two three", 992, 2016, Cause.SILENCE)]),
        # too short to be speech, also where the audio ends
        ((992, 64, 992), {}, []),
        ((992, 64), {}, []),
        # two segments; a pause inside of one
        (
            (992, 512, 992, 512, 992),
            {},
            [("one two three", 992, 1504, Cause.SILENCE), ("one two three", 2496, 3008, Cause.SILENCE)],
        ),
        ((992, 512, 416, 512, 992), {}, [("one two three one two three", 992, 2432, Cause.SILENCE)]),
        ((992, 512, 64, 512, 992), {}, [("one two three four five", 992, 2080, Cause.SILENCE)]),
    ],
)
def test_finals(durations, limits, expected):
    finals = of(Final, hear(options(**limits), wire(speech(*durations))))
    assert [(f.text, f.start * 1000 // RATE, f.end * 1000 // RATE, f.cause) for f in finals] == [
        (text, start, pytest.approx(end, abs=320), cause) for text, start, end, cause in expected
    ]
    assert [final.segment for final in finals] == list(range(len(expected)))


def test_the_order_of_events():
    events = hear(options(), wire(speech(992, 1024, 992)))
    kinds = [type(event) for event in events]
    assert kinds == [SpeechStarted, *[Partial] * kinds.count(Partial), SpeechEnded, Final, Closed]
    assert kinds.count(Partial) >= 3
    assert events[0] == SpeechStarted(992 * 16)
    assert events[-3] == SpeechEnded(2016 * 16)
    assert events[-1] == Closed(3008 * 16)


def test_partials_grow_and_end_as_the_final():
    events = hear(options(), wire(speech(992, 2048, 992)))
    partials = of(Partial, events)
    assert len({partial.text for partial in partials}) == len(partials)
    for before, after in zip(partials, partials[1:], strict=False):
        assert after.words[: before.stable] == before.words[: before.stable]
        assert after.stable >= before.stable
        assert after.end >= before.end
    assert partials[-1].text == of(Final, events)[0].text
    assert {(partial.segment, partial.start) for partial in partials} == {(0, 992 * 16)}


@pytest.mark.parametrize(("partial_ms", "most"), [(0, 0), (1000, 4), (500, 8)])
def test_how_often_partials_come(partial_ms, most):
    partials = of(Partial, hear(options(partial_ms=partial_ms), wire(speech(500, 3000, 1000))))
    assert (len(partials) > 0) is (partial_ms > 0)
    assert len(partials) <= most


def test_a_final_says_how_sure_its_words_are_on_average():
    events = hear(options(), wire(speech(992, 512, 416, 512, 992)), recognizer=Recorder())
    (final,) = of(Final, events)
    assert (final.text, final.confidence, final.language) == ("u1 u2", 0.5, "en")
    assert [(word.start, word.end) for word in final.words] == [
        (672 * 16, 1824 * 16),
        (1824 * 16, 2752 * 16),
    ]


def test_nothing_recognised_is_no_final():
    events = hear(options(), wire(speech(992, 1024, 992)), recognizer=Recorder(deaf=True))
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded, Closed]


def test_finals_are_made_readable_where_asked():
    def readable(words, language):
        assert language == "en"
        return (Word("12", words[0].start, words[-1].end, 0.5),)

    for numerals in (True, False):
        wanted = options()
        session = new(wanted.__class__(endpointing=wanted.endpointing, numerals=numerals), readable=readable)
        events = [*session.push(wire(speech(992, 512, 992))), *session.finish()]
        assert texts(events) == (["12"] if numerals else ["one two three"])
        assert of(Partial, events)[-1].text == "one two three"


def test_close_gives_the_stream_back():
    recorder = Recorder()
    new(options(), recorder).close()
    assert recorder.closed == 1


# commits


@pytest.mark.parametrize(
    ("durations", "commits", "kinds"),
    [
        ((), [0], [Committed]),
        ((), [0, 0, 0], [Committed] * 3),
        ((3000,), [1000], [Committed]),
        ((1000, 2000), [2000], [SpeechStarted, SpeechEnded, Final, Committed, SpeechStarted, SpeechEnded, Final]),
        (
            (1000, 2000),
            [2000, 2000],
            [SpeechStarted, SpeechEnded, Final, Committed, Committed, SpeechStarted, SpeechEnded, Final],
        ),
        ((992, 512, 2000), [1900], [SpeechStarted, SpeechEnded, Final, Committed]),
        ((992, 512, 2000), [3000], [SpeechStarted, SpeechEnded, Final, Committed]),
        ((992, 32), [1030], [Committed]),
        ((992, 512), [1030], [Committed, SpeechStarted, SpeechEnded, Final]),
    ],
)
def test_what_a_commit_brings(durations, commits, kinds):
    events = hear(options(partial_ms=0), wire(speech(*durations)), [(at_ms(ms), COMMIT) for ms in commits])
    assert [type(event) for event in events] == [*kinds, Closed]


def test_a_commit_cuts_where_the_audio_is():
    events = hear(options(), wire(speech(1000, 2000)), [(at_ms(2011), COMMIT)])
    committed, final = of(Committed, events)[0], of(Final, events)[0]
    assert committed == Committed(2011 * 16, False)
    assert (final.cause, final.segment) == (Cause.COMMIT, 0)
    assert final.end == pytest.approx(2011 * 16, abs=512)


@pytest.mark.parametrize(("milliseconds", "empty"), [(500, True), (1500, False), (1800, False), (2900, True)])
def test_a_commit_says_whether_there_was_something(milliseconds, empty):
    events = hear(options(), wire(speech(1000, 600, 1400)), [(at_ms(milliseconds), COMMIT)])
    assert of(Committed, events)[0].empty is empty


def test_after_a_commit_within_a_frame_times_are_still_right():
    """Each commit takes a part of a frame; that must not add up."""
    commits = [(at_ms(100 + 10 * i), COMMIT) for i in range(60)]
    events = hear(options(partial_ms=0), wire(speech(1500, 1000, 1000)), commits)
    assert of(SpeechStarted, events)[0].at == pytest.approx(1500 * 16, abs=512)
    assert of(SpeechEnded, events)[0].at == pytest.approx(2500 * 16, abs=512)
    assert of(Final, events)[0].start == pytest.approx(1500 * 16, abs=512)


def test_commits_within_a_frame_do_not_lengthen_the_pre_roll():
    recorder, samples = Recorder(), speech(1500, 1000, 1000)
    hear(options(), wire(samples), [(at_ms(100 + 10 * i), COMMIT) for i in range(60)], recognizer=recorder)
    ((start, _),) = recorder.places(samples)
    assert start == pytest.approx((1500 - 320) * 16, abs=512)


def test_a_commit_in_the_first_instant_of_speech_loses_none_of_it():
    recorder, samples = Recorder(), speech(992, 512, 992)
    events = hear(options(partial_ms=0), wire(samples), [(at_ms(1030), COMMIT)], recognizer=recorder)
    assert [type(event) for event in events] == [Committed, SpeechStarted, SpeechEnded, Final, Closed]
    assert events[1] == SpeechStarted(992 * 16)
    ((start, _),) = recorder.places(samples)
    assert start <= 992 * 16


# manual mode


@pytest.mark.parametrize(
    ("durations", "commits", "expected"),
    [
        ((992, 512, 2000, 512, 2000), [5900], [("u1 u2", Cause.COMMIT)]),
        ((992, 512, 2000, 512, 2000), [], [("u1 u2", Cause.FINISH)]),
        ((992, 512, 2000, 512, 2000), [2500, 5900], [("u1", Cause.COMMIT), ("u2", Cause.COMMIT)]),
        ((992, 2000, 992), [2000], [("u1", Cause.COMMIT), ("u2", Cause.FINISH)]),
        ((4000,), [2000], []),
    ],
)
def test_in_manual_mode_only_a_commit_makes_a_final(durations, commits, expected):
    steps = [(at_ms(ms), COMMIT) for ms in commits]
    events = hear(options(manual=True), wire(speech(*durations)), steps, recognizer=Recorder())
    assert [(final.text, final.cause) for final in of(Final, events)] == expected
    assert len(of(Committed, events)) == len(commits)


def test_in_manual_mode_the_turns_of_speech_are_still_told():
    events = hear(options(manual=True, partial_ms=0), wire(speech(992, 512, 992, 512, 992)))
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded] * 2 + [Final, Closed]


# the longest segment


def test_who_speaks_without_a_pause_is_cut_and_nothing_is_lost():
    recorder, samples = Recorder(), speech(992, 5000, 1500)
    events = hear(options(longest_ms=1000, partial_ms=0), wire(samples), recognizer=recorder)
    finals = of(Final, events)
    assert [final.cause for final in finals] == [Cause.LONGEST] * 5 + [Cause.SILENCE]
    assert [final.segment for final in finals] == list(range(6))
    places = recorder.places(samples)
    assert places[0][0] == 672 * 16
    assert [b[0] - a[1] for a, b in zip(places, places[1:], strict=False)] == [0] * 5
    assert all(end - start <= RATE + 512 for start, end in places)
    assert len(of(SpeechStarted, events)) == len(of(SpeechEnded, events)) == 1


def test_a_pause_in_the_last_tenth_is_a_better_place_to_cut():
    samples = speech(992, 1600, 160, 2000, 1000)
    finals = of(Final, hear(options(longest_ms=2000, min_silence_ms=64), wire(samples), recognizer=Recorder()))
    assert finals[0].cause is Cause.LONGEST
    assert 2592 * 16 <= finals[0].end <= 2752 * 16


@pytest.mark.parametrize("min_silence_ms", [0, 32, 96])
def test_voice_is_no_pause_to_cut_at(min_silence_ms):
    samples = speech(992, 5000)
    limits = {"longest_ms": 2000, "min_silence_ms": min_silence_ms}
    finals = of(Final, hear(options(**limits), wire(samples), recognizer=Recorder()))
    assert finals[0].words[-1].end - finals[0].words[0].start == pytest.approx(2000 * 16, abs=512)


# changes while it runs


def test_a_new_grammar_in_the_middle_of_speech():
    recorder, samples = Recorder(), speech(992, 2048, 992)
    steps = [(at_ms(1500), Changes(phrases=("on", "off"))), (at_ms(2011), Changes(phrases=()))]
    events = hear(options(), wire(samples), steps, recognizer=recorder)
    assert recorder.grammars == [(), ("on", "off"), ()]
    assert texts(events) == ["u1 u2 u3"]
    places = recorder.places(samples)
    assert [b[0] - a[1] for a, b in zip(places, places[1:], strict=False)] == [0, 0]
    assert [type(event) for event in events if not isinstance(event, Partial)] == [
        SpeechStarted,
        SpeechEnded,
        Final,
        Closed,
    ]


def test_a_new_grammar_in_silence_and_a_change_without_one():
    recorder, samples = Recorder(), speech(992, 1024, 992)
    steps = [(at_ms(500), Changes(phrases=("on",))), (at_ms(1500), Changes(partial_ms=0))]
    events = hear(options(), wire(samples), steps, recognizer=recorder)
    assert recorder.grammars == [(), ("on",)]
    assert len(recorder.utterances) == 1
    assert len(texts(events)) == 1


def test_other_words_from_a_new_grammar_on():
    steps = [(at_ms(1504), Changes(phrases=("yes", "no")))]
    assert texts(hear(options(), wire(speech(992, 1024, 992)), steps)) == ["one two yes no"]


def test_endpointing_may_change():
    longer = Endpointing(silence_to_end_ms=2000)
    samples = wire(speech(992, 512, 992, 512, 992))
    assert len(texts(hear(options(), samples))) == 2
    assert len(texts(hear(options(), samples, [(0, Changes(endpointing=longer))]))) == 1


# headers and ends


@pytest.mark.parametrize("rate", RATES)
def test_a_riff_header_is_not_heard(rate):
    samples = speech(992, 1024, 992, rate=rate)
    wanted = options(AudioFormat(rate=rate))
    assert hear(wanted, wav(samples, rate)) == hear(wanted, wire(samples))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("length", [1, 100, 12_345])
def test_finish_flushes_everything(rate, length):
    recorder, samples = Recorder(), noise((True, length))
    events = hear(options(AudioFormat(rate=rate)), wire(samples), recognizer=recorder)
    expected = round(length * RATE / rate)
    assert events[-1] == Closed(expected)
    if expected >= 512:
        assert sum(map(len, recorder.utterances)) == expected


def test_half_a_header_is_heard_at_the_end():
    assert hear(options(), wav(np.empty(0, np.int16))[:40]) == [Closed(20)]


# properties

STRETCHES = st.lists(st.tuples(st.booleans(), st.integers(1, 12_000)), max_size=8)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "manual": st.booleans(),
        "min_speech_ms": st.sampled_from([0, 96, 100, 250]),
        "silence_to_end_ms": st.sampled_from([0, 200, 500, 1000]),
        "pre_roll_ms": st.sampled_from([0, 33, 320]),
        "hangover_ms": st.sampled_from([0, 100, 320, 480]),
        "longest_ms": st.sampled_from([1000, 1500, 30_000]),
        "partial_ms": st.sampled_from([0, 100, 250]),
    },
)
CHANGES = st.one_of(
    st.just(COMMIT),
    st.builds(Changes, phrases=st.sampled_from([(), ("yes", "no")])),
    st.builds(Changes, endpointing=st.builds(Endpointing, silence_to_end_ms=st.integers(0, 800))),
)
PLACES = st.integers(0, 200_000)
STEPS = st.lists(st.tuples(PLACES, CHANGES), max_size=5)


def check(events, commits):
    """What holds for every session."""
    speaking, segment, place, committed, position = False, 0, 0, 0, events[-1].audio
    for index, event in enumerate(events):
        match event:
            case SpeechStarted(at=at):
                assert not speaking
                speaking = True
                assert place <= at <= position
                place = at
            case SpeechEnded(at=at):
                assert speaking
                speaking = False
                assert place <= at <= position
                place = at
            case Partial(segment=number, text=text, words=words, stable=stable, start=start, end=end):
                assert number == segment
                assert text == " ".join(word.text for word in words) != ""
                assert 0 <= stable <= len(words)
                assert 0 <= start <= end <= position
            case Final(segment=number, text=text, words=words, start=start, end=end):
                assert number == segment
                segment += 1
                assert text == " ".join(word.text for word in words) != ""
                assert 0 <= start <= end <= position
                edges = [edge for word in words for edge in (word.start, word.end)]
                assert edges == sorted(edges)
                assert 0 <= edges[0] <= edges[-1] <= position
            case Committed(at=at, empty=empty):
                committed += 1
                assert at <= position
                before = events[index - 1]
                assert not (empty and isinstance(before, Final) and before.cause is Cause.COMMIT)
    assert not speaking
    assert committed == commits
    assert [type(event) for event in events].count(Closed) == 1
    finals = of(Final, events)
    assert all(a.words[-1].end <= b.words[0].start for a, b in zip(finals, finals[1:], strict=False))


@settings(max_examples=200)
@given(STRETCHES, LIMITS, STEPS, st.sampled_from([FakeRecognizer, Recorder, WholeFake, Drafter]))
def test_what_holds_for_every_session(stretches, limits, steps, recognizer):
    steps = [(at // 2 * 2, step) for at, step in steps]
    commits = sum(step == COMMIT for _, step in steps)
    check(hear(options(**limits), wire(noise(*stretches)), steps, recognizer=recognizer()), commits)


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=25)
@given(
    encoding=st.sampled_from(Encoding),
    channels=st.sampled_from([1, 2]),
    stretches=STRETCHES,
    limits=LIMITS,
    steps=STEPS,
    cuts=st.lists(PLACES, max_size=12),
    header=st.booleans(),
)
def test_cutting_the_input_never_changes_the_events(rate, encoding, channels, stretches, limits, steps, cuts, header):
    samples = noise(*((loud, n * rate // RATE) for loud, n in stretches))
    data = encode(np.repeat(samples, channels), encoding)
    if header:
        data = wav_header(AudioFormat(encoding, rate, channels)) + data
    wanted = options(AudioFormat(encoding, rate, channels), **limits)
    assert hear(wanted, data, steps, cuts) == hear(wanted, data, steps)


@settings(max_examples=10)
@given(STRETCHES, st.sampled_from([1, 2, 3, 640, 1024, 1025]))
def test_neither_do_small_equal_pieces(stretches, size):
    data = wire(noise(*stretches))[: 40_000 if size < 10 else None]
    assert hear(options(), data, cuts=range(0, len(data), size)) == hear(options(), data)


def frames_of_voice(samples, edges):
    """Stretches of voice that count for sure: at least six whole frames between two places where it may be cut."""
    loud = np.abs(samples.astype(int)) > 30
    runs, start = [], None
    for index in range(0, len(samples) + 1, 16):
        voiced = index < len(samples) and loud[index : index + 16].any()
        if start is not None and (not voiced or any(start < edge <= index for edge in edges)):
            runs.append((start, index))
            start = None
        if voiced and start is None:
            start = index
    return [(a, b) for a, b in runs if b - a >= 6 * 512]


@pytest.mark.parametrize("whole", [False, True])
@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 750).map(lambda n: n * 16)), max_size=8),
    LIMITS,
    st.lists(st.tuples(st.integers(0, 6_000).map(lambda n: n * 32), CHANGES), max_size=4),
)
def test_every_voiced_sample_is_recognised_once_and_silence_is_not(whole, stretches, limits, steps):
    limits = {**limits, "pre_roll_ms": max(33, limits.get("pre_roll_ms", 320)), "min_speech_ms": 96}
    hangover = max(limits.get("hangover_ms", 320), 96)
    recorder, samples = Drafter(utterance_s=2.0) if whole else Recorder(), noise(*stretches)
    if whole:
        hangover = max(hangover, LONGEST_PAUSE * 1000 // RATE)
    hear(options(**limits), wire(samples), steps, recognizer=recorder)
    places = recorder.places(samples)
    heard = np.zeros(len(samples), int)
    for start, end in places:
        heard[start:end] += 1
    assert heard.max(initial=0) <= 1
    for start, end in frames_of_voice(samples, [at // 2 for at, _ in steps]):
        assert heard[start:end].all(), (start, end)
    if any(isinstance(step, Changes) and step.endpointing for _, step in steps):
        return
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 30)
    reach = (limits["pre_roll_ms"] * 16, (hangover + 2 * 32) * 16)
    for place in np.flatnonzero(heard)[::64]:
        near = np.searchsorted(loud, [place - reach[1], place + reach[0] + 2 * 512])
        assert near[0] < near[1], f"silence at {place}"
