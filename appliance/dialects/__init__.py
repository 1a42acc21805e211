"""The dialects: one codec per file, and the table of their paths."""

from __future__ import annotations

from appliance.dialects.base import Dialect
from appliance.dialects.gnani import Gnani

DIALECTS: tuple[type[Dialect], ...] = (Gnani,)
"""A dialect is one file, one row here, one page in docs/dialects and one folder in tests/conversations."""
