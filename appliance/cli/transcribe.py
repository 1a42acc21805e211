"""``appliance transcribe``: files through the same session as every stream, so that the text is the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import structs

from appliance.cli.common import configured, fail, recognizer_options
from appliance.config import Config
from appliance.core.events import Final, seconds
from appliance.core.options import SessionOptions
from appliance.core.ports import Recognizer, VadModel
from appliance.core.session import Session
from appliance.recording import Recording, Unreadable
from appliance.text.subtitles import srt, vtt

BLOCK_S = 0.25

Progress = Callable[[float], None]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "style", type=click.Choice(["text", "json", "srt", "vtt"]), default="text")
@click.option("--numerals", is_flag=True, help="Numbers in digits, where the language allows.")
@recognizer_options
def transcribe(
    files: tuple[Path, ...], style: str, numerals: bool,
    file: Path | None, engine: str | None, model: str | None, language: str | None,
) -> None:  # fmt: skip
    """Transcribe WAV, FLAC, Ogg or MP3 FILES to standard output.

    Ends with 0 when all went well, 1 when a file could not be transcribed (the others are), 2 for bad usage.
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
    failed = False
    with _progress(files) as progress:
        for path in files:
            try:
                finals, duration = _finals(path, recognizer, voice, config, numerals, progress(path))
            except Unreadable as error:
                reason = error if path.exists() else "no such file"
                click.echo(f"appliance: {_printable(f'{path}: {reason}')}", err=True)
                failed = True
                continue
            click.echo(RENDER[style](path, finals, duration), nl=style in ("text", "json"))
    sys.exit(1 if failed else 0)


def _printable(text: str) -> str:
    """A file's name may hold bytes that are no text."""
    return text.encode(errors="replace").decode()


def _finals(
    path: Path, recognizer: Recognizer, voice: VadModel, config: Config, numerals: bool, progress: Progress
) -> tuple[list[Final], float]:
    """What was said in a file, and how many seconds of audio it has. Raises ``Unreadable``."""
    from appliance.text.numbers import digits

    with Recording(path) as recording:
        options = SessionOptions(audio=recording.audio, endpointing=config.endpointing, partial_ms=0, numerals=numerals)
        session = Session(options, recognizer, voice.stream(), readable=digits)
        finals: list[Final] = []
        heard_s = 0.0
        try:
            while piece := recording.read(BLOCK_S):
                finals += _only_finals(session.push(piece))
                heard_s += len(piece) / recording.audio.bytes_per_second
                progress(heard_s / recording.duration_s)
            finals += _only_finals(session.finish())
        finally:
            session.close()
    return finals, heard_s


def _only_finals(events: Iterator[Any]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


def _json(path: Path, finals: list[Final], duration: float) -> str:
    words = [
        {**structs.asdict(word), "start": round(seconds(word.start), 3), "end": round(seconds(word.end), 3)}
        for final in finals
        for word in final.words
    ]
    segments = [
        {"start": round(seconds(final.start), 3), "end": round(seconds(final.end), 3), "text": final.text}
        for final in finals
    ]
    result = {
        "file": _printable(str(path)),
        "duration": round(duration, 3),
        "language": finals[0].language if finals else None,
        "text": " ".join(final.text for final in finals),
        "segments": segments,
        "words": words,
    }
    return msgspec.json.encode(result).decode()


RENDER: dict[str, Callable[[Path, list[Final], float], str]] = {
    "text": lambda path, finals, duration: " ".join(final.text for final in finals),
    "json": _json,
    "srt": lambda path, finals, duration: srt(finals),
    "vtt": lambda path, finals, duration: vtt(finals),
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
            task = self._bar.add_task(path.name, total=1.0)
            return lambda share: self._bar.update(task, completed=share)

        return begin

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
