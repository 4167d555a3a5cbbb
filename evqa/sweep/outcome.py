"""What a trial's run folder says once its process has ended, and while it runs."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config.sweep import TOKENS_PER_S, VALIDATION_LOSS
from evqa.errors import UserError
from evqa.files import read_json

TUNED = "tuned"
NO_VALIDATION = " (trainer.max_steps ended it before its first validation, or no validation data)"
HEAVY_FOLDERS = ("checkpoints", "adapter")
VALIDATIONS = "validations.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: values, or the reason why there are none.

    Attributes:
        values: The objectives.
        reason: Why the trial failed, one line.
        pruned: Why the trial was stopped early, one line.
        seconds: Wall-clock time of its process.
        measured_gib: Peak memory that the run measured.
        predicted_gib: The same, predicted, where the two can be compared (on a GPU).
    """

    values: tuple[float, ...] | None = None
    reason: str | None = None
    pruned: str | None = None
    seconds: float = 0.0
    measured_gib: float | None = None
    predicted_gib: float | None = None


def is_finished(folder: Path) -> bool:
    """Tell whether the run in ``folder`` came to its end."""
    try:
        return bool(read_json(folder / "manifest.json").get("finished"))
    except (OSError, UserError, AttributeError):
        return False


def read_outcome(folder: Path, objectives: Sequence[str], seconds: float) -> Outcome:
    """Read the objectives of a run whose process ended well."""
    if not is_finished(folder):
        return Outcome(reason="ended without a finished manifest.json", seconds=seconds)
    values = []
    for name in objectives:
        value = _objective(folder, name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            hint = NO_VALIDATION if name == VALIDATION_LOSS else ""
            return Outcome(reason=f"returned no {name}{hint}", seconds=seconds)
        if not math.isfinite(value):
            return Outcome(reason=f"returned {name}={value}", seconds=seconds)
        values.append(float(value))
    return Outcome(
        values=tuple(values),
        seconds=seconds,
        measured_gib=_number(_at(folder / "plan.json", "measured", "peak_gib")),
        predicted_gib=_number(_at(folder / "plan.json", "measured", "predicted_gib")),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _objective(folder: Path, objective: str) -> Any:
    if objective in (VALIDATION_LOSS, TOKENS_PER_S):
        return _at(folder / "manifest.json", "training", objective)
    return _at(folder / "metrics.json", "systems", TUNED, objective, "value")


def _at(path: Path, *keys: str) -> Any:
    try:
        node = read_json(path)
    except (OSError, UserError):
        return None
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def read_validations(folder: Path) -> list[tuple[int, float]]:
    """Return the validations of a run so far, global step and loss; no half-written ones."""
    file = folder / VALIDATIONS
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [(int(line["step"]), float(line[VALIDATION_LOSS])) for line in lines]


def remove_heavy(folder: Path) -> None:
    """Remove checkpoints and adapter of a trial that is not among the best."""
    for name in HEAVY_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
