"""``appliance transcribe``: files through the same session as every stream, so that the text is the same."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
from msgspec import Struct, structs

from appliance.cli.common import configured, fail, recognizer_options
from appliance.config import Config
from appliance.core.events import Final, seconds
from appliance.core.options import AudioFormat, SessionOptions
from appliance.core.ports import Recognizer, VadModel
from appliance.core.session import Session
from appliance.media.raw import RawRecording
from appliance.media.recording import Recording, Unreadable
from appliance.text.subtitles import srt, vtt

BLOCK_S = 0.25
STDIN = Path("-")
"""The name that stands for standard input."""
INCOMPLETE = 3
"""Exit status when all files were transcribed and one of them was cut off or is damaged."""
LOWEST_HZ, HIGHEST_HZ = 4_000, 192_000
"""Of ``--rate``, as for files that state their rate."""

Progress = Callable[[float], None]


class Result(Struct, frozen=True):
    """What was said in one file, the seconds of audio in it, and what is missing ("" if it is complete)."""

    path: Path
    finals: list[Final]
    duration_s: float
    shortfall: str


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--format", "style", type=click.Choice(["text", "json", "srt", "vtt"]), default="text")
@click.option("--numerals", is_flag=True, help="Numbers in digits, where the language allows.")
@click.option(
    "--rate",
    type=click.IntRange(LOWEST_HZ, HIGHEST_HZ),
    metavar="HERTZ",
    help="FILES are samples without a header: signed 16-bit little-endian, one channel, at this rate.",
)
@recognizer_options
def transcribe(
    files: tuple[Path, ...], style: str, numerals: bool, rate: int | None,
    file: Path | None, engine: str | None, model: str | None, language: str | None,
) -> None:  # fmt: skip
    """Transcribe audio FILES to standard output; - is standard input.

    Takes WAV, FLAC, Ogg, MP3, AAC, M4A, MP4, WebM, Matroska and other containers, also those that were joined or cut
    off.

    Ends with 0 when all went well, 1 when a file could not be transcribed (the others are), 2 for bad usage, 3 when a
    file was cut off or is damaged and what could be decoded was transcribed.
    """
    from appliance.engines.registry import EngineError, detector, load
    from appliance.packs.disk import PackError
    from appliance.packs.selection import select
    from appliance.packs.store import Store

    if len(files) > 1 and style in ("srt", "vtt"):
        fail(f"--format {style} takes one file: each has subtitles of its own", 2)
    config = configured(file, engine=engine, model=model, language=language)
    wanted = config.recognizer
    try:
        chosen = select(Store(config.models_dir), wanted.engine, wanted.model, wanted.language)
        recognizer = load(chosen.models[0])
    except (EngineError, PackError) as error:
        fail(str(error))
    voice = detector(wanted.detector)
    status = 0
    with _progress(files) as progress:
        for path in files:
            try:
                with _opened(path, rate) as recording:
                    result = _transcribed(path, recording, recognizer, voice, config, numerals, progress(path))
            except (Unreadable, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                click.echo(f"appliance: {_printable(path)}: {reason}{_hint(path)}", err=True)
                status = 1
                continue
            click.echo(RENDER[style](result), nl=style in ("text", "json"))
            if result.shortfall:
                click.echo(f"appliance: {_printable(path)}: incomplete: {result.shortfall}", err=True)
                status = status or INCOMPLETE
    sys.exit(status)


def _printable(path: Path) -> str:
    """The name of a file, which may hold bytes that are no text, as Python writes such bytes: ``\\xe9``."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _hint(path: Path) -> str:
    return "; for samples without a header, add --rate" if path.suffix.lower() in (".raw", ".pcm", ".sw") else ""


@contextmanager
def _opened(path: Path, rate: int | None) -> Iterator[Recording | RawRecording]:
    """Open a file, a pipe or standard input. Raises ``Unreadable`` and ``OSError``."""
    with ExitStack() as stack:
        file: BinaryIO = sys.stdin.buffer if path == STDIN else stack.enter_context(_file(path))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            # many containers need seeking, so what comes from a pipe goes to a file first
            spool = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            shutil.copyfileobj(file, spool)
            spool.seek(0)
            descriptor = spool.fileno()
        else:
            descriptor = file.fileno()
        if rate is not None:
            yield stack.enter_context(RawRecording(descriptor, AudioFormat(rate=rate)))
        else:
            yield stack.enter_context(Recording(descriptor))


def _file(path: Path) -> BinaryIO:
    if path.is_dir():
        raise Unreadable("a folder, not a file; name the files in it")
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise Unreadable("no such file") from None


def _transcribed(
    path: Path,
    recording: Recording | RawRecording,
    recognizer: Recognizer,
    voice: VadModel,
    config: Config,
    numerals: bool,
    progress: Progress,
) -> Result:
    """What was said in a recording. Raises ``Unreadable``."""
    from appliance.text.numbers import digits

    options = SessionOptions(audio=recording.audio, endpointing=config.endpointing, partial_ms=0, numerals=numerals)
    session = Session(options, recognizer, voice.stream(), readable=digits)
    finals: list[Final] = []
    heard_s = 0.0
    try:
        while piece := recording.read(BLOCK_S):
            finals += _only_finals(session.push(piece))
            heard_s += len(piece) / recording.audio.bytes_per_second
            if recording.duration_s:
                progress(min(1.0, heard_s / recording.duration_s))
        finals += _only_finals(session.finish())
    finally:
        session.close()
    return Result(path, finals, heard_s, recording.shortfall)


def _only_finals(events: Iterator[Any]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


def _json(result: Result) -> str:
    finals = result.finals
    words = [
        {**structs.asdict(word), "start": round(seconds(word.start), 3), "end": round(seconds(word.end), 3)}
        for final in finals
        for word in final.words
    ]
    segments = [
        {"start": round(seconds(final.start), 3), "end": round(seconds(final.end), 3), "text": final.text}
        for final in finals
    ]
    fields = {
        "file": _printable(result.path),
        "duration": round(result.duration_s, 3),
        "complete": not result.shortfall,
        "problem": result.shortfall or None,
        "language": finals[0].language if finals else None,
        "text": " ".join(final.text for final in finals),
        "segments": segments,
        "words": words,
    }
    return msgspec.json.encode(fields).decode()


RENDER: dict[str, Callable[[Result], str]] = {
    "text": lambda result: " ".join(final.text for final in result.finals),
    "json": _json,
    "srt": lambda result: srt(result.finals),
    "vtt": lambda result: vtt(result.finals),
}


class _progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)

    def __enter__(self) -> Callable[[Path], Progress]:
        if self._bar is None:
            return lambda path: lambda share: None
        self._bar.start()

        def begin(path: Path) -> Progress:
            task = self._bar.add_task(_printable(Path(path.name)), total=1.0)
            return lambda share: self._bar.update(task, completed=share)

        return begin

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
