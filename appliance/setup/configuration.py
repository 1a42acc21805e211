"""The appliance's configuration of this start: as shipped, over it what ``appliance.txt`` says, and over both the
owner's own ``appliance.toml``. What the daemon could not use never gets into place.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from appliance.accounts.disk import replace
from appliance.config import ConfigError, lay_over, load
from appliance.setup.problem import Problem
from appliance.setup.toml import dumps

OWN = "appliance.toml"
HEAD = "# Made at every start from appliance.txt and appliance.toml on the card: change those.\n\n"


def compose(shipped: str, tables: Mapping[str, Any], own: str | None, scratch: Path) -> tuple[str, list[Problem]]:
    """The text of the configuration, and why something is not in it. ``scratch`` is a file to try it with, which is
    gone afterwards. Raises OSError when that cannot be written.
    """
    try:
        return _compose(shipped, tables, own, scratch)
    finally:
        scratch.unlink(missing_ok=True)


def _compose(shipped: str, tables: Mapping[str, Any], own: str | None, scratch: Path) -> tuple[str, list[Problem]]:
    problems = []
    if own is not None and (fault := _fault(own, scratch)):
        problems.append(Problem(f"{OWN} is not used: {fault}"))
        own = None
    if own is not None:
        text = _merged(shipped, tables, tomllib.loads(own))
        if not (fault := _fault(text, scratch)):
            return text, problems
        problems.append(Problem(f"{OWN} is not used, it does not go with appliance.txt: {fault}"))
    if not tables:
        return shipped, problems
    text = _merged(shipped, tables)
    if not (fault := _fault(text, scratch)):
        return text, problems
    problems.append(Problem(f"the appliance is configured as it was shipped: {fault}", failure=True))
    return shipped, problems


def _merged(shipped: str, *layers: Mapping[str, Any]) -> str:
    values = tomllib.loads(shipped)
    for layer in layers:
        lay_over(values, deepcopy(dict(layer)))
    return HEAD + dumps(values)


def _fault(text: str, scratch: Path) -> str:
    """Why the daemon would refuse it, if it would."""
    replace(scratch, text.encode())
    try:
        load(scratch)
    except ConfigError as error:
        return str(error).removeprefix(f"{scratch}: ")
    return ""
