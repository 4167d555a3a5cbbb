"""What a sweep leaves to read: ``best.yaml``, ``trials.csv``, a line a trial, a table."""

import csv
import io
import shlex
import sys
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console
from rich.table import Table

from evqa.files import write_text
from evqa.sweep.search import TRIALS
from evqa.sweep.space import Space
from evqa.sweep.study import SweepStudy, infeasible_reason

NOTES = ("seconds", "predicted_gib", "measured_gib")
MAX_TABLE_ROWS = 40


def searched(space: Space, trial: FrozenTrial) -> dict[str, str]:
    """Return ``{key: value}`` of a trial as its overrides spell them."""
    words = [d.word(trial.params[d.param]) for d in space.dimensions]
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def say(study: SweepStudy, space: Space, trial: FrozenTrial, objective: str) -> None:
    """Print one line about a trial that has just ended."""
    words = " ".join(f"{key}={value}" for key, value in searched(space, trial).items())
    seconds = trial.user_attrs.get("seconds", 0.0)
    ended = {
        TrialState.COMPLETE: f"{objective} {trial.value:.6g}" if trial.value is not None else "",
        TrialState.FAIL: f"failed: {trial.user_attrs.get('reason')}",
        TrialState.PRUNED: f"not launched: {infeasible_reason(trial)}",
    }[trial.state]
    best = study.completed()[:1]
    star = "  (best)" if best and best[0].number == trial.number else ""
    sys.stdout.write(f"trial {trial.number}  {words}  {ended}  {seconds:.0f} s{star}\n")
    sys.stdout.flush()


def write_files(study: SweepStudy, space: Space, objective: str, command: list[str]) -> None:
    """Write ``trials.csv``, and ``best.yaml`` once a trial has a value."""
    write_text(study.folder / "trials.csv", trials_csv(study, space, objective))
    best = study.completed()[:1]
    if best:
        values = best_values(study, best[0], objective, command)
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000)
        write_text(study.folder / "best.yaml", text)


def best_values(
    study: SweepStudy, best: FrozenTrial, objective: str, command: list[str]
) -> dict[str, Any]:
    """Return the content of ``best.yaml``; its command runs the best trial again."""
    overrides = list(best.user_attrs["overrides"])
    return {
        "study": study.folder.name,
        "trial": best.number,
        "objective": objective,
        "direction": "minimize" if study.minimise else "maximize",
        "value": best.value,
        "overrides": overrides,
        "command": shlex.join([*command, *overrides]),
        "folder": str(study.folder / TRIALS / str(best.number)),
        **{note: best.user_attrs.get(note) for note in NOTES},
    }


def trials_csv(study: SweepStudy, space: Space, objective: str) -> str:
    """Return one row a trial, in the order of their numbers."""
    stream = io.StringIO()
    keys = [dimension.key for dimension in space.dimensions]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["number", "state", objective, *keys, *NOTES, "reason"])
    for trial in study.trials():
        values = searched(space, trial)
        reason = trial.user_attrs.get("reason") or infeasible_reason(trial) or ""
        notes = [trial.user_attrs.get(note, "") for note in NOTES]
        row = [values[key] for key in keys]
        value = "" if trial.value is None else trial.value
        writer.writerow([trial.number, trial.state.name, value, *row, *notes, reason])
    return stream.getvalue()


def print_summary(study: SweepStudy, space: Space, objective: str) -> None:
    """Print the launched trials, the best first, and what became of the rest."""
    failed = [trial for trial in study.paid() if trial.state is TrialState.FAIL]
    refused = [trial for trial in study.trials() if infeasible_reason(trial)]
    keys = [dimension.key for dimension in space.dimensions]
    table = Table(title=f"study {study.folder.name}", box=box.SIMPLE)
    for heading in ("trial", *keys, objective, "s", "GiB", ""):
        table.add_column(heading, overflow="fold")
    for trial in [*study.completed(), *failed][:MAX_TABLE_ROWS]:
        value = "failed" if trial.value is None else f"{trial.value:.6g}"
        gib = trial.user_attrs.get("predicted_gib")
        table.add_row(
            str(trial.number),
            *searched(space, trial).values(),
            value,
            f"{trial.user_attrs.get('seconds', 0.0):.0f}",
            "" if gib is None else f"{gib:.2f}",
            str(trial.user_attrs.get("reason") or ""),
        )
    console = Console(soft_wrap=False)
    console.print(table)
    sys.stdout.write(
        f"{len(study.completed())} finished, {len(failed)} failed, "
        f"{len(refused)} not launched because they cannot run\nsweep     {study.folder}\n"
    )
    if study.completed():
        sys.stdout.write(f"best      {study.folder / 'best.yaml'}\n")
