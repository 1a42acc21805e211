"""Confinement of the decoder process: what code that a malicious file takes over can still reach.

Four fences, each of which holds alone against files and networks: resource limits (no further file descriptor can be
opened), no new privileges, Landlock (no file, no TCP port) and a system call filter of libseccomp. The last two depend
on the kernel and on the library; the others always hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Callable
from pathlib import Path

MEMORY_BYTES = 192 << 20
"""Address space beyond what the process has mapped after loading its libraries; decoding takes 2 to 20 MiB."""
NICENESS = 5
"""Streams come before recordings."""
OOM_SCORE = 1000
"""When memory runs out, the kernel ends this process first (proc(5), oom_score_adj)."""

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
"""prctl(2)."""
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
"""System call numbers, the same on all architectures."""
LANDLOCK_VERSION = 1
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of file system rights by version of Landlock (linux/landlock.h). A ruleset without rules denies them all."""
NETWORK_RIGHTS, SCOPES = 2, 2
"""From version 4: bind and connect of TCP. From version 6: abstract Unix sockets and signals to other processes."""

SCMP_ACT_ALLOW, SCMP_ACT_ERRNO = 0x7FFF0000, 0x00050000
"""seccomp.h of libseccomp; the error number is in the lower half."""
EPERM = 1
SYSTEM_CALLS = (
    "read", "readv", "pread64", "write", "writev", "lseek", "_llseek", "close", "fstat", "fstat64", "newfstatat",
    "statx",
    "brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise",
    "futex", "futex_time64", "sched_yield", "sched_getaffinity", "getcpu", "rseq", "set_robust_list", "membarrier",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "tgkill", "gettid", "getpid",
    "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "gettimeofday", "nanosleep",
    "times", "getrusage", "getrandom", "uname", "sysinfo", "exit", "exit_group",
)  # fmt: skip
"""System calls of a process that computes and uses the descriptors that it has. All others fail with EPERM."""


def confine(cpu_s: int) -> tuple[str, ...]:
    """Confine this process for good and return the names of the fences that hold.

    ``cpu_s`` is the processor time in seconds after which the kernel ends the process. Modules cannot be imported
    afterwards. Standard input and output stay usable.
    """
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    library = _seccomp_library()  # later, it could not be opened
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    attempts: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("no-new-privileges", _no_new_privileges),
        ("landlock", _landlock),
        ("limits", lambda: _limits(mapped + MEMORY_BYTES, cpu_s)),
        ("seccomp", lambda: library is not None and _seccomp(library)),
    )
    return tuple(name for name, attempt in attempts if attempt())


def _no_new_privileges() -> bool:
    library = ctypes.CDLL(None)
    library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    return bool(library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def _landlock() -> bool:
    """Deny all that the kernel's version of Landlock can deny."""
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    version = call(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(LANDLOCK_VERSION))
    if version < 1:
        return False
    rights = FILE_RIGHTS.get(version, max(FILE_RIGHTS.values()))
    fields = [(1 << rights) - 1]
    if version >= 4:
        fields.append((1 << NETWORK_RIGHTS) - 1)
    if version >= 6:
        fields.append((1 << SCOPES) - 1)
    attributes = (ctypes.c_uint64 * len(fields))(*fields)
    ruleset = call(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(ctypes.sizeof(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        return bool(call(LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _limits(memory_bytes: int, cpu_s: int) -> bool:
    """Set hard limits. Without free descriptor numbers, neither files nor sockets can be opened."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    for which, limit in limits.items():
        _, hard = resource.getrlimit(which)
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(which, (bound, bound))
    return True


def _seccomp_library() -> ctypes.CDLL | None:
    """libseccomp, which systemd needs as well and which therefore is on every Debian."""
    try:
        return ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None


def _seccomp(library: ctypes.CDLL) -> bool:
    """Load the filter of ``SYSTEM_CALLS``."""
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(SCMP_ACT_ERRNO | EPERM)))
    if not context:
        return False
    for name in SYSTEM_CALLS:
        number = library.seccomp_syscall_resolve_name(name.encode())
        # a name that this architecture does not have is left out
        library.seccomp_rule_add(context, ctypes.c_uint32(SCMP_ACT_ALLOW), ctypes.c_int(number), ctypes.c_uint(0))
    return bool(library.seccomp_load(context) == 0)
