"""When a stream decodes, and what it keeps of it: with a stand-in for the decoder, a clock of its own and no model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import RATE
from appliance.core.ports import DraftStream, Evidence, Hypothesis
from appliance.core.problems import Kind, Refused
from appliance.engines.whisper import stream as module
from appliance.engines.whisper.stream import CONTEXT_TOKENS, LONGEST, SEARCHED, WhisperStream, bare, common
from tests.engines.whisper.rig import GAP, WORD, Owner, Sound, say

LETTER = WORD + GAP
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def sound(monkeypatch):
    monkeypatch.setattr(module, "Spectrogram", Sound)


@pytest.fixture
def owner():
    return Owner()


def stream(owner, *languages):
    return WhisperStream(owner, languages or ("en",), owner.speaker.clock)


def text(hypothesis: Hypothesis) -> str:
    return "".join(word.text for word in hypothesis.words)


def feed(made, samples, piece=2_048):
    for at in range(0, len(samples), piece):
        made.accept(samples[at : at + piece])


def test_stream_is_a_draft_stream(owner):
    assert isinstance(stream(owner), DraftStream)


# when a partial is decoded


@pytest.mark.parametrize(
    ("cost_s", "speaking", "share", "after_s", "due"),
    [
        (0.2, 1, 0.5, 0.40, False),
        (0.2, 1, 0.5, 0.41, True),
        (0.2, 1, 0.25, 0.80, False),
        (0.2, 1, 0.25, 0.81, True),
        (0.2, 3, 0.5, 1.20, False),  # the share is that of all who speak
        (0.2, 3, 0.5, 1.21, True),
        (0.0, 9, 0.5, 0.00, False),  # without news there is nothing to decode
        (0.0, 9, 0.5, 0.01, True),
    ],
)
def test_due_partials_keep_to_their_share_of_a_core(cost_s, speaking, share, after_s, due):
    owner = Owner(share)
    owner.speaker.seconds = cost_s
    made = stream(owner)
    others = [stream(owner) for _ in range(speaking - 1)]
    for each in (made, *others):
        each.accept(say("ab"))
    assert made.due()
    made.partial()
    assert not made.due()
    if after_s:
        made.accept(np.full(round(after_s * RATE), 300, np.int16))
    assert made.due() is due
    made.partial()
    assert len(owner.speaker.decodes) == 1 + due


@pytest.mark.parametrize(("samples", "due"), [(0, False), (1_599, False), (1_600, True)])
def test_due_short_audio_is_not_decoded(owner, samples, due):
    made = stream(owner)
    if samples:
        made.accept(np.full(samples, 100, np.int16))
    assert made.due() is due
    made.partial()
    assert len(owner.speaker.decodes) == due


def test_partial_of_no_audio_is_empty(owner):
    assert stream(owner).partial().words == ()


# what a partial shows


def test_partial_shows_words_that_two_decodes_agree_on(owner):
    made = stream(owner)
    owner.speaker.mishears = {1: "x", 3: "y"}
    seen = []
    for letter in "abcd":
        made.accept(say(letter))
        seen.append(text(made.partial()))
    assert seen == ["", "", "ab", "ab"]  # x; ab; aby; abcd


def test_partial_keeps_times_of_words_that_were_shown(owner):
    made, before = stream(owner), ()
    for letter in "abcdefgh":
        made.accept(say(letter))
        words = made.partial().words
        assert words[: len(before)] == before
        edges = [edge for word in words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        before = words
    assert len(before) == 7


def test_partial_fixed_words_are_forced_on_the_next_decode(owner):
    made, fixed = stream(owner), []
    for letter in "abcdefgh":
        made.accept(say(letter))
        fixed.append(made.partial().fixed)
    forced = [row[3] for row in owner.speaker.decodes]
    assert forced[0] == forced[1] == ""
    assert [len(prefix) for prefix in forced[1:]] == fixed[:-1]
    assert fixed == sorted(fixed)
    assert fixed[-1] >= 3
    assert all("abcdefgh".startswith(prefix) for prefix in forced)
    # a word that ended just now can still become another one
    assert all(made._shown[number].end <= 8 * LETTER - module.UNSURE for number in range(fixed[-1]))


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [([], [], 0), (["a"], [], 0), (["a", "b"], ["a"], 1), (["a", "b"], ["a", "c"], 1), (["x", "b"], ["a", "b"], 0)],
)
def test_common_is_the_length_of_the_shared_prefix(one, other, count):
    assert common(one, other) == common(other, one) == count


def test_bare_has_neither_case_nor_punctuation():
    assert [bare(word) for word in ("Isn't,", "STRASSE", "Straße", "5%", "...")] == [
        "isnt",
        "strasse",
        "strasse",
        "5",
        "",
    ]


# drafts and finals


def test_finish_after_draft_costs_no_decode(owner):
    made = stream(owner)
    made.accept(say("abc"))
    assert made.finish_s() > 0
    draft = made.draft()
    assert made.finish_s() == 0.0
    assert not made.due()
    assert text(made.partial()) == "abc"
    assert made.draft() is made.finish() is draft
    assert len(owner.speaker.decodes) == 1
    assert text(draft) == "abc"
    assert made.finish().words == ()
    assert len(owner.speaker.decodes) == 1


def test_draft_is_discarded_when_audio_follows(owner):
    owner.speaker.seconds = 0.1
    made = stream(owner)
    made.accept(say("abc"))
    made.draft()
    made.accept(say("d"))
    assert made.finish_s() > 0
    assert text(made.finish()) == "abcd"
    assert [row[0] for row in owner.speaker.decodes] == [3 * LETTER, 4 * LETTER]


def test_partial_after_discarded_draft_keeps_its_words(owner):
    made = stream(owner)
    for letters in ("a", "b"):
        made.accept(say(letters))
        made.partial()
    made.accept(say("cd"))
    assert text(made.draft()) == "abcd"
    made.accept(say("ef"))
    assert text(made.partial()) == "abcd"


def test_finish_is_decoded_without_forced_words(owner):
    made = stream(owner)
    for letter in "abcdefgh":
        made.accept(say(letter))
        made.partial()
    assert owner.speaker.decodes[-1][3]
    assert text(made.finish()) == "abcdefgh"
    assert owner.speaker.decodes[-1][3] == ""


def test_finish_begins_a_new_utterance(owner):
    made, before = stream(owner), ""
    for letters in ("abc", "de", "f"):
        made.accept(say(letters))
        made.partial()
        found = made.finish()
        assert text(found) == letters
        assert (found.words[0].start, found.words[-1].end <= len(say(letters))) == (0, True)
        assert found.earlier == ()
        assert owner.speaker.decodes[-1][2:] == (before, "")  # the text so far is context
        before += letters


def test_prompt_is_the_end_of_the_text_so_far(owner):
    made = stream(owner)
    letters = (ALPHABET * 3)[: CONTEXT_TOKENS + 7]
    for at in range(0, len(letters), 11):
        made.accept(say(letters[at : at + 11]))
        made.finish()
    made.accept(say("a"))
    made.finish()
    assert owner.speaker.decodes[-1][2] == letters[7:]


def test_prompt_ends_with_an_utterance_without_words(owner):
    made = stream(owner)
    for letters in ("abc", "  ", "de"):
        made.accept(say(letters))
        made.finish()
    assert [row[2] for row in owner.speaker.decodes] == ["", "abc", ""]


def test_prompt_ends_with_a_change_of_language(owner):
    made = stream(owner, "en", "hi")
    for language in ("en", "en", "hi", "hi"):
        owner.speaker.scores = {language: 0.9}
        made.accept(say("ab"))
        assert made.finish().language == language
    assert [row[2] for row in owner.speaker.decodes] == ["", "ab", "", "ab"]


def test_context_of_another_stream_is_the_prompt(owner):
    first, second = stream(owner), stream(owner)
    first.accept(say("abc"))
    first.finish()
    assert first.context == tuple(map(ord, "abc"))
    second.context = first.context
    second.accept(say("d"))
    second.finish()
    assert owner.speaker.decodes[-1][2] == "abc"


def test_prompt_of_a_discarded_draft_is_not_kept(owner):
    made = stream(owner)
    made.accept(say("ab"))
    made.draft()
    made.accept(say("c"))
    made.finish()
    made.accept(say("d"))
    made.finish()
    assert [row[2] for row in owner.speaker.decodes] == ["", "", "abc"]


def test_finish_s_follows_the_time_that_decodes_take(owner):
    made = stream(owner)
    made.accept(say("ab"))
    before = made.finish_s()
    owner.speaker.seconds = 1.0
    made.draft()
    made.accept(say("cd"))
    assert made.finish_s() == pytest.approx(1.5)  # 1 s for 1 s and the silence of 1 s; now there are 2 s
    assert made.finish_s() > before


@pytest.mark.parametrize("samples", [1, 800, 1_599])
def test_finish_very_short_audio_is_no_decode(owner, samples):
    made = stream(owner)
    made.accept(np.full(samples, 100, np.int16))
    assert made.finish() == Hypothesis((), "en")
    assert owner.speaker.decodes == []
    assert owner.speaking == 0


def test_finish_words_are_aligned_and_as_sure_as_the_decoder(owner):
    made = stream(owner)
    made.accept(say(" ab"))
    words = made.finish().words
    assert [(word.text, word.start, word.confidence) for word in words] == [("a", LETTER, 0.5), ("b", 2 * LETTER, 0.5)]
    assert words[0].end == pytest.approx(LETTER + WORD, abs=160)


# long utterances


def test_accept_cuts_at_the_quietest_place_after_28_s(owner):
    made = stream(owner)
    letters = (ALPHABET * 3)[:60]
    with_pause = letters[:45] + " " + letters[45:]  # at 22.5 s
    feed(made, say(with_pause))
    assert len(owner.speaker.decodes) == 1
    samples = owner.speaker.decodes[0][0]
    assert 45 * LETTER <= samples <= 46 * LETTER
    assert LONGEST - SEARCHED <= samples <= LONGEST
    partial = made.partial()
    assert (text(partial), partial.fixed) == (letters[:45], 45)
    assert owner.speaker.decodes[1][2:] == (letters[:45], "")  # what came before is the prompt
    found = made.finish()
    assert text(found) == letters
    starts = [word.start for word in found.words]
    expected = [(number + (number >= 45)) * LETTER for number in range(60)]
    assert np.allclose(starts, expected, atol=160)
    assert owner.speaker.decodes[-1][2] == letters[:45]


def test_accept_one_long_piece_is_cut_several_times(owner):
    """A pre-roll may be a minute long. No decode gets more than the encoder takes."""
    made = stream(owner)
    letters = (ALPHABET * 8)[:200]
    made.accept(say(letters))
    assert text(made.finish()) == letters
    assert len(owner.speaker.decodes) >= 4
    assert max(row[0] for row in owner.speaker.decodes) <= LONGEST


def test_accept_two_hours_without_pause_lose_no_word(owner):
    made = stream(owner)
    letters = (ALPHABET * 600)[: 2 * 3600 * 2]
    most = 0
    for at in range(0, len(letters), 50):
        made.accept(say(letters[at : at + 50]))
        most = max(most, made._audio.samples)
        assert len(made._prompt) <= 60
    assert most < LONGEST
    assert max(row[0] for row in owner.speaker.decodes) <= LONGEST
    found = made.finish()
    assert text(found) == letters
    starts = [word.start for word in found.words]
    assert np.allclose(starts, np.arange(len(letters)) * LETTER, atol=160)
    assert owner.speaking == 0


def test_finish_evidence_is_told_for_each_part(owner):
    made = stream(owner)
    noise = Evidence(no_speech=0.99, log_probability=-2.0, compression=1.0, tokens=1)
    feed(made, say((ALPHABET * 3)[:57]))
    owner.speaker.evidence = noise
    found = made.finish()
    ((count, evidence),) = found.earlier
    assert (evidence, found.evidence) == (owner.speaker.__class__().evidence, noise)
    assert 0 < count < len(found.words) == 57


def test_finish_short_rest_after_cut_keeps_earlier_words(owner):
    made = stream(owner)
    letters = (ALPHABET * 3)[:55] + "  "
    samples = say(letters)[:LONGEST]
    made.accept(samples)
    made._audio = Sound(0)
    made._audio.push(np.zeros(100, np.int16))
    found = made.finish()
    assert text(found) == letters.strip()
    assert (found.evidence, len(found.earlier)) == (None, 1)


# languages


def test_language_of_one_is_not_detected(owner):
    made = stream(owner, "de")
    owner.speaker.scores = {"fr": 1.0}
    made.accept(say("ab"))
    assert made.finish().language == "de"
    assert owner.speaker.decodes[0][1] == ("de",)


def test_language_partials_compare_until_it_is_known(owner):
    made = stream(owner, "en", "hi")
    owner.speaker.scores = {"hi": 0.9}
    made.accept(say("ab"))
    made.partial()
    made.finish()
    made.accept(say("cd"))
    made.partial()
    assert [row[1] for row in owner.speaker.decodes] == [("en", "hi"), ("hi",), ("hi",)]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([{"en": 0.6, "hi": 0.4}], ["en"]),
        ([{"en": 0.4, "hi": 0.6}], ["hi"]),  # the first utterance takes the likeliest
        ([{"hi": 0.1, "fr": 0.9}], ["hi"]),  # among those that were asked for
        ([{"hi": 0.9}, {"en": 0.6, "hi": 0.4}], ["hi", "hi"]),  # later ones need a clear lead
        ([{"hi": 0.9}, {"en": 0.7, "hi": 0.3}], ["hi", "en"]),
        ([{"hi": 0.9}, {"en": 0.7, "hi": 0.3}, {"en": 0.4, "hi": 0.6}], ["hi", "en", "en"]),
        ([{}], ["en"]),
    ],
)
def test_language_changes_only_to_a_clear_leader(owner, scores, expected):
    made = stream(owner, "en", "hi")
    seen = []
    for each in scores:
        owner.speaker.scores = each
        made.accept(say("ab"))
        seen.append(made.finish().language)
    assert seen == expected


# refusals and the count of those who speak


def test_grammar_refuses_phrases(owner):
    made = stream(owner)
    made.grammar(())
    with pytest.raises(Refused) as refused:
        made.grammar(("on", "off"))
    assert refused.value.problem.kind is Kind.BAD_OPTION


def test_speaking_survives_a_decode_that_fails(owner, monkeypatch):
    made = stream(owner)
    made.accept(say("ab"))

    def broken(*arguments, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(owner.speaker, "decode", broken)
    with pytest.raises(RuntimeError):
        made.finish()
    assert owner.speaking == 1
    made.close()
    made.close()
    assert owner.speaking == 0


ACTIONS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["word", "nothing", "long", "partial", "draft", "finish", "close"])),
    max_size=25,
)


@given(ACTIONS)
def test_speaking_counts_open_utterances(actions):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Spectrogram", Sound)
        owner = Owner()
        streams = [stream(owner) for _ in range(3)]
        speaking: set[int] = set()
        for number, action in actions:
            made = streams[number]
            match action:
                case "word" | "long":
                    made.accept(say("ab" if action == "word" else "abcdef" * 10))
                    speaking.add(number)
                case "nothing":
                    made.accept(np.zeros(0, np.int16))
                case "finish" | "close":
                    getattr(made, action)()
                    speaking.discard(number)
                case _:
                    getattr(made, action)()
            assert owner.speaking == len(speaking)
