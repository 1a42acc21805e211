"""Word error rates of the engine alone and of the daemon, and how much the words' confidence says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from appliance.bench.bare import bare
from appliance.bench.clients import Heard, stream, streams
from appliance.bench.corpus import Clip
from appliance.bench.plan import ALL, CLOSED, KIOSK, WHISPER, Plan, Row, Tell, daemon
from appliance.text.errors import word_errors

PACED = 8
"""Clips that are also sent in real time."""
SPELLED = re.compile(r"\b(?=[A-Z0-9]*[A-Z])[A-Z0-9]{2,}\b")
"""Letters and digits that were said one by one and are written as one word."""


def normalised(text: str) -> list[str]:
    """Return the words to be compared: Whisper's own English rules, letters and digits one by one.

    The rules are those of the package ``whisper-normalizer``, which is for development only; without it case and
    punctuation are removed, and numbers in digits count as errors.
    """
    text = SPELLED.sub(lambda found: " ".join(found[0]), text)
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        words = re.sub(r"[^\w' ]", " ", text.lower()).split()
    else:
        words = EnglishTextNormalizer()(text).split()
    return [part for word in words for part in (list(word) if word.isdigit() else [word])]


class Rate:
    """Word errors of several texts, by group."""

    def __init__(self, clips: Sequence[Clip], texts: Sequence[str]) -> None:
        self.errors: Counter[str] = Counter()
        self.words: Counter[str] = Counter()
        for clip, text in zip(clips, texts, strict=True):
            said = normalised(clip.text)
            self.errors[clip.group] += word_errors(said, normalised(text))
            self.words[clip.group] += len(said)

    def percent(self, group: str = "") -> float:
        """Return the word error rate of a group, of everything without one."""
        if group:
            return 100 * self.errors[group] / max(1, self.words[group])
        return 100 * self.errors.total() / max(1, self.words.total())


async def accuracy(plan: Plan, tell: Tell) -> None:
    """Word error rates of engine and daemon on the same clips; and whether real time changes a word."""
    for model, groups in ((WHISPER, ALL), (KIOSK, CLOSED), *((other, ALL) for other in plan.others())):
        clips = plan.clips(groups)
        alone = Rate(clips, (await bare(model, [clip.audio for clip in clips])).texts)
        async with daemon(model, plan) as child:
            heard = [await stream(child.url, clip.audio, paced=False) for clip in clips]
            few = clips[:: max(1, len(clips) // PACED)]
            paced = [result.text for result in await streams(child.url, [clip.audio for clip in few])]
        texts = [one.text for one in heard]
        served = Rate(clips, texts)
        for group in sorted(served.words):
            what = f"word errors, {model.name}, {group}"
            tell(Row(f"{what} ({served.words[group]} words): engine alone", alone.percent(group), "%"))
            tell(Row(f"{what}: daemon", served.percent(group), "%"))
            more = served.percent(group) - alone.percent(group)
            tell(Row(f"{what}: daemon - engine", more, "points", "<= 0.5", more <= 0.5))
        more = served.percent() - alone.percent()
        tell(Row(f"word errors, {model.name}, all: engine alone", alone.percent(), "%"))
        tell(Row(f"word errors, {model.name}, all: daemon - engine", more, "points", "<= 0", more <= 0))
        same = sum(one == texts[clips.index(clip)] for one, clip in zip(paced, few, strict=True))
        what = f"real time gives the same text as at once, {model.name}"
        tell(Row(what, same, f"of {len(few)} clips", f"= {len(few)}", same == len(few)))
        tell(Row(f"confidence of right over wrong words, {model.name}", area(clips, heard), "area (AUC)"))


def area(clips: Sequence[Clip], heard: Sequence[Heard]) -> float:
    """Return the probability that a right word has a higher confidence than a wrong one."""
    right: list[float] = []
    wrong: list[float] = []
    for clip, one in zip(clips, heard, strict=True):
        left = Counter(normalised(clip.text))
        for word in one.words:
            known = normalised(word["text"])
            good = bool(known) and all(left[part] > 0 for part in known)
            left.subtract(known)
            (right if good else wrong).append(word["confidence"])
    pairs = len(right) * len(wrong)
    higher = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    return higher / pairs if pairs else float("nan")
