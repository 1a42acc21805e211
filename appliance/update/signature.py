"""Who vouches for a bundle. OpenSSH checks it: well kept, on every system, and it knows keys on hardware."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from appliance.update.manifest import NotTaken

NAMESPACE = "appliance-update"
"""A signature made for something else does not count."""
TOOL = "ssh-keygen"
TOOL_S = 30.0
NOBODY = "No principal matched"
"""What it says then; all else is trouble of its own, or with what it was given."""
SIGNATURE_BYTES = 16 << 10
HOW = (
    f'put a line like  NAME namespaces="{NAMESPACE}" ssh-ed25519 AAAA...  '
    "with the public key of whom you trust into {file} (docs/update.md)"
)


def signer(data: bytes, signature: bytes, signers: Path) -> str:
    """Whoever is listed in ``signers`` (ssh-keygen(1), ALLOWED SIGNERS) and has signed ``data``.

    Raises ``NotTaken``: nobody is listed, nobody of them has signed it, or it cannot be checked.
    """
    if not _listed(signers):
        raise NotTaken(f"updates are not accepted on this box, for it knows no signer: {HOW.format(file=signers)}")
    with tempfile.TemporaryDirectory(prefix="appliance-update-") as folder:
        file = Path(folder, "signature")
        file.write_bytes(signature)
        found = _keygen("find-principals", "-s", str(file), "-f", str(signers))
        for principal in found.stdout.decode(errors="replace").splitlines():
            checked = _keygen(
                *("verify", "-n", NAMESPACE, "-I", principal, "-s", str(file), "-f", str(signers)), stdin=data
            )
            if checked.returncode == 0:
                return principal
        said = found.stderr.decode(errors="replace").strip()
    if found.returncode and NOBODY not in said:
        raise NotTaken(f"its signature cannot be checked: {said or TOOL}")
    raise NotTaken(f"it is not signed by anybody whom this box trusts; who that is says {signers}")


def _listed(signers: Path) -> bool:
    try:
        lines = signers.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise NotTaken(f"whom this box trusts cannot be told: {signers}: {error.strerror}") from error
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _keygen(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([TOOL, "-Y", *arguments], input=stdin, capture_output=True, timeout=TOOL_S, check=False)
    except FileNotFoundError as error:
        raise NotTaken(f"signatures cannot be checked: there is no {TOOL} (package openssh-client)") from error
    except subprocess.TimeoutExpired as error:
        raise NotTaken(f"signatures cannot be checked: {TOOL} does not answer") from error
