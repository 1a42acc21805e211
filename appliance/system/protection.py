"""Memory protection of a process: memory that has been written to can never be executed."""

from __future__ import annotations

import ctypes
import mmap

SET_MDWE, GET_MDWE = 65, 66
"""prctl(2): ``PR_SET_MDWE`` of Linux 6.3 and newer, ``PR_GET_MDWE``."""
REFUSE_EXEC_GAIN, NO_INHERIT = 1, 2
"""Flags of ``PR_SET_MDWE``; the second one needs Linux 6.6."""


def refuse_generated_code(*, inherited: bool = True) -> bool:
    """Make the kernel refuse executable memory that this process can write to, or could write to before.

    The protection holds for all threads and until the process ends. With ``inherited`` it holds for new child processes
    as well. Without it new children are as this process was before.
    Return whether the process is protected: False on a kernel that is too old and on other systems than Linux.
    """
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError, TypeError):
        return False
    if _call(prctl, GET_MDWE, 0) > 0:  # systemd 254 and newer; flags that are set cannot be changed
        return True
    return _call(prctl, SET_MDWE, REFUSE_EXEC_GAIN | (0 if inherited else NO_INHERIT)) == 0


def generated_code_is_refused() -> bool:
    """Tell whether this process may have no memory that is written and executed, whoever forbids it."""
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return True
    return False


def _call(prctl: ctypes._NamedFuncPointer, option: int, argument: int) -> int:
    """Call prctl(2), whose unused arguments must be zero and as wide as a register."""
    return int(prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))
