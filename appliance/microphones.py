"""The microphones that the configuration names: for each a listener, and the feed of what it hears."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from msgspec import structs

from appliance.capture.listener import Listener
from appliance.capture.microphone import Guard
from appliance.capture.wire import State
from appliance.config import DEFAULT_MICROPHONES, Config, MicrophoneConfig
from appliance.core.events import AnyEvent
from appliance.core.options import Endpointing, SessionOptions
from appliance.scheduling.pool import Pool
from appliance.server.feed import Feed, MicrophoneInfo

CLOSE_S = 2.0
"""For a card to be closed; then the reader is left to its end."""


class Microphones:
    """``guard`` allows a card to be opened; ``heard`` is told the name of a microphone and what it has heard."""

    def __init__(self, pool: Pool, config: Config, *, guard: Guard, heard: Callable[[str, AnyEvent], None]) -> None:
        self.listeners: list[Listener] = []
        self.feeds: dict[str, Feed] = {}
        self._pool = pool
        self._heard = heard
        self._asked_for = config.microphones != DEFAULT_MICROPHONES
        for microphone in config.microphones:
            self._add(microphone, config.endpointing, guard)

    def reserve(self) -> None:
        """Room for the microphones that somebody has set up, and for the default one when there is a card for it."""
        self._pool.reserve(
            each.options for each in self.listeners if self._asked_for or each.microphone.state is not State.ABSENT
        )

    def configure(self, endpointing: Endpointing) -> None:
        """For each card, from when it is opened again."""
        for listener in self.listeners:
            listener.options = structs.replace(listener.options, endpointing=endpointing)

    async def close(self) -> None:
        """Every card is closed; what was heard becomes final."""
        for listener in self.listeners:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listener.close(), CLOSE_S)

    def _add(self, microphone: MicrophoneConfig, endpointing: Endpointing, guard: Guard) -> None:
        def info() -> MicrophoneInfo:
            source = listener.microphone
            return MicrophoneInfo(
                name=microphone.name,
                device=microphone.device,
                state=source.state.value,
                reason=source.reason,
                rate=listener.rate,
                language=microphone.language or "",
                overruns=source.overruns,
            )

        def told(event: AnyEvent) -> None:
            feed.publish(event)
            self._heard(microphone.name, event)

        def changed() -> None:
            self.reserve()
            feed.changed()

        listener = Listener(
            self._pool,
            microphone.name,
            SessionOptions(
                languages=(microphone.language,) if microphone.language else (),
                endpointing=endpointing,
            ),
            device=microphone.device,
            rate=microphone.rate,
            channel=microphone.channel,
            on_event=told,
            on_change=changed,
            guard=guard,
        )
        feed = Feed(info)
        self.listeners.append(listener)
        self.feeds[microphone.name] = feed
