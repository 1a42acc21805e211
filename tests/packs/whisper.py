"""A folder that looks like a Whisper model from outside: CTranslate2's layout, version 6, without meaning."""

from __future__ import annotations

import struct


def weights(name: bytes = b"WhisperSpec\0", version: int = 6, data: bytes = b"w" * 1_200_000) -> bytes:
    """Two variables and an alias, as CTranslate2 writes them."""

    def string(text: bytes) -> bytes:
        return struct.pack("<H", len(text)) + text

    def variable(title: bytes, values: bytes) -> bytes:
        return string(title) + struct.pack("<BIBI", 1, len(values), 1, len(values)) + values

    head = struct.pack("<I", version) + string(name) + struct.pack("<II", 3, 2)
    tail = struct.pack("<I", 1) + string(b"alias\0") + string(b"one\0")
    return head + variable(b"one\0", b"12") + variable(b"two\0", data) + tail


WHISPER = {
    "model.bin": weights(),
    "config.json": b'{"alignment_heads": [[1, 0]]}',
    "tokenizer.json": b'{"model": {}}',
    "vocabulary.txt": b"hello\nworld\n",
}
