"""The event loop's turns, shared among sockets."""

from __future__ import annotations

import asyncio

from appliance.server.turns import SLICE_BYTES, TURN_BYTES, Turns
from tests.box import run


class Input:
    """Bytes to parse; ``order`` notes whose slice it was."""

    def __init__(self, name: str, size: int, order: list[str]) -> None:
        self.name, self.left, self.order = name, size, order

    def parse(self, size: int) -> bool:
        self.order.append(self.name)
        self.left -= size
        return self.left > 0


def test_turn_much_input_parses_turn_bytes_only() -> None:
    async def work() -> None:
        order: list[str] = []
        turns = Turns()
        turns.add(Input("a", 10 * TURN_BYTES, order).parse)
        await asyncio.sleep(0)
        assert len(order) == TURN_BYTES // SLICE_BYTES
        await asyncio.sleep(0)
        assert len(order) == 2 * TURN_BYTES // SLICE_BYTES

    run(work)


def test_turn_two_sockets_slices_alternate() -> None:
    async def work() -> None:
        order: list[str] = []
        turns = Turns()
        turns.add(Input("a", 10 * TURN_BYTES, order).parse)
        turns.add(Input("b", 1, order).parse)
        await asyncio.sleep(0)
        assert order == ["a", "b", "a", "a"]

    run(work)


def test_turn_parser_raises_others_go_on() -> None:
    async def work() -> None:
        order: list[str] = []
        turns = Turns()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: order.append("raised"))

        def broken(size: int) -> bool:
            raise RuntimeError

        turns.add(broken)
        turns.add(Input("b", 1, order).parse)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == ["raised", "b"]

    run(work)
