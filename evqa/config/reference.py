"""The reference page of every config key, made from the structured configs, so never stale.

``python -m evqa.config.reference`` writes ``docs/reference.md``; a test compares the two.
"""

import dataclasses
import enum
import sys
from collections.abc import Iterator
from typing import Any

from evqa.config.help import COMMANDS, default_text
from evqa.config.keys import walk
from evqa.config.register import JOBS, options, project_dir
from evqa.config.sweep import SweeperConfig

INTRODUCTION = """# Every option

Made by `python -m evqa.config.reference` from the structured configs. Defaults are those of the
schema; the options of a group (`lora=r64`) and the command line (`lora.r=64`) set others, and
`python train.py --cfg job` prints what a command line comes to.
"""


def reference() -> str:
    """Return the page as Markdown."""
    lines = [INTRODUCTION, "## Groups", "", "| group | options |", "|---|---|"]
    lines += [f"| `{group}` | {', '.join(names)} |" for group, names in options().items()]
    lines += ["", "## Jobs", "", "| command | groups and keys |", "|---|---|"]
    lines += [_job_row(name, schema) for name, schema in JOBS.items()]
    for title, rows in _sections().items():
        lines += ["", f"## {title}", "", "| key | default | what |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _job_row(name: str, schema: type) -> str:
    command = COMMANDS.get(name, f"python -m evqa.{name}")
    names = sorted(field.name for field in dataclasses.fields(schema))
    return f"| `{command}` | {', '.join(names)} |"


def _sections() -> dict[str, list[str]]:
    """Return the rows by group: each key once, whichever jobs have it."""
    found: dict[str, dict[str, str]] = {}
    for schema in JOBS.values():
        for key, hint, field in walk(schema):
            if not dataclasses.is_dataclass(hint):
                group = key.partition(".")[0] if "." in key else "Keys of the jobs"
                found.setdefault(group, {})[key] = _row(key, hint, field)
    sweep = {
        key: _row(key, hint, field)
        for key, hint, field in walk(SweeperConfig, "hydra.sweeper.")
        if field.metadata
    }
    found["hydra.sweeper (of train.py -m)"] = sweep
    return {title: list(rows.values()) for title, rows in sorted(found.items())}


def _row(key: str, hint: Any, field: dataclasses.Field[Any]) -> str:
    words = [str(field.metadata.get("doc", "")), *_allowed(hint, field)]
    what = "; ".join(filter(None, words)).replace("|", "\\|")
    default = default_text(field).replace("|", "\\|")
    return f"| `{key}` | `{default}` | {what} |"


def _allowed(hint: Any, field: dataclasses.Field[Any]) -> Iterator[str]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield f"one of {', '.join(member.name for member in hint)}"
    if allowed := field.metadata.get("allowed"):
        yield f"one of {', '.join(allowed)}"
    if bounds := field.metadata.get("bounds"):
        yield ", ".join(f"{sign} {bound:g}" for sign, bound in bounds.items())


if __name__ == "__main__":
    from evqa.files import write_text

    target = project_dir() / "docs" / "reference.md"
    write_text(target, reference())
    sys.stdout.write(f"{target}\n")
