"""Runs inside the guest: one deed as root, but in the cgroup of the appliance's service; prints what came of it.

usage: inside.py open PATH... | connect HOST:PORT... | send HOST:PORT... | hog MEGABYTES
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time

CGROUP = "/sys/fs/cgroup/system.slice/appliance.service/cgroup.procs"
MIB = 1 << 20


def attempt(deed: object, *arguments: object) -> str:
    """ "ok", or the name of the error and how long it took to come when that was long."""
    began = time.monotonic()
    try:
        deed(*arguments)  # type: ignore[operator]
    except OSError as error:
        took = time.monotonic() - began
        name = errno.errorcode.get(error.errno or 0, "TIMEOUT")
        return name if took < 2 else f"{name} after {took:.0f} s"
    return "ok"


def connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), 5).close()


def send(address: str) -> None:
    """One datagram. A forbidden one is an error at once, where TCP goes on trying until it gives up."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"?", (host, int(port)))


def hog(megabytes: int) -> None:
    """Take memory and touch it, a megabyte at a time."""
    held = []
    for _ in range(megabytes):
        held.append(bytearray(os.urandom(4096)) * (MIB // 4096))


def main() -> None:
    deed, *objects = sys.argv[1:]
    with open(CGROUP, "w") as processes:
        processes.write(str(os.getpid()))
    if deed == "hog":
        hog(int(objects[0]))
    for each in objects:
        if deed == "open":
            print(each, attempt(lambda path: os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK)), each))
        elif deed in ("connect", "send"):
            print(each, attempt({"connect": connect, "send": send}[deed], each))


if __name__ == "__main__":
    main()
