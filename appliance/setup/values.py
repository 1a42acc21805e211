"""One value each, from what was written to what is meant. Every function raises ``Wrong``; none tells a secret."""

from __future__ import annotations

import re

from msgspec import Struct

from appliance.setup.countries import CODES, MEANT
from appliance.setup.problem import Wrong
from appliance.setup.text import unquoted

SSID_BYTES = 32
"""IEEE 802.11, 9.4.2.2."""
PASSPHRASE_MIN, PASSPHRASE_MAX = 8, 63
"""IEEE 802.11, annex M.4.1: printable ASCII."""
PART_MAX = 64
"""Characters of a name in the file; cards, packs and keys have shorter ones."""
_YES = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


class OwnKey(Struct, frozen=True):
    """An API key that the owner has chosen."""

    name: str
    secret: str
    microphones: bool = False
    """It may listen to the device's microphones."""


class Address(Struct, frozen=True):
    """``address`` with the network's length, as in 192.168.1.20/24."""

    address: str

    def holds(self, gateway: str) -> bool:
        """Whether another machine of that network can have the address."""
        import ipaddress

        own = ipaddress.IPv4Interface(self.address)
        return ipaddress.IPv4Address(gateway) in own.network and gateway != str(own.ip)


def host_name(text: str) -> str:
    """One label of a host name (RFC 1123), in small letters."""
    import unicodedata

    name = text.lower().removesuffix(".local")
    if re.fullmatch(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) and name != "localhost":
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", errors="ignore").decode()
    like = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].strip("-")
    hint = f", as in `{like}`" if re.search("[a-z]", like) and like != "localhost" else ""
    raise Wrong(f"a name has letters from a to z, digits and hyphens between them, at most 63{hint}")


def ssid(text: str) -> str:
    """A Wi-Fi network's name, exactly as it is written."""
    size = len(text.encode(errors="replace"))
    if not 1 <= size <= SSID_BYTES:
        raise Wrong(f"the name of a Wi-Fi network has 1 to {SSID_BYTES} bytes; this has {size}")
    return _printable(text)


def passphrase(text: str) -> str:
    """Of WPA2 and WPA3 personal. A space that is no plain one was one when it was typed."""
    text = text.replace("\xa0", " ")
    for place, character in enumerate(text, 1):
        if not " " <= character <= "~":
            raise Wrong(
                f"character {place} of the Wi-Fi password is not one that they are made of: letters from a to z,"
                " digits and the signs of an English keyboard"
            )
    if not PASSPHRASE_MIN <= len(text) <= PASSPHRASE_MAX:
        count = f"{len(text)} character{'s' * (len(text) != 1)}"
        raise Wrong(f"the Wi-Fi password has {count}; it needs {PASSPHRASE_MIN} to {PASSPHRASE_MAX}")
    return text


def country(text: str) -> str:
    """Two capital letters of ISO 3166."""
    code = text.upper()
    if code in CODES:
        return code
    hint = f"; did you mean {MEANT[code]}?" if code in MEANT else ", as in DE, GB or US"
    raise Wrong(f"a country is two letters of ISO 3166{hint}")


def own_key(text: str) -> OwnKey:
    """A name, which may have spaces, and at the end the key itself, which has none."""
    from appliance.accounts.keys import acceptable
    from appliance.setup.keys import NAME_MAX

    name, _, secret = text.replace("\xa0", " ").replace("\t", " ").rpartition(" ")
    name = unquoted(name.strip())
    if not name:
        raise Wrong("a key needs a name before it: key = kitchen-tablet the-key-itself")
    if len(name) > NAME_MAX or not name.isprintable():
        raise Wrong(f"the name of a key has 1 to {NAME_MAX} printable characters")
    try:
        return OwnKey(name, acceptable(secret))
    except ValueError as error:
        raise Wrong(f"{error}; this one, after the name, has {len(secret)} characters") from error


def listening_key(text: str) -> OwnKey:
    """A key as ``own_key`` reads it, with the right to listen to the device's microphones. Raises ``Wrong``."""
    key = own_key(text)
    return OwnKey(key.name, key.secret, microphones=True)


def ssh_key(text: str) -> str:
    """A line of ``authorized_keys`` without options: kind, key, comment."""
    import base64

    kind, *rest = text.split()
    if kind not in SSH_KINDS:
        if "PRIVATE" in text:
            raise Wrong(
                "this is a private key: keep it to yourself, and give the line of the file whose name ends in .pub"
            )
        raise Wrong(f"a public key begins with its kind: {', '.join(SSH_KINDS[:3])} and so on")
    try:
        fields = _fields(base64.b64decode(rest[0], validate=True)) if rest else []
    except ValueError:
        fields = []
    if len(fields) < 2 or fields[0] != kind.encode():
        raise Wrong("the ssh key is not whole: it is one long line, copied from the file whose name ends in .pub")
    return _printable(" ".join([kind, *rest]))


SSH_KINDS = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
)  # fmt: skip
"""Of sshd(8), without those that need a certificate."""


def address(text: str) -> Address:
    """An IPv4 address for a machine, with its network's length."""
    import ipaddress

    try:
        found = ipaddress.IPv4Interface(text)
    except ValueError:
        raise Wrong("an address is four numbers and the size of its network, as in 192.168.1.20/24") from None
    if "/" not in text:
        raise Wrong(f"the size of the network is missing; in most homes it is {text}/24")
    network, ip = found.network, found.ip
    ends = (network.network_address, network.broadcast_address) if network.prefixlen < 31 else ()
    if ip in ends or ip.is_loopback or ip.is_multicast or ip.is_unspecified or not 1 <= network.prefixlen <= 31:
        raise Wrong(f"{found} is not an address that one machine can have, as 192.168.1.20/24 is")
    return Address(str(found))


def ip(text: str) -> str:
    """An IPv4 address alone."""
    import ipaddress

    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise Wrong("an address is four numbers, as in 192.168.1.1") from None


def ips(text: str) -> tuple[str, ...]:
    """One or more of them."""
    return tuple(ip(part) for part in _parts(text))


def servers(text: str) -> tuple[str, ...]:
    """Names or addresses of machines."""
    found = _parts(text)
    for server in found:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?", server):
            raise Wrong("a time server is a name or an address, as in pool.ntp.org or 192.168.1.1")
    return found


def zone(text: str) -> str:
    """A name of the time zone database; whether it is in there is seen later."""
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}", text):
        raise Wrong("a time zone is a place, as in Europe/Berlin")
    return text


def language(text: str) -> str:
    """ISO 639-1, as the configuration wants it."""
    code = text.lower()
    if not re.fullmatch("[a-z]{2,3}", code):
        hint = re.match("([a-z]{2,3})[-_]", code)
        raise Wrong(f"a language is two letters, as in {hint[1] if hint else 'en'}")
    return code


def part(text: str) -> str:
    """A name, or a part of one."""
    if not 1 <= len(text) <= PART_MAX:
        raise Wrong(f"this has {len(text)} characters; it needs 1 to {PART_MAX}")
    return _printable(text)


def yes(text: str) -> bool:
    """``yes`` or ``no``."""
    if text.lower() not in _YES:
        raise Wrong("this is answered with yes or no")
    return _YES[text.lower()]


def access(text: str) -> str:
    """``server.auth`` of the configuration."""
    return _one_of({"keys": "keys", "open": "open"}, text)


def lights(text: str) -> str:
    """``lights.driver`` of the configuration."""
    return _one_of({"board": "gpio", "none": "none"}, text)


def _one_of(choices: dict[str, str], text: str) -> str:
    if text.lower() not in choices:
        raise Wrong(f"this is one of: {', '.join(choices)}")
    return choices[text.lower()]


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.replace(",", " ").split())
    if not parts:
        raise Wrong("there is nothing after the equals sign")
    return parts


def _printable(text: str) -> str:
    """Without what would end a line in another file, or is no text at all."""
    if any(character < " " or "\x7f" <= character <= "\x9f" or character in "\ufffd\u2028\u2029" for character in text):
        raise Wrong("this has characters that are no text")
    return text


def _fields(blob: bytes) -> list[bytes]:
    """The parts of a public key (RFC 4253, 6.6). Raises ValueError unless they fill it."""
    fields = []
    while blob:
        size = int.from_bytes(blob[:4])
        if len(blob) < 4 + size or not size:
            raise ValueError
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return fields
