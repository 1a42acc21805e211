"""The decoder process, ``python -P -m appliance.media.child CPU_SECONDS``: standard input in, messages out.

Everything is imported before the process confines itself; afterwards it can open nothing any more.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from io import BytesIO, FileIO

import av
import av.logging

from appliance.media.confinement import MEMORY_BYTES, confine
from appliance.media.decoder import Decoder, NotAudio
from appliance.media.messages import Ended, Kind, Opened, packed
from appliance.media.parts import parts
from appliance.media.readable import Readable

DAMAGED = "the decoder failed on this file"


def main(source: int, target: int, cpu_s: int) -> None:
    """Decode the descriptor ``source`` and write messages to the descriptor ``target``; at most ``cpu_s`` of work."""
    av.logging.set_level(None)
    _warm_up()
    fences = confine(cpu_s)
    samples, shortfall = 0, ""
    try:
        file = FileIO(source, "rb", closefd=False)
        recordings: Sequence[Readable] = parts(file, file.seek(0, os.SEEK_END)) if file.seekable() else [file]
        for number, recording in enumerate(recordings):
            decoder = Decoder(recording)
            if number == 0:
                stated_s = decoder.duration_s if len(recordings) == 1 else None
                _write(target, packed(Kind.OPENED, Opened(decoder.format, decoder.codec, stated_s, fences)))
            for audio in decoder.decode():
                _write(target, packed(Kind.AUDIO, audio))
                samples += len(audio) // 2
            shortfall = shortfall or decoder.shortfall
    except NotAudio as error:
        shortfall = str(error)
    except MemoryError:
        shortfall = f"decoding takes more than {MEMORY_BYTES >> 20} MiB of memory"
    except BrokenPipeError:
        return
    except Exception:  # native libraries raise what they like; the parent has to be told in any case
        shortfall = DAMAGED
    _write(target, packed(Kind.ENDED, Ended(samples, shortfall)))


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _warm_up() -> None:
    """Load what PyAV and numpy load at first use: the classes of all kinds of streams, and what decoding needs."""
    for package in ("video", "audio", "subtitles", "data", "attachments"):
        for module in pkgutil.iter_modules([os.path.join(path, package) for path in av.__path__], f"av.{package}."):
            import_module(module.name)
    sizes = (b"\x24\x01\0\0", b"\0\x01\0\0")
    wav = b"RIFF%bWAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data%b" % sizes + bytes(256)
    decoder = Decoder(BytesIO(wav))
    for _ in decoder.decode():
        pass
    assert not decoder.shortfall


if __name__ == "__main__":
    main(0, 1, int(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # modules cannot be unloaded in order where nothing can be opened
