"""What ``--help`` prints: made from the schema and the folder of options, so never stale."""

import dataclasses
import enum
from typing import Any

from evqa.config.keys import walk
from evqa.config.register import options
from evqa.config.sweep import SweeperConfig

COMMANDS = {
    "train": "python train.py",
    "evaluate": "python evaluate.py",
    "serve": "python serve.py",
}
KEY_WIDTH = 46


def help_text(name: str, schema: type) -> str:
    """Return the help page of a job: usage, groups with options, keys with defaults and ranges."""
    command = COMMANDS.get(name, f"python -m evqa.{name}")
    summary = (schema.__doc__ or "").strip().partition(": ")[2]
    lines = [
        f"{command} [group=option ...] [key=value ...] [-m] [--cfg job] [--help]",
        f"  {summary}",
        "",
        "Groups (group=option):",
        *_group_lines(schema),
        "",
        "Keys (key=value):",
        *(_key_line(*entry) for entry in walk(schema) if not dataclasses.is_dataclass(entry[1])),
        "",
        *(_sweep_lines() if name == "train" else []),
        "-m runs every combination of comma-separated values; --cfg job prints the whole config;",
        "a value with spaces or special characters is quoted twice: 'key=\"a b\"'.",
        "",
    ]
    return "\n".join(lines)


def _sweep_lines() -> list[str]:
    keys = [entry for entry in walk(SweeperConfig, "hydra.sweeper.") if entry[2].metadata]
    searches = ", ".join(options()["hparams_search"])
    return [
        f"Sweeps (-m; hparams_search={searches}, or key=choice(…), range(…), interval(…)):",
        *(_key_line(*entry) for entry in keys),
        "",
    ]


def _group_lines(schema: type) -> list[str]:
    own = {field.name for field in dataclasses.fields(schema)} | {"experiment"}
    return [
        f"  {group:<14} {', '.join(names)}"
        for group, names in options().items()
        if group.split("/")[0] in own
    ]


def _key_line(key: str, hint: Any, field: dataclasses.Field[Any]) -> str:
    default = default_text(field)
    notes = [str(field.metadata.get("doc", ""))]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        notes.append(f"[{'|'.join(member.name for member in hint)}]")
    if bounds := field.metadata.get("bounds"):
        notes.append("[" + ", ".join(f"{sign} {bound:g}" for sign, bound in bounds.items()) + "]")
    return f"  {f'{key}={default}':<{KEY_WIDTH}} {' '.join(notes)}"


def default_text(field: dataclasses.Field[Any]) -> str:
    """Return a field's default as it is written on the command line."""
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        value = field.default
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
