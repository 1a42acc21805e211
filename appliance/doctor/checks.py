"""All checks in the order of the page, from the board to the service."""

from __future__ import annotations

from collections.abc import Callable

from appliance.doctor import machine, models, service, sound
from appliance.doctor.box import Box
from appliance.doctor.findings import Finding

CHECKS: dict[str, Callable[[Box], Finding]] = {
    "version": service.version,
    "configuration": service.configuration,
    "board": machine.board,
    "heat and power": machine.heat,
    "processor": machine.processor,
    "memory": machine.memory,
    "disk": machine.disk,
    "clock": machine.clock,
    "microphones": sound.microphones,
    "level": sound.level,
    "overruns": sound.overruns,
    "models": models.models,
    "speed": models.speed,
    "daemon": service.daemon,
    "service": service.unit,
    "ports": service.ports,
    "certificate": service.certificate,
    "keys": service.keys,
}
"""Title -> check. Each may block for seconds; none changes anything."""
