"""How this program starts Python again for a process of its own."""

from __future__ import annotations

import sys


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs ``module`` in this interpreter.

    ``-P`` keeps the current folder off the module search path. With ``-m`` alone it comes first there, so a file such
    as ``json.py`` in the folder that the operator happens to be in would be executed.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
