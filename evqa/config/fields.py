"""Fields that carry their own range and documentation.

A structured config declares ``r: int = number(16, ge=1, le=512, doc="rank of the adapter")``.
The range is checked after composing, with the full key in the message; the documentation feeds
``--help`` and the reference page, so neither can go stale.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any


def setting(default: Any, doc: str) -> Any:
    """Declare a field without a range; lists and dicts are copied per instance."""
    metadata = {"doc": doc}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def number(
    default: Any,
    *,
    doc: str,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Declare a number, or an optional number, with its bounds (inclusive ``ge`` and ``le``)."""
    bounds = {">=": ge, ">": gt, "<=": le, "<": lt}
    given = {sign: bound for sign, bound in bounds.items() if bound is not None}
    return dataclasses.field(default=default, metadata={"doc": doc, "bounds": given})


def one_of(default: Any, allowed: Sequence[str], doc: str) -> Any:
    """Declare a text that must be one of ``allowed`` (an enum is better where code branches)."""
    return dataclasses.field(default=default, metadata={"doc": doc, "allowed": tuple(allowed)})


def group(kind: type, doc: str) -> Any:
    """Declare a nested config group with its own defaults."""
    return dataclasses.field(default_factory=kind, metadata={"doc": doc})


_COMPARE = {
    ">=": lambda value, bound: value >= bound,
    ">": lambda value, bound: value > bound,
    "<=": lambda value, bound: value <= bound,
    "<": lambda value, bound: value < bound,
}


def _range_problem(value: Any, metadata: Any) -> str | None:
    allowed = metadata.get("allowed")
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}, but got {value!r}"
    if not isinstance(value, int | float):
        return None
    bounds = metadata.get("bounds", {})
    if all(_COMPARE[sign](value, bound) for sign, bound in bounds.items()):
        return None
    wanted = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items())
    return f"must be {wanted}, but got {value}"


def problems(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``(full key, what is wrong)`` for every range and conflict in a config tree.

    A config class may define ``conflicts()``, a generator of ``(field, message)`` for
    combinations of its own fields that cannot work.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        key = f"{prefix}{field.name}"
        problem = _range_problem(value, field.metadata)
        if problem:
            yield key, problem
        if dataclasses.is_dataclass(value):
            yield from problems(value, f"{key}.")
    if hasattr(config, "conflicts"):
        for name, message in config.conflicts():
            yield f"{prefix}{name}", message
