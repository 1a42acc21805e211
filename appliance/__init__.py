"""Offline streaming speech-to-text for a small board, speaking the streaming APIs of the clouds."""

import os

__version__ = "0.1.0"

# The matrices here are too small to share between cores, and OpenBLAS's idle threads spin: they doubled the processor
# time of a Whisper worker. The variable counts when numpy is first imported, so it is set before anything else.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
