"""Every conversation over a real socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.dialects import DIALECTS
from tests.box import run
from tests.conversations import of
from tests.conversations.wire import stage

ALL = [path for dialect in DIALECTS for path in of(dialect.name)]


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_conversation(path: Path) -> None:
    text = path.read_text()

    async def work() -> None:
        async with stage() as player:
            await player.play(text)

    run(work)


def test_a_wrong_line_is_noticed() -> None:
    """The player can fail."""

    async def work() -> None:
        async with stage() as player:
            text = '> GET /stt/v3/stream\n> x-api-key-id: key\n< {"type": "hello"}'
            with pytest.raises(AssertionError, match="line 3"):
                await player.play(text)

    run(work)
