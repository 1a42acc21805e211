"""Tells the network that there is a box, and finds the boxes on it: DNS-SD over mDNS (RFC 6763, RFC 6762)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from msgspec import Struct
from zeroconf import (  # type: ignore[attr-defined]
    AddressResolver,
    DNSAddress,
    DNSQuestionType,
    DNSService,
    Error,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from appliance.server import machine
from appliance.server.naming import candidates, interfaces, label, reachable

log = logging.getLogger(__name__)

TYPE = "_appliance-stt._tcp.local."
"""At most 15 characters between the first underscore and the dot (RFC 6763, 7.2)."""
CHECK_S = 10.0
"""Between two looks at the machine's addresses, and between two tries where there is no network."""
PROBE_MS = 1_500
"""For whoever has a name to say so; long enough to ask twice."""
RESOLVE_MS = 1_500


class Announcement(Struct, frozen=True, kw_only=True):
    """What is told. ``name`` is for people, ``host`` the machine's name, ``id`` tells boxes of the same name apart."""

    name: str
    host: str
    id: str
    bound: str
    """The address that is listened on; 0.0.0.0 and :: are all of the machine's."""
    port: int
    tls_port: int | None
    version: str
    auth: str
    """``keys`` or ``open``."""
    languages: tuple[str, ...]
    paths: Mapping[str, str]
    """Of the dialects, by name."""

    @property
    def txt(self) -> dict[str, str]:
        """The TXT record."""
        facts = {"txtvers": "1", "id": self.id, "version": self.version, "auth": self.auth}
        if self.tls_port is not None:
            facts["tls"] = str(self.tls_port)
        return facts | {"langs": ",".join(self.languages)} | dict(self.paths)


class Box(Struct, frozen=True, kw_only=True):
    """A box that was found. ``host`` is a name that mDNS resolves."""

    name: str
    host: str
    addresses: tuple[str, ...]
    port: int
    tls_port: int | None
    version: str
    auth: str
    languages: tuple[str, ...]
    id: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def tls_url(self) -> str | None:
        return f"https://{self.host}:{self.tls_port}" if self.tls_port is not None else None


class Announcer:
    """Publishes an announcement for as long as ``run`` runs. ``published`` is the name and the host, once it is out.

    A name that is someone else's is left to him: "kitchen" becomes "kitchen-1f2e3d", with the box's id. The host's own
    name in .local is taken only when nobody, not even a responder on this machine, answers to it.
    """

    def __init__(self, announcement: Announcement, check_s: float = CHECK_S) -> None:
        self.published: tuple[str, str] | None = None
        self._announcement = announcement
        self._check_s = check_s
        self._names = candidates(announcement.name, announcement.id)
        self._hosts = candidates(label(announcement.host), announcement.id)
        self._name, self._host = next(self._names), next(self._hosts)
        self._complained = ""

    async def run(self) -> None:
        """Until cancelled; then it says goodbye. A network that cannot be had is told once and waited for."""
        while True:
            addresses = await self._addresses()
            try:
                if addresses:
                    await self._publish(addresses)
                    continue
                self._complain("there is no network")
            except (OSError, Error, TimeoutError) as error:
                self._complain(str(error) or type(error).__name__)
            await asyncio.sleep(self._check_s)

    async def _publish(self, addresses: tuple[str, ...]) -> None:
        """Returns when something is no longer so: the addresses, or that the names are ours alone."""
        network = AsyncZeroconf(interfaces=interfaces(addresses))
        try:
            watch = await self._claim(network, addresses)
            self._complained = ""
            self.published = (self._name, f"{self._host}.local")
            log.info("announced on %s as %s, host %s.local", ", ".join(addresses), self._name, self._host)
            while not watch.lost and addresses == await self._addresses():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(watch.conflict.wait(), self._check_s)
            self._yield(watch)
        finally:
            self.published = None
            await network.async_close()

    async def _claim(self, network: AsyncZeroconf, addresses: tuple[str, ...]) -> _Watch:
        """Ask for the names whether they are somebody's, and take the first that are not."""
        told, zeroconf = self._announcement, network.zeroconf
        await zeroconf.async_wait_for_start()
        while await _known(zeroconf, AddressResolver(f"{self._host}.local.")):
            self._host = next(self._hosts)
        while await _known(zeroconf, ServiceInfo(TYPE, f"{self._name}.{TYPE}")):
            self._name = next(self._names)
        service = ServiceInfo(
            TYPE,
            f"{self._name}.{TYPE}",
            port=told.port,
            properties=told.txt,
            server=f"{self._host}.local.",
            parsed_addresses=list(addresses),
        )
        watch = _Watch(service)
        zeroconf.async_add_listener(watch, None)
        await (await network.async_register_service(service, cooperating_responders=True))
        return watch

    def _yield(self, watch: _Watch) -> None:
        """Others have come with the same names in the same moment, or from a network that was apart."""
        if "name" in watch.lost:
            self._name = next(self._names)
        if "host" in watch.lost:
            self._host = next(self._hosts)

    async def _addresses(self) -> tuple[str, ...]:
        names = await asyncio.to_thread(machine.names)
        return reachable(names, self._announcement.bound)

    def _complain(self, reason: str) -> None:
        if reason != self._complained:
            self._complained = reason
            log.warning("not announced on the network, still trying: %s", reason)


async def _known(zeroconf: Zeroconf, asked: ServiceInfo) -> bool:
    """Somebody answers. To all: what comes to port 5353 of this machine alone may go to another responder here."""
    return await asked.async_request(zeroconf, PROBE_MS, DNSQuestionType.QM)


class _Watch(RecordUpdateListener):
    """Sees whether someone else uses what the service is called."""

    def __init__(self, service: ServiceInfo) -> None:
        self.lost: set[str] = set()
        self.conflict = asyncio.Event()
        self._name, self._server = service.key, service.server_key
        self._place = (service.server_key, service.port)
        self._addresses = set(service.addresses_by_version(IPVersion.All))

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        for update in records:
            record = update.new
            if record.ttl == 0:  # a goodbye
                continue
            place = (record.server_key, record.port) if isinstance(record, DNSService) else self._place
            if record.key == self._name and place != self._place:
                self.lost.add("name")
            if isinstance(record, DNSAddress) and record.key == self._server and record.address not in self._addresses:
                self.lost.add("host")
        if self.lost:
            self.conflict.set()


# the other side


async def browse(seconds: float) -> list[Box]:
    """The boxes that answer within so many seconds, by name. Raises ``OSError`` where there is no network."""
    addresses = reachable(await asyncio.to_thread(machine.names), "::")
    if not addresses:
        raise OSError("this machine has no address but its own loopback")
    found: set[str] = set()

    def told(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        (found.discard if state_change is ServiceStateChange.Removed else found.add)(name)

    async with AsyncZeroconf(interfaces=interfaces(addresses)) as network:
        browser = AsyncServiceBrowser(network.zeroconf, TYPE, handlers=[told])
        await asyncio.sleep(seconds)
        services = [service for name in found if (service := _service(name))]
        resolved = await asyncio.gather(*(each.async_request(network.zeroconf, RESOLVE_MS) for each in services))
        await browser.async_cancel()
    boxes = [box(service) for service, known in zip(services, resolved, strict=True) if known]
    return sorted(boxes, key=lambda box: box.name)


def _service(name: str) -> ServiceInfo | None:
    """None for a name that is none."""
    try:
        return ServiceInfo(TYPE, name)
    except Error:
        return None


def box(service: ServiceInfo) -> Box:
    """What a service says of itself. It comes from the network: unprintable characters are left out."""
    txt = {_clean(key): _clean(value or b"") for key, value in service.properties.items()}
    tls = txt.get("tls", "")
    return Box(
        name=_clean(service.name.removesuffix(f".{TYPE}").encode()),
        host=_clean((service.server or "").rstrip(".").encode()),
        addresses=tuple(service.parsed_addresses()),
        port=service.port or 0,
        tls_port=int(tls) if tls.isascii() and tls.isdigit() else None,
        version=txt.get("version", ""),
        auth=txt.get("auth", ""),
        languages=tuple(filter(None, txt.get("langs", "").split(","))),
        id=txt.get("id", ""),
    )


def _clean(text: bytes) -> str:
    return "".join(each for each in text.decode(errors="replace") if each.isprintable())
