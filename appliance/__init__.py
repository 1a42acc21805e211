"""Offline streaming speech-to-text for a small board, speaking the streaming APIs of the clouds."""

__version__ = "0.1.0"
