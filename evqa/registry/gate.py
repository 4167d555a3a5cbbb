"""Who may become champion, and the log of every time it changed."""

from typing import Any

from evqa.errors import GateError
from evqa.registry.manifest import VersionManifest

SHIP = "SHIP"


def require_proof(manifest: VersionManifest) -> None:
    """Refuse a version whose parity was not proved, or whose verdict is not SHIP.

    Raises:
        GateError: saying which proof is missing, and how to promote it all the same.
    """
    name = f"{manifest.name}/{manifest.version}"
    if not manifest.lineage.get("parity"):
        raise GateError(_refusal(name, "its parity with the trained adapter was never measured"))
    verdict = manifest.lineage.get("verdict")
    if verdict is None:
        raise GateError(
            _refusal(
                name,
                "it carries no verdict (run `python evaluate.py`, then `python -m evqa.release` "
                "again)",
            )
        )
    if verdict != SHIP:
        raise GateError(_refusal(name, f"its verdict is {verdict}"))


def _refusal(name: str, reason: str) -> str:
    return (
        f"{name} is not promoted: {reason}; to promote it all the same, "
        "give --force --reason '...', which is recorded"
    )


def missing_proof(manifest: VersionManifest) -> str | None:
    """Return in a few words which proof a version lacks; null when it has all."""
    if not manifest.lineage.get("parity"):
        return "no parity"
    verdict: Any = manifest.lineage.get("verdict")
    return None if verdict == SHIP else f"verdict {verdict or 'none'}"
