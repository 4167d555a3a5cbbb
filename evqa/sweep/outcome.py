"""What a trial's run folder says once its process has ended."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config.sweep import VALIDATION_LOSS
from evqa.errors import UserError
from evqa.files import read_json

TUNED = "tuned"
NO_VALIDATION = " (trainer.max_steps ended it before its first validation, or no validation data)"
HEAVY_FOLDERS = ("checkpoints", "adapter")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: a value, or the reason why there is none.

    Attributes:
        value: The objective.
        reason: Why the trial failed, one line.
        seconds: Wall-clock time of its process.
        measured_gib: Peak memory that the run measured.
    """

    value: float | None = None
    reason: str | None = None
    seconds: float = 0.0
    measured_gib: float | None = None


def is_finished(folder: Path) -> bool:
    """Tell whether the run in ``folder`` came to its end."""
    try:
        return bool(read_json(folder / "manifest.json").get("finished"))
    except (OSError, UserError, AttributeError):
        return False


def read_outcome(folder: Path, objective: str, seconds: float) -> Outcome:
    """Read the objective of a run whose process ended well."""
    if not is_finished(folder):
        return Outcome(reason="ended without a finished manifest.json", seconds=seconds)
    value = _objective(folder, objective)
    measured = _at(folder / "plan.json", "measured", "peak_gib")
    if not isinstance(value, int | float) or isinstance(value, bool):
        hint = NO_VALIDATION if objective == VALIDATION_LOSS else ""
        return Outcome(reason=f"returned no {objective}{hint}", seconds=seconds)
    if not math.isfinite(value):
        return Outcome(reason=f"returned {objective}={value}", seconds=seconds)
    return Outcome(
        value=float(value),
        seconds=seconds,
        measured_gib=float(measured) if isinstance(measured, int | float) else None,
    )


def _objective(folder: Path, objective: str) -> Any:
    if objective == VALIDATION_LOSS:
        return _at(folder / "manifest.json", "training", VALIDATION_LOSS)
    return _at(folder / "metrics.json", "systems", TUNED, objective, "value")


def _at(path: Path, *keys: str) -> Any:
    try:
        node = read_json(path)
    except (OSError, UserError):
        return None
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def remove_heavy(folder: Path) -> None:
    """Remove checkpoints and adapter of a trial that is not among the best."""
    for name in HEAVY_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
