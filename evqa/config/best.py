"""``best=<study>``: the overrides of a sweep's best trial, in place of the word."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from evqa.config.compose import compose_config, parse_overrides
from evqa.errors import UserError

KEY = "best"


def with_best(job: str, words: Sequence[str]) -> list[str]:
    """Return a command line with the best trial's overrides, those given by hand after them.

    Args:
        job: Name of the primary YAML.
        words: The command line; without ``best=`` it comes back as it is.

    Raises:
        UserError: no such study, or none of its trials has finished.
    """
    named = [o for o in parse_overrides(words) if o.key_or_group == KEY and o.value() is not None]
    if not named:
        return list(words)
    study = str(named[-1].value())
    others = [word for word in words if word.partition("=")[0].lstrip("+") != KEY]
    sweeps = Path(str(compose_config(job, others).paths.outputs_dir)) / "sweeps"
    return [*_overrides(sweeps, study), *others]


def _overrides(sweeps: Path, study: str) -> list[str]:
    file = next(
        (p for p in (sweeps / study / "best.yaml", Path(study) / "best.yaml") if p.is_file()), None
    )
    if file is None:
        known = sorted(path.parent.name for path in sweeps.glob("*/best.yaml"))
        have = f"; there are {', '.join(known)}" if known else ""
        raise UserError(f"best={study}: no study with a finished trial in {sweeps}{have}")
    values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [str(word) for word in values["overrides"]]
