"""Run inside a guest whose clock counts instructions (one a nanosecond), and tell what a second of audio costs.

usage: instructions.py SENTENCE.wav [NAME...]; prints {name: millions of instructions per second of audio} as JSON.

Each measure begins and ends with getppid(2), at which tests/boot/count.c prints the count of an emulator without such a
clock. The seconds of audio of each measure are on standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
import wave
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from appliance.audio.pcm import PcmDecoder
from appliance.audio.resample import Resampler
from appliance.core.options import AudioFormat, Encoding
from appliance.engines.registry import ModelSpec, detector, load
from appliance.engines.whisper.recognizer import WhisperRecognizer
from appliance.engines.whisper.stream import WhisperStream
from appliance.packs.record import record_of
from appliance.packs.selection import EMBEDDED
from appliance.packs.store import embedded

MESSAGE_S = 0.1
"""Audio comes in messages of this length, and there is a partial after each."""
Measure = Callable[[np.ndarray], Iterator[float]]
"""Gives the audio's sentence (int16, 16 kHz) in; yields the seconds of audio dealt with, between its steps."""


def decode(encoding: Encoding, speech: np.ndarray) -> Iterator[float]:
    decoder = PcmDecoder(AudioFormat(encoding=encoding, rate=16_000), riff=False)
    data = speech.tobytes()
    step = int(16_000 * MESSAGE_S) * AudioFormat(encoding=encoding, rate=16_000).frame_bytes
    for start in range(0, len(data) - step, step):
        decoder.push(data[start : start + step])
        yield MESSAGE_S


def resample(rate: int, speech: np.ndarray) -> Iterator[float]:
    resampler, step = Resampler(rate), int(rate * MESSAGE_S)
    for start in range(0, len(speech) - step, step):
        resampler.push(speech[start : start + step])
        yield MESSAGE_S


def detect(name: str, speech: np.ndarray) -> Iterator[float]:
    stream = detector(name).stream()
    frames = speech[: len(speech) // (3 * stream.frame) * 3 * stream.frame].reshape(-1, 3, stream.frame)
    yield 0.0
    for three in frames:
        stream.probabilities(three)
        yield three.size / 16_000


def recognise(model: ModelSpec, speech: np.ndarray) -> Iterator[float]:
    stream, step = load(model).stream(), int(16_000 * MESSAGE_S)
    yield 0.0
    for start in range(0, len(speech), step):
        stream.accept(speech[start : start + step])
        stream.partial()
        yield len(speech[start : start + step]) / 16_000
    stream.finish()
    yield 0.0


def decode_final(seconds: float, speech: np.ndarray) -> Iterator[float]:
    """Decode an utterance once, as it ends, after one that loads the model."""
    stream = load(WHISPER).stream()
    stream.accept(speech[:LOADS])
    stream.finish()
    utterance = speech[: int(seconds * 16_000)]
    yield 0.0
    stream.accept(utterance)
    stream.finish()
    yield len(utterance) / 16_000


def decode_partials(speech: np.ndarray) -> Iterator[float]:
    """Decode the open utterance once for each second of audio. A clock that stands makes every partial due."""
    recognizer = load(WHISPER)
    assert isinstance(recognizer, WhisperRecognizer)
    stream = WhisperStream(recognizer, ("en",), lambda: 0.0)
    stream.accept(speech[:LOADS])
    stream.finish()
    yield 0.0
    for start in range(0, len(speech) // 16_000 * 16_000, 16_000):
        stream.accept(speech[start : start + 16_000])
        stream.partial()
        yield 1.0


LOADS = 16_000
"""Samples of the utterance that loads the model."""
UTTERANCE_S = 2.8
"""Seconds of the sentence: the silence before it, its words and a pause as short as in the middle of speech."""
KIOSK = ModelSpec(name="kiosk-words", engine="vosk", language="en", path=str(embedded()["kiosk-words"]))
WHISPER = ModelSpec(
    name=EMBEDDED,
    engine="whisper",
    language="en",
    path=str(embedded()[EMBEDDED]),
    context=record_of(EMBEDDED, embedded()[EMBEDDED]).context,
)
MEASURES: dict[str, Measure] = {
    "decode s16le": partial(decode, Encoding.S16LE),
    "decode mulaw": partial(decode, Encoding.MULAW),
    "decode f32le": partial(decode, Encoding.F32LE),
    "resample 8 kHz": partial(resample, 8_000),
    "resample 44.1 kHz": partial(resample, 44_100),
    "resample 48 kHz": partial(resample, 48_000),
    "voice detector silero": partial(detect, "silero"),
    "voice detector energy": partial(detect, "energy"),
    "kiosk-words": partial(recognise, KIOSK),
    "whisper-tiny-en, a final of 2.8 s": partial(decode_final, UTTERANCE_S),
    "whisper-tiny-en, a partial a second": decode_partials,
}


def cost(measure: Measure, speech: np.ndarray) -> float:
    """Millions of instructions per second of audio. What comes before the first step, loading, is not counted."""
    steps = measure(speech)
    next(steps)
    os.getppid()
    began, heard = time.process_time(), 0.0
    for seconds in steps:
        heard += seconds
    took = time.process_time() - began
    os.getppid()
    print(f"seconds {heard}", file=sys.stderr, flush=True)
    return took * 1_000 / heard


def main() -> None:
    with wave.open(sys.argv[1]) as audio:
        speech = np.frombuffer(audio.readframes(audio.getnframes()), np.int16)
    names = sys.argv[2:] or list(MEASURES)
    print(json.dumps({name: round(cost(MEASURES[name], speech), 3) for name in names}))


if __name__ == "__main__":
    main()
