"""API keys as a running server sees them: looked up in constant time, live within seconds."""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evqa.errors import UserError
from evqa.serving.keys import ApiKey, read_keys

RELOAD_INTERVAL_S = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A digest that opens.

    Attributes:
        expires_s: When it stops to, seconds since 1970; null: never.
    """

    key: ApiKey
    sha256: str
    expires_s: float | None


class KeyRing:
    """The good keys of a file, read again when it changes.

    A file that is broken or gone keeps the last good set: a slip of an editor locks nobody out.

    Args:
        path: ``keys.json``.
        clock: Seconds, monotonic.
        wall_clock: Seconds since 1970.

    Raises:
        UserError: when the file is broken at the start.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._clock = clock
        self._wall_clock = wall_clock
        self._checked_at = clock()
        self._stamp = self._stat()
        self._by_digest = self._load()

    def __len__(self) -> int:
        return len(self._by_digest)

    def authenticate(self, header: bytes | None) -> ApiKey | None:
        """Return the key that an ``Authorization: Bearer`` header holds, if it is good."""
        self._reload_if_changed()
        scheme, _, value = (header or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not value:
            return None
        digest = hashlib.sha256(value.strip()).hexdigest()
        entry = self._by_digest.get(digest)
        # the lookup sees only the digest, so its timing tells nothing about any key
        if entry is None or not hmac.compare_digest(entry.sha256, digest):
            return None
        expired = entry.expires_s is not None and entry.expires_s <= self._wall_clock()
        return None if expired else entry.key

    def _reload_if_changed(self) -> None:
        now = self._clock()
        if now - self._checked_at < RELOAD_INTERVAL_S:
            return
        self._checked_at = now
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        if stamp is None:
            log.warning("%s is gone: keeping the keys read before", self._path)
            return
        try:
            self._by_digest = self._load()
        except (UserError, OSError) as error:
            log.warning("%s: keeping the keys read before", error)

    def _load(self) -> dict[str, _Entry]:
        entries = [
            _Entry(key, digest, expires_s)
            for key in read_keys(self._path)
            if key.revoked is None
            for digest, expires_s in key.digests()
        ]
        return {entry.sha256: entry for entry in entries}

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
