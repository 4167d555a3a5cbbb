"""What a sweep leaves to read: ``best.yaml``, ``trials.csv``, a line a trial, a table."""

import csv
import io
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console
from rich.table import Table

from evqa.files import write_text
from evqa.sweep.search import TRIALS
from evqa.sweep.space import Space
from evqa.sweep.study import RETRIED_AS, SweepStudy, infeasible_reason

NOTES = ("seconds", "predicted_gib", "measured_gib")
MAX_TABLE_ROWS = 40


def searched(space: Space, trial: FrozenTrial) -> dict[str, str]:
    """Return ``{key: value}`` of a trial as its overrides spell them."""
    words = [d.word(trial.params[d.param]) for d in space.dimensions]
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def reason_of(trial: FrozenTrial) -> str:
    """Return why a trial has no value, an empty text when it has one."""
    attrs = trial.user_attrs
    reason = attrs.get("reason") or attrs.get("pruned") or infeasible_reason(trial) or ""
    again = f" (again as {attrs[RETRIED_AS]})" if RETRIED_AS in attrs else ""
    return f"{reason}{again}"


def ending(trial: FrozenTrial, objectives: Sequence[str]) -> str:
    """Return in words how a trial ended."""
    if trial.state is TrialState.COMPLETE:
        pairs = zip(objectives, trial.values, strict=True)
        return ", ".join(f"{name} {value:.6g}" for name, value in pairs)
    if trial.state is TrialState.FAIL:
        return f"failed: {reason_of(trial)}"
    return f"not launched: {reason_of(trial)}" if infeasible_reason(trial) else reason_of(trial)


def say(study: SweepStudy, space: Space, trial: FrozenTrial, objectives: Sequence[str]) -> None:
    """Print one line about a trial that has just ended, and how far the sweep is."""
    words = " ".join(f"{key}={value}" for key, value in searched(space, trial).items())
    seconds = trial.user_attrs.get("seconds", 0.0)
    best = study.completed()[:1]
    star = "  (best)" if best and best[0].number == trial.number else ""
    done = f"[{len(study.paid())} done]"
    ended = ending(trial, objectives)
    sys.stdout.write(f"{done} trial {trial.number}  {words}  {ended}  {seconds:.0f} s{star}\n")
    sys.stdout.flush()


def write_files(
    study: SweepStudy, space: Space, objectives: Sequence[str], command: list[str]
) -> None:
    """Write ``trials.csv``, and ``best.yaml`` once a trial has a value."""
    write_text(study.folder / "trials.csv", trials_csv(study, space, objectives))
    best = study.completed()[:1]
    if best:
        values = best_values(study, best[0], objectives, command)
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000)
        write_text(study.folder / "best.yaml", text)


def best_values(
    study: SweepStudy, best: FrozenTrial, objectives: Sequence[str], command: list[str]
) -> dict[str, Any]:
    """Return the content of ``best.yaml``; its command runs the best trial again."""
    overrides = list(best.user_attrs["overrides"])
    values: dict[str, Any] = {
        "study": study.folder.name,
        "trial": best.number,
        "objective": objectives[0],
        "direction": "minimize" if study.minimise[0] else "maximize",
        "value": best.values[0],
        "overrides": overrides,
        "command": shlex.join([*command, *overrides]),
        "folder": str(study.folder / TRIALS / str(best.number)),
        **{note: best.user_attrs.get(note) for note in NOTES},
    }
    if len(objectives) > 1:
        values["pareto"] = [
            {"trial": trial.number, **dict(zip(objectives, trial.values, strict=True))}
            for trial in study.pareto()
        ]
    return values


def trials_csv(study: SweepStudy, space: Space, objectives: Sequence[str]) -> str:
    """Return one row a trial, in the order of their numbers."""
    stream = io.StringIO()
    keys = [dimension.key for dimension in space.dimensions]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["number", "state", *objectives, *keys, *NOTES, "reason"])
    for trial in study.trials():
        values = searched(space, trial)
        notes = [trial.user_attrs.get(note, "") for note in NOTES]
        scores = list(trial.values or [""] * len(objectives))
        if trial.state is not TrialState.COMPLETE:
            scores = [""] * len(objectives)
        row = [values[key] for key in keys]
        writer.writerow([trial.number, trial.state.name, *scores, *row, *notes, reason_of(trial)])
    return stream.getvalue()


def print_summary(study: SweepStudy, space: Space, objectives: Sequence[str]) -> None:
    """Print the launched trials, the best first, and what became of the rest."""
    launched = [trial for trial in study.trials() if infeasible_reason(trial) is None]
    rest = [trial for trial in launched if trial.state is not TrialState.COMPLETE]
    keys = [dimension.key for dimension in space.dimensions]
    table = Table(title=f"study {study.folder.name}", box=box.SIMPLE)
    for heading in ("trial", *keys, *objectives, "s", "GiB", ""):
        table.add_column(heading, overflow="fold")
    front = {trial.number for trial in study.pareto()} if len(objectives) > 1 else set()
    for trial in [*study.completed(), *rest][:MAX_TABLE_ROWS]:
        done = trial.state is TrialState.COMPLETE
        word = "failed" if trial.state is TrialState.FAIL else trial.state.name.lower()
        scores = [f"{value:.6g}" for value in trial.values] if done else [word]
        gib = trial.user_attrs.get("predicted_gib")
        table.add_row(
            str(trial.number),
            *searched(space, trial).values(),
            *(scores + [""] * (len(objectives) - len(scores))),
            f"{trial.user_attrs.get('seconds', 0.0):.0f}",
            "" if gib is None else f"{gib:.2f}",
            "on the front" if trial.number in front else reason_of(trial),
        )
    Console(soft_wrap=False).print(table)
    sys.stdout.write(_counts(study) + f"\nsweep     {study.folder}\n")
    if study.completed():
        sys.stdout.write(f"best      {study.folder / 'best.yaml'}\n")
        sys.stdout.write(f"again     python train.py best={study.folder.name}\n")


def _counts(study: SweepStudy) -> str:
    trials = study.trials()
    refused = sum(infeasible_reason(trial) is not None for trial in trials)
    failed = sum(trial.state is TrialState.FAIL for trial in trials)
    pruned = sum(trial.state is TrialState.PRUNED for trial in trials) - refused
    stopped = f"{pruned} stopped early, " if pruned else ""
    return (
        f"{len(study.completed())} finished, {stopped}{failed} failed, "
        f"{refused} not launched because they cannot run"
    )
