"""API keys: created once, kept as SHA-256, looked up in constant time, live within seconds.

``keys.json`` holds ``{"keys": [{"id", "name", "sha256", "created", "revoked"}]}``. A key is 32
random bytes, so a plain digest is enough: there is nothing to guess by a dictionary.
"""

import hashlib
import hmac
import logging
import secrets
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evqa.errors import UserError
from evqa.files import folder_lock, read_json, write_json

PREFIX = "evqa-"
RELOAD_INTERVAL_S = 1.0
MAX_NAME_LENGTH = 64
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key; never the key itself.

    Attributes:
        sha256: Of the whole key, hexadecimal.
        created: ISO 8601, UTC.
        revoked: When it was revoked, null while it is good.
    """

    id: str
    name: str
    sha256: str
    created: str
    revoked: str | None = None


def create_key(path: Path, name: str) -> str:
    """Add a key to the file and return it; it cannot be read again.

    Raises:
        UserError: for a name that is empty, too long, or in use.
    """
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
        raise UserError(f"key name: must be 1 to {MAX_NAME_LENGTH} letters, but got {name!r}")
    plain = PREFIX + secrets.token_urlsafe(32)
    with folder_lock(path.parent):
        keys = read_keys(path)
        if any(key.name == name and key.revoked is None for key in keys):
            raise UserError(f"{path}: a key named {name!r} exists; revoke it or take another name")
        key = ApiKey(id=secrets.token_hex(4), name=name, sha256=_digest(plain), created=_now())
        _write_keys(path, [*keys, key])
    return plain


def revoke_key(path: Path, name: str) -> ApiKey:
    """Revoke the good key with this name or id and return it.

    Raises:
        UserError: when there is none; names those that are.
    """
    with folder_lock(path.parent):
        keys = read_keys(path)
        good = [key for key in keys if key.revoked is None]
        found = [key for key in good if name in (key.name, key.id)]
        if not found:
            names = ", ".join(key.name for key in good) or "none"
            raise UserError(f"{path}: no good key named {name!r} (good keys: {names})")
        revoked = replace(found[0], revoked=_now())
        _write_keys(path, [revoked if key.id == revoked.id else key for key in keys])
    return revoked


def read_keys(path: Path) -> list[ApiKey]:
    """Return every key of the file, revoked ones too; none when there is no file.

    Raises:
        UserError: when the file is not a list of keys.
    """
    if not path.is_file():
        return []
    content = read_json(path)
    try:
        return [_parse_key(entry) for entry in content["keys"]]
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{path}: not a keys file; restore it or move it away") from None


def _parse_key(entry: dict[str, Any]) -> ApiKey:
    key = ApiKey(**entry)
    if len(bytes.fromhex(key.sha256)) != hashlib.sha256().digest_size:
        raise ValueError(key.id)
    return key


def _write_keys(path: Path, keys: list[ApiKey]) -> None:
    write_json(path, {"keys": [asdict(key) for key in keys]})


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class KeyRing:
    """The good keys of a file, read again when it changes.

    A file that is broken or gone keeps the last good set: a slip of an editor locks nobody out.

    Args:
        path: ``keys.json``.
        clock: Seconds, monotonic.

    Raises:
        UserError: when the file is broken at the start.
    """

    def __init__(self, path: Path, clock: Any = time.monotonic) -> None:
        self._path = path
        self._clock = clock
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
        key = self._by_digest.get(digest)
        # the lookup sees only the digest, so its timing tells nothing about any key
        return key if key and hmac.compare_digest(key.sha256, digest) else None

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

    def _load(self) -> dict[str, ApiKey]:
        return {key.sha256: key for key in read_keys(self._path) if key.revoked is None}

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
