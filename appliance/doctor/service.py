"""The software and how it is let in: daemon, unit, ports, certificates, keys, versions."""

from __future__ import annotations

import platform
import shutil
import ssl
import subprocess
import time
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from appliance import __version__
from appliance.accounts.keys import Keys
from appliance.doctor import holders
from appliance.doctor.box import Box
from appliance.doctor.findings import Finding, finding
from appliance.parts import is_loopback, open_house
from appliance.server import machine
from appliance.server.certificates import Certificate, read

UNIT = "appliance.service"
ASKED = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "StatusText", "ActiveEnterTimestamp")
SYSTEMCTL_S = 10.0
DAY_S = 86_400.0
SOON_S = 14 * DAY_S
"""The box's own certificate is made anew 30 days before its end, so less means that it was not."""
LIBRARIES = (
    "vosk",
    "ctranslate2",
    "tokenizers",
    "onnxruntime",
    "numpy",
    "soxr",
    "sounddevice",
    "starlette",
    "uvicorn",
    "websockets",
)


def version(box: Box) -> Finding:
    """Of ourselves and what we stand on."""
    found = ", ".join(f"{name} {number}" for name in LIBRARIES if (number := _version(name)))
    return finding("version", [f"appliance {__version__}, Python {platform.python_version()}", found])


def configuration(box: Box) -> Finding:
    """Which file, and whether it can be used."""
    where = f"{box.file}" if box.file else "no file: all is as by default"
    bad = [box.config_problem] if box.config_problem else []
    return finding("configuration", [where], bad=bad, advice="what follows is of the default configuration" * bool(bad))


def daemon(box: Box) -> Finding:
    """What the running daemon says of itself."""
    if box.health is None:
        return finding("daemon", [], notes=[f"none answers on {box.url}: {box.silent}"])
    worries = [str(worry) for worry in box.health.get("worries", ())]
    line = str(box.health.get("text") or box.health["status"])
    for worry in worries:
        line = line.replace(f"; {worry}", "")
    notes = [f"{box.health[name]} {name} of workers" for name in ("crashes", "hangs") if box.health.get(name)]
    notes += worries
    bad = [] if box.health.get("ready") or box.health["status"] == "draining" else ["it cannot transcribe"]
    if bad and box.ready:
        bad = [f"it cannot transcribe: {box.ready.get('reason', 'no reason is given')}"]
    return finding("daemon", [line], bad=bad, notes=notes, advice=f"see: journalctl -u {UNIT}" * bool(bad))


def unit(box: Box) -> Finding:
    """What systemd says of the service."""
    if shutil.which("systemctl") is None:
        return finding("service", ["there is no systemd here"])
    done = subprocess.run(
        ["systemctl", "show", UNIT, f"--property={','.join(ASKED)}"],
        capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False,
    )  # fmt: skip
    if done.returncode:
        return finding("service", ["systemd does not run here"])
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if said.get("LoadState") != "loaded":
        return finding("service", [f"{UNIT} is not installed ({said.get('LoadState', 'unknown')})"])
    facts = [f"{said.get('ActiveState')} ({said.get('SubState')}) since {said.get('ActiveEnterTimestamp') or 'never'}"]
    if said.get("StatusText"):
        facts.append(said["StatusText"])
    restarts = said.get("NRestarts", "0")
    notes = [f"restarted {restarts} times"] if restarts not in ("", "0") else []
    failed = said.get("ActiveState") == "failed" or said.get("Result", "success") != "success"
    bad = [f"it failed: {said.get('Result')}"] if failed else []
    if said.get("ActiveState") == "inactive" and not bad:
        notes.append("it is not running: systemctl start appliance")
    return finding("service", facts, bad=bad, notes=notes, advice=f"see: journalctl -u {UNIT}" * bool(bad))


def ports(box: Box) -> Finding:
    """Who listens where our clients knock."""
    server, tls = box.config.server, box.config.tls
    wanted = {"plain": server.port, **({"with TLS": tls.port} if tls.enabled else {})}
    facts, bad = [], []
    for kind, port in wanted.items():
        taken, who = holders.listening(port, box.root)
        names = ", ".join(f"{command} (process {pid})" for pid, command in who.items()) or "a program of another user"
        if not taken:
            facts.append(f"{port} {kind}: nobody listens")
        elif box.running or any("appliance" in command for command in who.values()):
            facts.append(f"{port} {kind}: {names}")
        else:
            bad.append(f"{port} {kind}: taken by {names}")
    if box.running:
        facts.append(f"our daemon answers on {box.url}")
    return finding("ports", facts, bad=bad, advice="end that program, or choose another server.port" * bool(bad))


def certificate(box: Box) -> Finding:
    """Until when, and for whom."""
    if not box.config.tls.enabled:
        return finding("certificate", ["TLS is off"])
    try:
        found = _certificate(box)
    except PermissionError:
        return finding("certificate", [], notes=["it cannot be read by this user"], advice="run this as root")
    except FileNotFoundError:
        return finding("certificate", [], notes=["there is none yet; the first start makes it"])
    except ValueError as error:
        return finding(
            "certificate", [], bad=[f"it is damaged: {error}"], advice="remove server.pem; a start makes it anew"
        )
    now = time.time()
    facts = [
        f"valid until {time.strftime('%Y-%m-%d', time.gmtime(found.ends))}, {(found.ends - now) / DAY_S:.0f} days",
        f"for {', '.join(sorted(found.names))}",
    ]
    bad = ["it has expired"] if now >= found.ends else ["it is not valid yet"] if now < found.begins else []
    notes = ["it ends soon"] if not bad and found.ends - now < SOON_S else []
    if missing := machine.names(box.config.tls.names) - found.names:
        notes.append(f"not for {', '.join(sorted(missing))}")
    own = bool(box.config.tls.certificate)
    remedy = "renew it" if own else "restart the daemon: it makes a new one; is the clock right?"
    return finding("certificate", facts, bad=bad, notes=notes, advice=remedy * bool(bad or notes))


def keys(box: Box) -> Finding:
    """Who may come in."""
    server = box.config.server
    if open_house(box.config):
        facts = [f"any key is good (server.auth is {server.auth})"]
        exposed = not is_loopback(server.host)
        facts += [] if exposed else ["and only programs on this machine can come in"]
        notes = ["everybody on the network can transcribe and hear the microphones"] if exposed else []
        return finding("keys", facts, notes=notes, advice='set server.auth = "keys"' * exposed)
    try:
        (box.config.state_dir / "accounts").stat()
        known = Keys(box.config.state_dir / "accounts").all()
    except FileNotFoundError:
        known = ()
    except PermissionError:
        return finding("keys", ["clients need one"], notes=["which there are cannot be seen by this user"])
    now = time.time()
    good = [key for key in known if not key.expired(now)]
    facts = [f"clients need one; {len(known)} there, {len(known) - len(good)} expired"]
    if not good:
        return finding("keys", facts, notes=["nobody can come in"], advice="appliance keys create NAME")
    return finding("keys", facts)


def _certificate(box: Box) -> Certificate:
    """As it is served, or as it will be. Raises OSError, ValueError."""
    tls = box.config.tls
    taken, _ = holders.listening(tls.port, box.root)
    if taken and box.running:
        return read(
            ssl.get_server_certificate(
                (urlsplit(box.url).hostname or "127.0.0.1", tls.port), timeout=SYSTEMCTL_S
            ).encode()
        )
    path = Path(tls.certificate).expanduser() if tls.certificate else box.config.state_dir / "tls" / "server.pem"
    return read(path.read_bytes())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
