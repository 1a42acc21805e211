"""Tables to TOML: the standard library reads it only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def dumps(tables: Mapping[str, Any]) -> str:
    """A document of what ``tomllib`` gives. Raises ValueError for a value that it never does."""
    loose = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    named = {key: value for key, value in tables.items() if isinstance(value, dict)}
    parts = [_pairs(loose)] if loose else []
    parts += [f"[{_key(name)}]\n{_pairs(table)}" for name, table in named.items()]
    return "\n".join(parts)


def _pairs(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items())


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _string(key)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    return str(value)  # a date or a time, which TOML writes as Python does
