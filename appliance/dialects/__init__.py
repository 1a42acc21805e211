"""The dialects: one codec per file, and the table of their paths."""

from __future__ import annotations

from appliance.dialects.assemblyai_v2 import AssemblyAIv2
from appliance.dialects.assemblyai_v3 import AssemblyAIv3
from appliance.dialects.base import Dialect
from appliance.dialects.cartesia import Cartesia
from appliance.dialects.cartesia_turns import CartesiaTurns
from appliance.dialects.elevenlabs import ElevenLabs
from appliance.dialects.gnani import Gnani
from appliance.dialects.native import Native
from appliance.dialects.speechall import Speechall
from appliance.dialects.vosk_server import VoskServer

DIALECTS: tuple[type[Dialect], ...] = (
    AssemblyAIv2,
    AssemblyAIv3,
    Cartesia,
    CartesiaTurns,
    ElevenLabs,
    Gnani,
    Native,
    Speechall,
    VoskServer,
)
"""A dialect is one file, one row here, one page in docs/dialects and one folder in tests/conversations."""
