"""Partials as a reader of captions sees them: how soon a word appears, and how often it changes."""

from __future__ import annotations

import difflib
import statistics
from itertools import pairwise

from appliance.bench.accuracy import normalised
from appliance.bench.clients import Heard, stream
from appliance.bench.plan import FREE, KIOSK, WHISPER, Plan, Row, Tell, daemon, percentile

CLIPS, LONGEST_S = 12, 12.0
"""Clips, and seconds of each at most: they are sent in real time."""


async def partials(plan: Plan, tell: Tell) -> None:
    """In real time, one stream: from a word's end to the first partial that shows it; words that change once shown."""
    clips = plan.clips(FREE)
    for model in (WHISPER, KIOSK):
        delays: list[float] = []
        changed = shown = 0
        async with daemon(model, plan) as child:
            for clip in [clip for clip in clips if clip.seconds <= LONGEST_S][:CLIPS]:
                heard = await stream(child.url, clip.audio, paced=True)
                for number in range(len(heard.finals)):
                    more, words = flicker(heard, number)
                    changed, shown = changed + more, shown + words
                    delays += appearances(heard, number)
        p50 = 1000 * statistics.median(delays) if delays else float("nan")
        aimed = model is WHISPER
        tell(Row(f"word end to the partial that shows it, {model.name}, p50", p50, "ms",
                 "<= 700" if aimed else "", p50 <= 700 if aimed else None))  # fmt: skip
        tell(Row(f"word end to the partial that shows it, {model.name}, p90", 1000 * percentile(delays, 0.9), "ms"))
        tell(Row(f"words that change after being shown, {model.name}", 100 * changed / max(1, shown), "per 100 words"))


def appearances(heard: Heard, segment: int) -> list[float]:
    """Return for each word of a final the seconds from its end to the first message that shows it where it stays."""
    found = []
    told = [(at, [_key(word["text"]) for word in words]) for at, number, words in heard.partials if number == segment]
    final = [_key(word["text"]) for word in heard.final_words[segment]]
    for index, word in enumerate(heard.final_words[segment]):
        at = next((at for at, keys in told if keys[: index + 1][-1:] == final[index : index + 1] and len(keys) > index),
                  heard.final_at[segment])  # fmt: skip
        found.append(at - word["end"])
    return found


def flicker(heard: Heard, segment: int) -> tuple[int, int]:
    """Return how many words of a segment changed or vanished after being shown, and how many words its final has."""
    told = [[_key(word["text"]) for word in words] for _, number, words in heard.partials if number == segment]
    told.append([_key(word["text"]) for word in heard.final_words[segment]])
    changed = 0
    for before, after in pairwise(told):
        for kind, first, last, _, _ in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            changed += (last - first) * (kind in ("replace", "delete"))
    return changed, len(told[-1])


def _key(text: str) -> str:
    return " ".join(normalised(text))
