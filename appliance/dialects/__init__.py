"""The dialects: one codec per file, and the table of their paths."""

from __future__ import annotations

from appliance.dialects.base import Dialect
from appliance.dialects.gnani import Gnani
from appliance.dialects.native import Native

DIALECTS: tuple[type[Dialect], ...] = (Gnani, Native)
"""A dialect is one file, one row here, one page in docs/dialects and one folder in tests/conversations."""
