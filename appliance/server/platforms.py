"""How each platform is told to trust the box's authority: one table for the page and for the command line."""

from __future__ import annotations

from msgspec import Struct


class Platform(Struct, frozen=True):
    """``commands`` have places for {name}, a file name for the certificate, and {url}, the box's secure address."""

    title: str
    text: str
    commands: tuple[str, ...] = ()

    def lines(self, name: str, url: str) -> list[str]:
        """The commands for this certificate and this box."""
        return [command.format(name=name, url=url) for command in self.commands]


PLATFORMS = (
    Platform(
        "Python",
        "For one program. Those that use requests read REQUESTS_CA_BUNDLE instead.",
        ("SSL_CERT_FILE=ca.pem python program.py",),
    ),
    Platform(
        "Node",
        "For one program, besides the authorities it knows.",
        ("NODE_EXTRA_CA_CERTS=ca.pem node program.js",),
    ),
    Platform("curl", "For one call.", ("curl --cacert ca.pem {url}/readyz",)),
    Platform(
        "Debian, Ubuntu, Raspberry Pi OS",
        "For all programs that use the system's store. Browsers have a store of their own; that of Chromium and Chrome "
        "is changed by the last command, from the package libnss3-tools.",
        (
            "sudo cp ca.pem /usr/local/share/ca-certificates/{name}.crt",
            "sudo update-ca-certificates",
            "certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n {name} -i ca.pem",
        ),
    ),
    Platform(
        "Windows",
        "In a terminal that runs as administrator. ca.pem serves as well as ca.crt.",
        ("certutil -addstore -f Root ca.crt",),
    ),
    Platform(
        "macOS",
        "In Terminal.",
        ("sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.pem",),
    ),
    Platform(
        "iPhone, iPad",
        "Open ca.mobileconfig from the page /trust in Safari and allow the download. Settings > Profile Downloaded > "
        "Install. Then Settings > General > About > Certificate Trust Settings: switch it on; without that it counts "
        "for nothing.",
    ),
    Platform(
        "Android",
        "Download ca.crt from the page /trust. Settings > Security > Encryption & credentials > Install a "
        "certificate > CA certificate; where the menus differ, search the settings for “CA certificate”. Browsers "
        "trust it then, other apps only if their makers allow that.",
    ),
    Platform(
        "Firefox",
        "Settings > Privacy & Security > View Certificates > Authorities > Import: take ca.pem and tick “Trust this CA "
        "to identify websites”.",
    ),
)
