"""Runs inside the guest: executes what the host asks for over a virtio serial port, a line of JSON each way.

Asked {"id", "command", "limit_s"}, it answers {"id", "code", "output"}; commands run side by side, as root.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any, BinaryIO

PORT = "/dev/virtio-ports/agent"


def execute(request: dict[str, Any]) -> dict[str, Any]:
    """The answer; code 124 when the command took too long."""
    try:
        done = subprocess.run(
            ["/bin/bash", "-c", request["command"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=request["limit_s"],
            check=False,
        )
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        code, output = 124, expired.stdout or b""
    return {"id": request["id"], "code": code, "output": output.decode(errors="replace")}


def main() -> None:
    lock = threading.Lock()

    def tell(answer: dict[str, Any], port: BinaryIO) -> None:
        with lock:
            port.write(json.dumps(answer).encode() + b"\n")

    def serve(request: dict[str, Any], port: BinaryIO) -> None:
        tell(execute(request), port)

    with open(PORT, "r+b", buffering=0) as port:
        with open("/proc/uptime") as uptime:
            tell({"id": 0, "code": 0, "output": uptime.read().split()[0]}, port)
        waiting = b""
        while True:
            chunk = port.read(65536)
            if not chunk:  # nobody is at the other end
                time.sleep(0.5)
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                threading.Thread(target=serve, args=(json.loads(line), port), daemon=True).start()


if __name__ == "__main__":
    main()
