"""How well the gate in front of the recogniser tells speech from silence, on labelled recordings."""

from __future__ import annotations

import wave
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.core.endpoint import Endpointer, Turn
from appliance.core.events import RATE
from appliance.core.options import Endpointing
from appliance.core.ports import VadModel

COLLAR_S = 0.1
"""Around each labelled edge, which is not scored."""

Mask = NDArray[np.bool_]


class _Row(Struct):
    file: str
    speech: list[tuple[float, float]]


class Score(Struct):
    """Counts of frames; see the properties."""

    hit: int = 0
    false: int = 0
    missed: int = 0
    speech: int = 0
    fed_speech: int = 0
    silence: int = 0
    fed_silence: int = 0

    @property
    def precision(self) -> float:
        """Of the frames called voiced, the share that is labelled speech."""
        return self.hit / max(1, self.hit + self.false)

    @property
    def recall(self) -> float:
        """Of the frames labelled speech, the share that is called voiced."""
        return self.hit / max(1, self.hit + self.missed)

    @property
    def given(self) -> float:
        """Of the frames labelled speech, the share that the recogniser gets."""
        return self.fed_speech / max(1, self.speech)

    @property
    def spared(self) -> float:
        """Of the frames labelled silence, the share that it does not get."""
        return 1 - self.fed_silence / max(1, self.silence)


def scores(folder: Path, model: VadModel, options: Endpointing) -> dict[str, Score]:
    """A score for each group (the folder a recording lies in) of ``folder/manifest.jsonl``."""
    result: dict[str, Score] = {}
    for line in (folder / "manifest.jsonl").read_bytes().splitlines():
        row = msgspec.json.decode(line, type=_Row)
        with wave.open(str(folder / row.file)) as audio:
            samples = np.frombuffer(audio.readframes(audio.getnframes()), np.int16)
        frames = samples[: len(samples) // model.frame * model.frame].reshape(-1, model.frame)
        probabilities = np.array(model.stream().probabilities(frames))
        middle = (np.arange(len(frames)) + 0.5) * model.frame / RATE
        speech, scored = np.zeros(len(frames), bool), np.ones(len(frames), bool)
        for start, end in row.speech:
            speech |= (middle >= start) & (middle < end)
            scored &= (np.abs(middle - start) >= COLLAR_S) & (np.abs(middle - end) >= COLLAR_S)
        voiced, fed = probabilities >= options.threshold, _fed(probabilities, model.frame, options)
        score = result.setdefault(Path(row.file).parts[-2], Score())
        score.hit += _count(voiced & speech & scored)
        score.false += _count(voiced & ~speech & scored)
        score.missed += _count(~voiced & speech & scored)
        score.speech += _count(speech)
        score.fed_speech += _count(fed & speech)
        score.silence += _count(~speech)
        score.fed_silence += _count(fed & ~speech)
    return result


def _fed(probabilities: NDArray[np.float64], frame: int, options: Endpointing) -> Mask:
    """Which frames the recogniser gets: utterances with their pre-roll and hangover."""
    endpointer = Endpointer(options, frame)
    fed = np.zeros(len(probabilities), bool)
    pre_roll = options.pre_roll_ms * RATE // 1000
    feeding = False
    for index, probability in enumerate(probabilities):
        fed[index] = feeding
        mark = endpointer.step(float(probability))
        if mark is not None:
            feeding = mark.turn in (Turn.START, Turn.RESUME)
            if feeding:
                fed[max(0, (mark.at - pre_roll) // frame) : index + 1] = True
    return fed


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))
