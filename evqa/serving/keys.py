"""The keys file: API keys created once and kept as SHA-256, with what each of them may do.

``keys.json`` holds ``{"keys": [{"id", "name", "sha256", "created", …}]}``. A key is 32 random
bytes, so a plain digest is enough: there is nothing to guess by a dictionary.
"""

import hashlib
import secrets
import types
import typing
from dataclasses import MISSING, asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evqa.errors import UserError
from evqa.files import folder_lock, read_json, write_json

PREFIX = "evqa-"
MAX_NAME_LENGTH = 64
METRICS_ROUTE = "/metrics"
ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/predict", METRICS_ROUTE)
LIMITS = ("requests_per_minute", "tokens_per_minute", "max_concurrent", "monthly_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key; never the key itself. Limits that are null do not bind.

    Attributes:
        sha256: Of the whole key, hexadecimal.
        created: ISO 8601, UTC, as the other times.
        revoked: When it was revoked, null while it is good.
        owner: Who answers for it.
        expires: From when on it is refused.
        models: Model names it may ask for; empty: all.
        routes: Paths it may use; empty: all but ``/metrics``, which must be named.
        max_concurrent: Requests in flight at once.
        monthly_tokens: Prompt and completion tokens in a calendar month (UTC).
        previous_sha256: The key before the last rotation.
        previous_expires: Until when that one is good too.
    """

    id: str
    name: str
    sha256: str
    created: str
    revoked: str | None = None
    owner: str | None = None
    expires: str | None = None
    models: list[str] | None = None
    routes: list[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    monthly_tokens: int | None = None
    previous_sha256: str | None = None
    previous_expires: str | None = None

    @property
    def unlimited(self) -> bool:
        """Whether no limit binds it."""
        return (
            self.requests_per_minute is None
            and self.tokens_per_minute is None
            and self.max_concurrent is None
            and self.monthly_tokens is None
        )

    def digests(self) -> list[tuple[str, float | None]]:
        """Return what opens, each with its end (seconds since 1970, null: none)."""
        end_s = _seconds(self.expires)
        opens = [(self.sha256, end_s)]
        previous_end_s = _seconds(self.previous_expires)
        if self.previous_sha256 and previous_end_s is not None:
            opens.append((self.previous_sha256, min(previous_end_s, end_s or previous_end_s)))
        return opens

    def may_use(self, route: str) -> bool:
        """Tell whether its scope holds a path."""
        return route in self.routes if self.routes else route != METRICS_ROUTE

    def may_ask(self, model: str) -> bool:
        """Tell whether its scope holds a model."""
        return not self.models or model in self.models

    def state(self, now: datetime) -> str:
        """Return good, revoked or expired, with the date."""
        if self.revoked:
            return f"revoked {self.revoked}"
        end_s = _seconds(self.expires)
        if end_s is None:
            return "good"
        return f"{'expired' if end_s <= now.timestamp() else 'good until'} {self.expires}"


def create_key(path: Path, name: str, **settings: Any) -> str:
    """Add a key to the file and return it; it cannot be read again.

    Args:
        path: ``keys.json``.
        name: What it is called by.
        settings: Further fields of `ApiKey`: owner, expiry, scopes, limits.

    Raises:
        UserError: for a name that is empty, too long, or in use, or a setting that cannot be.
    """
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
        raise UserError(f"key name: must be 1 to {MAX_NAME_LENGTH} letters, but got {name!r}")
    _check_settings(settings)
    plain = _new_key()
    with folder_lock(path.parent):
        keys = read_keys(path)
        if any(key.name == name and key.revoked is None for key in keys):
            raise UserError(f"{path}: a key named {name!r} exists; revoke it or take another name")
        key = ApiKey(
            id=secrets.token_hex(4), name=name, sha256=digest_of(plain), created=_now(), **settings
        )
        _write_keys(path, [*keys, key])
    return plain


def revoke_key(path: Path, name: str) -> ApiKey:
    """Revoke the good key with this name or id and return it.

    Raises:
        UserError: when there is none; names those that are.
    """
    with folder_lock(path.parent):
        keys = read_keys(path)
        revoked = replace(_find(path, keys, name), revoked=_now())
        _replace(path, keys, revoked)
    return revoked


def rotate_key(path: Path, name: str, grace: timedelta) -> str:
    """Give a key a new secret and return it; the old one is good for ``grace`` longer.

    Its id, limits and accounts stay.

    Raises:
        UserError: when there is no good key of this name or id.
    """
    plain = _new_key()
    with folder_lock(path.parent):
        keys = read_keys(path)
        key = _find(path, keys, name)
        end = datetime.now(UTC) + grace
        rotated = replace(
            key,
            sha256=digest_of(plain),
            previous_sha256=key.sha256 if grace else None,
            previous_expires=end.isoformat(timespec="seconds") if grace else None,
        )
        _replace(path, keys, rotated)
    return plain


def read_keys(path: Path) -> list[ApiKey]:
    """Return every key of the file, revoked ones too; none when there is no file.

    Raises:
        UserError: when the file is not a list of keys.
    """
    if not path.is_file():
        return []
    try:
        content = read_json(path)
        return [_parse_key(entry) for entry in content["keys"]]
    except (TypeError, KeyError, ValueError, RecursionError):
        raise UserError(f"{path}: not a keys file; restore it or move it away") from None


def digest_of(plain: str) -> str:
    """Return the SHA-256 under which a key is kept."""
    return hashlib.sha256(plain.encode()).hexdigest()


def _find(path: Path, keys: list[ApiKey], name: str) -> ApiKey:
    good = [key for key in keys if key.revoked is None]
    found = [key for key in good if name in (key.name, key.id)]
    if not found:
        names = ", ".join(key.name for key in good) or "none"
        raise UserError(f"{path}: no good key named {name!r} (good keys: {names})")
    return found[0]


def _replace(path: Path, keys: list[ApiKey], changed: ApiKey) -> None:
    _write_keys(path, [changed if key.id == changed.id else key for key in keys])


def _check_settings(settings: dict[str, Any]) -> None:
    for name in LIMITS:
        value = settings.get(name)
        if value is not None and value < 1:
            raise UserError(f"{name}: must be at least 1, but got {value}")
    for route in settings.get("routes") or ():
        if route not in ROUTES:
            raise UserError(f"route: must be one of {', '.join(ROUTES)}, but got {route!r}")


def _parse_key(entry: dict[str, Any]) -> ApiKey:
    for name, hint in _HINTS.items():
        if name in entry and not isinstance(entry[name], hint):
            raise TypeError(name)
    key = ApiKey(**entry)
    for digest, _ in key.digests():
        if len(bytes.fromhex(digest)) != hashlib.sha256().digest_size:
            raise ValueError(key.id)
    return key


def _plain_types(hint: Any) -> tuple[type, ...]:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(typing.get_origin(option) or option for option in options)


_HINTS = {name: _plain_types(hint) for name, hint in typing.get_type_hints(ApiKey).items()}
_DEFAULTS = {field.name: field.default for field in fields(ApiKey) if field.default is not MISSING}


def _write_keys(path: Path, keys: list[ApiKey]) -> None:
    write_json(path, {"keys": [_set_fields(key) for key in keys]})


def describe(key: ApiKey) -> dict[str, Any]:
    """Return what is set of a key, without its digests."""
    return {name: v for name, v in _set_fields(key).items() if not name.endswith("sha256")}


def _set_fields(key: ApiKey) -> dict[str, Any]:
    return {name: v for name, v in asdict(key).items() if v != _DEFAULTS.get(name, ...)}


def _new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _seconds(moment: str | None) -> float | None:
    if moment is None:
        return None
    parsed = datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
