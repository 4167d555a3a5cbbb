"""The keys that a root config has, and what a mistyped one may have meant."""

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Iterator
from typing import Any


def walk(schema: type, prefix: str = "") -> Iterator[tuple[str, Any, dataclasses.Field[Any]]]:
    """Yield ``(full key, type, field)`` of every key of a structured config, groups included."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        key = f"{prefix}{field.name}"
        yield key, hints[field.name], field
        if dataclasses.is_dataclass(hints[field.name]):
            yield from walk(hints[field.name], f"{key}.")


def known_keys(schema: type) -> dict[str, Any]:
    """Return every full key of a structured config with its type."""
    return {key: hint for key, hint, _ in walk(schema)}


def is_known(key: str, keys: dict[str, Any]) -> bool:
    """Tell whether a key exists: as such, or inside a key that holds a free dictionary."""
    if key in keys:
        return True
    parts = key.split(".")
    parents = (".".join(parts[:length]) for length in range(1, len(parts)))
    return any(typing.get_origin(keys.get(parent)) is dict for parent in parents)


def suggestion(word: str, candidates: Iterable[str]) -> str:
    """Return `` Did you mean X?`` for the nearest candidate, or nothing.

    A key typed without its group finds the full one (``r`` → ``lora.r``).
    """
    names = list(candidates)
    same_leaf = [name for name in names if name.rpartition(".")[2] == word.rpartition(".")[2]]
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    best = close or same_leaf[:1] or _nearest_by_leaf(word, names)
    return f" Did you mean {best[0]}?" if best else ""


def _nearest_by_leaf(word: str, names: list[str]) -> list[str]:
    leaves = {name.rpartition(".")[2]: name for name in names}
    close = difflib.get_close_matches(word.rpartition(".")[2], leaves, n=1, cutoff=0.75)
    return [leaves[close[0]]] if close else []
