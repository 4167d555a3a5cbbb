"""Which keys get the canary, and when it is taken back."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evqa.serving.deployment import Outcomes

if TYPE_CHECKING:
    from evqa.config.serving import CanaryConfig

ERROR_MARGIN = 0.01


def has_canary(key_id: str, version: str, percent: float) -> bool:
    """Tell whether a key gets the canary: always the same for a key and a version."""
    digest = hashlib.sha256(f"{version}:{key_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 * 100 < percent


def verdict(canary: Outcomes, champion: Outcomes, config: "CanaryConfig") -> str | None:
    """Return why a canary must be rolled back; null while it does well or too little is known.

    An error rate counts only when it is also above the champion's: what fails for both is not
    the canary's fault.
    """
    if len(canary.failures) < config.min_requests:
        return None
    rate = canary.error_rate
    if rate > config.max_error_rate and rate > champion.error_rate + ERROR_MARGIN:
        return f"{rate:.1%} of its answers failed (champion {champion.error_rate:.1%})"
    known = min(len(canary.token_seconds), len(champion.token_seconds))
    if known < config.min_requests:
        return None
    ratio = canary.median_token_s / champion.median_token_s
    if ratio > config.max_latency_ratio:
        return f"a token takes {ratio:.1f} times the champion's time"
    return None


class Rollbacks:
    """Versions that failed as a canary, remembered in a file: they are not tried again.

    Args:
        path: JSON lines ``{"time", "version", "reason"}``; null: they are not kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._versions: set[str] = set()
        if path is not None and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            self._versions = {json.loads(line)["version"] for line in lines if line.strip()}

    def __contains__(self, version: str | None) -> bool:
        return version in self._versions

    def add(self, version: str, reason: str) -> None:
        """Remember a version, and why."""
        self._versions.add(version)
        row = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": version,
            "reason": reason,
        }
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
