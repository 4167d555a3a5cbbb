"""Sweeps that are killed, and sweeps with points that do not fit.

usage: python benchmarks/sweep_kills.py [--kills 20] [--only kills|infeasible]

``kills``: one sweep (experiment=smoke, 12 trials) undisturbed; then the same, killed with SIGKILL
at random moments and started again each time. Number, parameters, state and value of every trial
must be equal, and no process of a killed sweep may be alive a second after it.
``infeasible``: 50 trials over a space of which about a third does not fit its budget: none over
budget may be launched, none may end the sweep, and best.yaml must give its score again.
Writes benchmarks/results/sweep_kills.json and sweep_infeasible.json, stamped with the commit.
"""

import argparse
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from evqa.config import project_dir
from evqa.files import read_json, write_json
from evqa.progress import progress
from evqa.provenance import git_commit

NUM_TRIALS = 12
SPACE = ("lora.r=choice(4,8,16,32)", "optimizer.lr=tag(log,interval(1e-4,1e-2))")
COMPARED = ("number", "state", "validation_loss", "lora.r", "optimizer.lr")
GONE_WITHIN_S = 1.0
BUDGET_GIB = 0.038
WIDE_SPACE = (
    "lora.r=choice(4,8,16,32,64,128,256)",
    "trainer.micro_batch_size=choice(2,4,8,16)",
    "optimizer.lr=tag(log,interval(1e-4,1e-2))",
    f"memory.budget_gib={BUDGET_GIB}",
)


def command(place: Path, *words: str) -> list[str]:
    """Return the command of a sweep in ``place``; prepared data and base are shared."""
    return [
        sys.executable, "train.py", "-m", "experiment=smoke", "trainer=cpu", "logger=none",
        "callbacks.progress_bar=false", f"paths.outputs_dir={place}/out",
        f"paths.prepared_dir={place}/prepared", *words,
    ]  # fmt: skip


def sweep_words(study: str) -> list[str]:
    """Return the overrides of the sweep that is killed."""
    return [*SPACE, f"hydra.sweeper.n_trials={NUM_TRIALS}", f"hydra.sweeper.study_name={study}"]


def table(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a sweep's ``trials.csv``."""
    with (folder / "trials.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def compared(folder: Path) -> list[list[str]]:
    """Return what must be equal of every trial."""
    return [[row[name] for name in COMPARED] for row in table(folder)]


def run_whole(words: list[str]) -> float:
    """Run a command to its end and return the seconds."""
    started = time.monotonic()
    subprocess.run(words, cwd=project_dir(), check=True, capture_output=True)  # noqa: S603
    return time.monotonic() - started


def run_and_kill(words: list[str], after_s: float, folder: Path, most_rows: int) -> list[int]:
    """Run a sweep and kill it after a while, or when it has so many rows; return who survived it.

    Raises:
        RuntimeError: it came to its end before.
    """
    process = subprocess.Popen(  # noqa: S603
        words, cwd=project_dir(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline and num_rows(folder) < most_rows:
        if process.poll() is not None:
            raise RuntimeError(f"the sweep ended by itself with {num_rows(folder)} rows")
        time.sleep(0.01)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _gone, alive = psutil.wait_procs(family, timeout=GONE_WITHIN_S)
    return [p.pid for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def num_rows(folder: Path) -> int:
    """Return how many trials a sweep has recorded."""
    return len(table(folder)) if (folder / "trials.csv").exists() else 0


def kills(place: Path, num_kills: int, seed: int) -> dict[str, Any]:
    """Run the series of kills and return its figures."""
    sweeps = place / "out" / "sweeps"
    whole_s = run_whole(command(place, *sweep_words("whole")))
    trials_s = [float(row["seconds"]) for row in table(sweeps / "whole")]
    start_s = whole_s - sum(trials_s)
    longest_s = start_s + 2 * sum(trials_s) / len(trials_s)
    rng = random.Random(seed)  # noqa: S311  nothing secret
    deaths = 0
    orphans: list[int] = []
    words = command(place, *sweep_words("killed"))
    with progress("killing", num_kills) as bar:
        while deaths < num_kills:
            # The last kill must find it still at work.
            most_rows = 1 + (deaths * (NUM_TRIALS - 2)) // num_kills
            after_s = rng.uniform(0.5, longest_s)
            orphans += run_and_kill(words, after_s, sweeps / "killed", most_rows)
            deaths += 1
            bar.add(1)
    run_whole(words)
    return {
        "kills": deaths,
        "trials": NUM_TRIALS,
        "sweep_s": round(whole_s, 1),
        "equal": compared(sweeps / "whole") == compared(sweeps / "killed"),
        "rows": compared(sweeps / "killed"),
        "orphans": orphans,
        "git_commit": git_commit(project_dir()),
    }


def infeasible(place: Path, num_trials: int) -> dict[str, Any]:
    """Run the sweep with points that do not fit, and its best trial once more."""
    study = [f"hydra.sweeper.n_trials={num_trials}", "hydra.sweeper.study_name=wide"]
    seconds = run_whole(command(place, *WIDE_SPACE, *study))
    folder = place / "out" / "sweeps" / "wide"
    rows = table(folder)
    refused = [row for row in rows if row["state"] == "PRUNED"]
    launched = [row for row in rows if row["state"] != "PRUNED"]
    best = yaml.safe_load((folder / "best.yaml").read_text(encoding="utf-8"))
    again = place / "again"
    words = [w for w in command(place, "best=wide", f"hydra.run.dir={again}") if w != "-m"]
    run_whole(words)
    value = read_json(again / "manifest.json")["training"]["validation_loss"]
    return {
        "paid_trials": len(launched),
        "refused_points": len(refused),
        "share_refused": round(len(refused) / len(rows), 3),
        "launched_over_budget": sum(float(row["predicted_gib"]) > BUDGET_GIB for row in launched),
        "failed": sum(row["state"] == "FAIL" for row in rows),
        "best_value": best["value"],
        "best_value_again": value,
        "reproduced_exactly": best["value"] == value,
        "seconds": round(seconds, 1),
        "git_commit": git_commit(project_dir()),
    }


def main() -> None:
    """Run, write and print; exit 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("kills", "infeasible"))
    options = parser.parse_args()
    results = project_dir() / "benchmarks" / "results"
    good = True
    with tempfile.TemporaryDirectory() as place:
        if options.only != "infeasible":
            made = kills(Path(place), options.kills, options.seed)
            write_json(results / "sweep_kills.json", made)
            sys.stdout.write(json.dumps(made) + "\n")
            good &= made["equal"] and not made["orphans"]
        if options.only != "kills":
            made = infeasible(Path(place), options.trials)
            write_json(results / "sweep_infeasible.json", made)
            sys.stdout.write(json.dumps(made) + "\n")
            good &= made["reproduced_exactly"] and not made["launched_over_budget"]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
