"""Silero VAD 6.2 on onnxruntime, several frames a call (docs/decisions/0003 has the figures behind the choice)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from appliance.vad.gain import Gain

if TYPE_CHECKING:
    import onnxruntime

MODEL = Path(__file__).with_name("silero-6.2") / "silero_vad_16k_sequence.onnx"
FRAME = 512
"""Samples of one frame: 32 ms at 16 kHz."""
CONTEXT = 64
"""Samples of the previous frame that the network also sees."""
STATE = (1, 1, 128)


class SileroModel:
    """The loaded network: single-threaded, so that the process can be forked after loading."""

    frame = FRAME

    def __init__(self, path: Path = MODEL) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from 1.29 on it would tell its maker about us
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        self._network = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def stream(self) -> Silero:
        """A detector with fresh state."""
        return Silero(self._network)


class Silero:
    """One session's recurrent state around the shared network."""

    frame = FRAME

    def __init__(self, network: onnxruntime.InferenceSession) -> None:
        self._network = network
        self._h = self._c = np.zeros(STATE, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._gain = Gain()

    def probabilities(self, frames: NDArray[np.int16]) -> list[float]:
        """Voice probability of each 32 ms frame, shape ``(n, 512)``; the grouping does not change the result."""
        if not len(frames):
            return []
        rows = np.empty((len(frames), CONTEXT + FRAME), np.float32)
        np.multiply(frames, self._gain.factors(frames) / np.float32(32_768), out=rows[:, CONTEXT:])
        np.clip(rows[:, CONTEXT:], -1.0, 1.0, out=rows[:, CONTEXT:])
        rows[0, :CONTEXT] = self._context
        rows[1:, :CONTEXT] = rows[:-1, -CONTEXT:]
        self._context = rows[-1, -CONTEXT:].copy()
        voice, self._h, self._c = self._network.run(None, {"input": rows, "h": self._h, "c": self._c})
        result: list[float] = voice.tolist()
        return result
