"""A microphone with a session behind it: what it hears becomes events, for as long as the daemon lives."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import structs

from appliance.capture.microphone import Guard, Microphone
from appliance.capture.wire import State
from appliance.core.events import AnyEvent, Closed
from appliance.core.options import AudioFormat, SessionOptions
from appliance.core.problems import Refused
from appliance.scheduling.live import LiveSession
from appliance.scheduling.pool import Pool

log = logging.getLogger(__name__)


class Listener:
    """Opens a session whenever the card is opened and ends it when the card is lost, so that last words are heard.

    ``on_event`` gets the events of all sessions, ``on_change`` is called when the microphone's state has changed.
    """

    def __init__(
        self,
        pool: Pool,
        name: str,
        options: SessionOptions,
        *,
        device: str = "default",
        rate: int = 16_000,
        channel: int | None = None,
        on_event: Callable[[AnyEvent], None],
        on_change: Callable[[], None],
        guard: Guard | None = None,
    ) -> None:
        self.options = options
        self.rate = 0
        self.skipped = 0
        """Bytes that were not listened to, because no session could be had or the machine was too far behind."""
        self.microphone = Microphone(
            name,
            device=device,
            rate=rate,
            channel=channel,
            on_audio=self._heard,
            on_open=self._opened,
            on_state=self._changed,
            guard=guard,
        )
        self._pool = pool
        self._on_event = on_event
        self._on_change = on_change
        self._session: LiveSession | None = None
        self._complained = ""

    @property
    def skipped_s(self) -> float:
        """Seconds of audio that was not listened to."""
        return self.skipped / self.options.audio.bytes_per_second

    async def run(self) -> None:
        """Until closed."""
        await self.microphone.run()

    async def close(self) -> None:
        """Close the card; the open session gets to say its last words."""
        await self.microphone.close()
        self._end()

    def _opened(self, rate: int) -> None:
        self._end()
        self.rate = rate
        self.options = structs.replace(self.options, audio=AudioFormat(rate=rate))

    def _heard(self, data: bytes) -> None:
        session = self._session or self._begin()
        if session is None or session.backlog_s > self._pool.settings.inbox_s:
            self.skipped += len(data)
            return
        session.push(data)

    def _begin(self) -> LiveSession | None:
        try:
            session = self._pool.open(self.options, lambda event: self._told(session, event), reserved=True)
        except Refused as refused:
            if refused.problem.message != self._complained:
                self._complained = refused.problem.message
                name, why = self.microphone.name, self._complained
                log.warning("microphone %s cannot be listened to: %s", name, why, extra={"microphone": name})
            return None
        self._complained = ""
        self._session = session
        return session

    def _told(self, session: LiveSession, event: AnyEvent) -> None:
        if isinstance(event, Closed):
            if self._session is session:
                self._session = None
            if event.problem is not None:
                name, problem = self.microphone.name, event.problem
                fields = {"microphone": name, "problem": problem.kind.value}
                log.error("microphone %s: %s", name, problem.message, extra=fields)
            return
        self._on_event(event)

    def _changed(self, state: State, reason: str) -> None:
        if state is not State.READY:
            self._end()
        self._on_change()

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.finish()
