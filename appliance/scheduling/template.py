"""The warm process: it loads every model once and then only forks. ``python -m appliance.scheduling.template FD PLAN``.

A fork takes a millisecond or two and shares the models' pages. What happens is told on standard output as JSON lines;
each byte on the socket ``FD`` carries a descriptor and asks for a worker that serves it. Its end ends the template.

multiprocessing's forkserver does the same but cannot say why a model did not load, blocks whoever starts a child, and
exists once per process (docs/decisions/0004).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

import msgspec

from appliance.core.ports import Recognizer, VadModel
from appliance.engines.registry import EngineError, detector, generates_code, load
from appliance.memory import settle
from appliance.scheduling.messages import (
    Alive,
    Broken,
    Exited,
    Forked,
    FromTemplate,
    Loaded,
    Loading,
    Plan,
    Ready,
    Unforked,
)
from appliance.scheduling.worker import Worker
from appliance.system.protection import generated_code_is_refused, refuse_generated_code

TOLD = 4_000
"""Bytes of an error that a pipe takes without a reader."""


def main() -> None:
    """Load what the plan says, then serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    plan = msgspec.json.decode(sys.argv[2], type=Plan)
    told = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not mix with what is told
    # these are for the daemon, even when the whole group gets them; its closed sockets end the others
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if not any(generates_code(spec.engine) for spec in plan.models):
        refuse_generated_code()
    recognizers = _load(plan, told)
    try:
        voice = detector(plan.detector)
        voice.stream()
    except Exception as error:
        _tell(told, Broken("voice detector", f"the voice detector {plan.detector} cannot be used: {error}"))
        return
    _tell(told, Ready())
    settle()  # a collection in a worker would otherwise touch, and so copy, every page
    _serve(control, plan, recognizers, voice, told)


def _load(plan: Plan, told: BinaryIO) -> dict[str, Recognizer]:
    recognizers: dict[str, Recognizer] = {}
    for spec in plan.models:
        _tell(told, Loading(spec.name))
        try:
            if generates_code(spec.engine) and generated_code_is_refused():
                raise EngineError(
                    f"the model {spec.name} cannot be used: its engine generates code on this processor, which this "
                    "service may not; install the newest package, or set MemoryDenyWriteExecute=no for the unit"
                )
            recognizer = load(spec)
            if not recognizer.capabilities.fork_safe:
                try_out(recognizer)
        except EngineError as error:
            _tell(told, Broken(spec.name, str(error)))
        else:
            recognizers[spec.name] = recognizer
            _tell(told, Loaded(recognizer.capabilities))
    return recognizers


def try_out(recognizer: Recognizer) -> None:
    """Load a model that cannot be shared in a child, to see whether workers will be able to. Raises ``EngineError``."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            recognizer.prepare()
            status = 0
        except MemoryError:
            os.write(writing, b"there is too little memory to load it")
        except BaseException as error:
            os.write(writing, (str(error) or type(error).__name__).encode(errors="replace")[:TOLD])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        reason = told.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        name = recognizer.capabilities.model
        reason = reason or f"loading it ended with signal {-status}; there may be too little memory"
        raise EngineError(f"the model {name} cannot be used: {reason}; check it with: appliance models verify {name}")


def _serve(
    control: socket.socket, plan: Plan, recognizers: dict[str, Recognizer], voice: VadModel, told: BinaryIO
) -> None:
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    while True:
        readable, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
            _reap(told)
        if control.fileno() in readable:
            data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not data:
                _reap(told)
                return
            if not descriptors:
                _tell(told, Alive())
                continue
            try:
                pid = os.fork()
            except OSError as error:  # too many processes, or too little memory
                os.close(descriptors[0])
                _tell(told, Unforked(error.strerror or str(error)))
                continue
            if pid == 0:
                for descriptor in (control.fileno(), told.fileno(), wake, woken):
                    os.close(descriptor)
                _work(descriptors[0], plan, recognizers, voice)
            os.close(descriptors[0])
            _tell(told, Forked(pid))


def _work(descriptor: int, plan: Plan, recognizers: dict[str, Recognizer], voice: VadModel) -> None:
    """The child: never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.nice(plan.niceness)
        _expendable()
        worker = Worker(socket.socket(fileno=descriptor), recognizers, voice)
        if plan.models:
            worker.prepare(plan.models[0].name)
        worker.run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _expendable() -> None:
    """When memory runs out, a worker goes before the daemon, however much that is protected: a worker is replaced."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")


def _reap(told: BinaryIO) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(told, Exited(pid, os.waitstatus_to_exitcode(status)))


def _tell(told: BinaryIO, message: FromTemplate) -> None:
    told.write(msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    main()
