"""Audio decoder for files and containers: PyAV (FFmpeg) in, s16le mono at 16 kHz out. Runs in the decoder process only.

The samples that are there count, not what a header says of them. What a header says is used at the end, to tell
whether the recording is complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from appliance.audio.mpeg import mp3_frame
from appliance.audio.signature import ACCEPTED, HEAD_BYTES, Signature, recognise
from appliance.media.converter import BATCH_S, Converter
from appliance.media.extent import CUT_OFF, EXTENTS
from appliance.media.readable import Readable

LOWEST_HZ, HIGHEST_HZ = 4_000, 192_000
"""Sample rates of recordings of speech; a header that states less makes a day out of a minute."""
SPARED = 3
"""Packets that may fail without a word: tags, padding and seams between parts are packets to FFmpeg."""
TOLERANCE_S, TOLERANCE = 0.25, 0.01
"""Seconds, and share, by which a recording may be shorter than stated: encoders count their padding differently."""
STATED = frozenset({"flac", "aiff", "mov", "caf", "au", "w64"})
"""Containers whose duration is stated by the file. FFmpeg estimates that of others from the bit rate."""
LIVE = {"probesize": "32768", "analyzeduration": "1"}
"""FFmpeg's options for a stream. By default it examines up to 5 s of it; 0 microseconds would mean that default."""
ENCRYPTED = frozenset({"drms", "enca"})
"""Sample entries of protected MP4 files (ISO 14496-12, 8.12; iTunes)."""
CODECS = (
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_u8,pcm_s8,"
    "pcm_mulaw,pcm_alaw,adpcm_ima_wav,adpcm_ms,adpcm_ima_qt,g722,adpcm_g722,adpcm_g726,gsm,gsm_ms,flac,alac,vorbis,opus,"
    "libopus,mp3,mp3float,mp2,mp2float,mp1,mp1float,aac,aac_latm,ac3,eac3,amrnb,amrwb,libopencore_amrnb,"
    "libopencore_amrwb,libspeex,speex,wmav1,wmav2"
)
"""Decoders that may be used, also while FFmpeg examines a file: no decoder of pictures."""


class NotAudio(Exception):
    """The file holds no audio that can be decoded; the message says why."""


class _Pipe:
    """Input that cannot seek, with the first bytes that were read already put back."""

    def __init__(self, head: bytes, source: Readable) -> None:
        self._head = head
        self._source = source

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._source.read(size)


class Decoder:
    """Decodes one recording. Raises ``NotAudio`` when it is created and the file cannot be opened."""

    def __init__(self, source: Readable) -> None:
        """``source`` is unbuffered. If it can seek, it is read from its beginning."""
        self._source = source
        self._size = source.seek(0, os.SEEK_END) if source.seekable() else None
        if self._size is not None:
            source.seek(0)
        head = _head(source)
        self._signature = _audio(head)
        if self._size is not None:
            source.seek(0)
        self._container = self._open(source if self._size is not None else _Pipe(head, source))
        self._stream = self._audio_stream()
        self.format: str = self._container.format.name.partition(",")[0]
        self.codec: str = self._stream.codec_context.name
        self.duration_s = self._duration_s()
        self.samples = 0
        """Decoded so far, at 16 kHz."""
        self._converter = Converter(BATCH_S if self._size is not None else 0.0)
        self._packets, self._failed, self._last_failed = 0, 0, False
        self._shortfall = ""

    def decode(self) -> Iterator[bytes]:
        """Yield s16le samples until the end or until the file cannot be read on; ``shortfall`` is known then."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.FFmpegError, OSError) as error:
                self._shortfall = f"the file cannot be read on: {error.strerror or 'damaged'}"
                break
            if packet.is_corrupt and not self.codec.startswith("pcm_"):
                self._shortfall = CUT_OFF
            if packet.size:
                self._packets += 1
                if self.format == "mp3":  # only the last frame counts: tags between parts look like frames
                    self._shortfall = CUT_OFF if mp3_cut(bytes(memoryview(packet)[:4]), packet.size) else ""
            for frame in self._frames(packet):
                yield from self._count(self._converter.push(frame))
        yield from self._count(self._converter.flush())
        self._container.close()

    @property
    def shortfall(self) -> str:
        """What is missing of the recording after ``decode``, in words; "" if it is complete."""
        if self._shortfall:
            return self._shortfall
        if self._last_failed and self.format != "mp3":
            return CUT_OFF
        spared = SPARED + self._packets // 100 if self.format == "mp3" else 0
        if self._failed > spared:
            return f"{self._failed} of {self._packets} packets of audio are damaged"
        if self._size is not None and (extent := EXTENTS.get(self.format)) is not None:
            self._source.seek(0)
            return extent(self._source, self._size)
        stated = self.duration_s if self.format in STATED else None
        decoded = self.samples / 16_000
        if stated is not None and decoded + max(TOLERANCE_S, TOLERANCE * stated) < stated:
            return f"the file states {stated:.1f} s of audio and has {decoded:.1f} s"
        return ""

    def _open(self, source: Any) -> Any:
        options = {
            "format_whitelist": ",".join(self._signature.demuxers),
            "codec_whitelist": CODECS,
            "protocol_whitelist": "pipe",
        }
        demuxers = self._signature.demuxers
        only = demuxers[0] if len(demuxers) == 1 else None  # without it, FFmpeg reads seconds of MP3 to recognise it
        if self._size is None:
            options |= LIVE
        try:
            return av.open(source, format=only, options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = "damaged, cut off, or recorded without being finished"
            raise NotAudio(f"{self._signature.name} that cannot be opened: {reason}") from error

    def _audio_stream(self) -> AudioStream:
        streams = self._container.streams.audio
        if not streams:
            raise NotAudio(f"{self._signature.name} without audio")
        for stream in streams:
            context = stream.codec_context
            if context is None or context.codec_tag in ENCRYPTED:
                continue
            if context.name not in CODECS.split(","):
                continue
            if not LOWEST_HZ <= context.sample_rate <= HIGHEST_HZ:
                accepted = f"{LOWEST_HZ} to {HIGHEST_HZ} Hz are accepted"
                raise NotAudio(f"a sample rate of {context.sample_rate} Hz is not supported; {accepted}")
            context.thread_count = 1
            found: AudioStream = stream
            return found
        if any(stream.codec_context is not None and stream.codec_context.codec_tag in ENCRYPTED for stream in streams):
            raise NotAudio(f"{self._signature.name} that is encrypted (DRM)")
        raise NotAudio(f"{self._signature.name} with an audio codec that is not supported")

    def _duration_s(self) -> float | None:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        duration: int | None = self._container.duration
        return None if duration is None else duration / av.time_base

    def _frames(self, packet: Any) -> list[Any]:
        """The frames of a packet; none if it is damaged."""
        try:
            frames: list[Any] = packet.decode()
        except av.FFmpegError:
            self._failed += 1
            self._last_failed = True
            return []
        if packet.size:
            self._last_failed = False
        return frames

    def _count(self, samples: NDArray[np.int16]) -> Iterator[bytes]:
        if len(samples):
            self.samples += len(samples)
            yield samples.astype("<i2", copy=False).tobytes()


def _head(source: Readable) -> bytes:
    """The first bytes, of which a pipe may deliver few at a time."""
    head = b""
    while len(head) < HEAD_BYTES and (data := source.read(HEAD_BYTES - len(head))):
        head += data
        if recognise(head) is not None:
            break
    return head


def _audio(head: bytes) -> Signature:
    """What the file is. Raises ``NotAudio``."""
    if not head:
        raise NotAudio("the file is empty")
    signature = recognise(head)
    if signature is None:
        raise NotAudio(f"not recognised as audio; accepted are {ACCEPTED}")
    if not signature.audio:
        raise NotAudio(f"{signature.name} instead of audio; accepted are {ACCEPTED}")
    return signature


def mp3_cut(head: bytes, size: int) -> bool:
    """Return whether a packet of ``size`` bytes that begins with ``head`` is shorter than its MP3 frame."""
    return size < mp3_frame(head)
