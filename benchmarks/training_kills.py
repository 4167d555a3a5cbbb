"""One training killed with SIGKILL at random steps and resumed each time: is the adapter the same?

usage: python benchmarks/training_kills.py [--kills 20] [trainer.batching=padded …]

Trains experiment=smoke once undisturbed; then the same again in another folder, killed as soon as
`steps.jsonl` holds a random step, resumed, killed again. The adapters' sha256 must be equal, and
`steps.jsonl` must prove that no resume repeated more steps than lie between two checkpoints.
Writes benchmarks/results/training_kills.json, stamped with the commit.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evqa.config import project_dir
from evqa.files import read_json, sha256_file, write_json
from evqa.progress import progress
from evqa.provenance import git_commit

CHECKPOINT_EVERY = 4  # of experiment=smoke
NUM_STEPS = 12
POLL_S = 0.004
MAX_WAIT_S = 240.0


def command(place: Path, *words: str) -> list[str]:
    """Return the command line of a training whose outputs go to ``place``."""
    return [
        sys.executable,
        "train.py",
        "experiment=smoke",
        "logger=none",
        f"paths.outputs_dir={place}/out",
        f"paths.prepared_dir={place}/prepared",
        *words,
    ]


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Return the finished lines of a run's ``steps.jsonl``."""
    file = folder / "steps.jsonl"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def run_until(words: list[str], folder: Path, step: int) -> bool:
    """Run a training and kill it when it has recorded ``step``; return whether it was killed.

    A training that resumes has some steps recorded already: they are cut off when it starts, so
    only what this process has written counts.
    """
    before = (
        (folder / "steps.jsonl").stat().st_mtime_ns if (folder / "steps.jsonl").exists() else 0
    )
    process = subprocess.Popen(  # noqa: S603
        words, cwd=project_dir(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + MAX_WAIT_S
    while process.poll() is None and time.monotonic() < deadline:
        file = folder / "steps.jsonl"
        if file.exists() and file.stat().st_mtime_ns != before:
            lines = lines_of(folder)
            if lines and lines[-1]["step"] >= step:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return True
        time.sleep(POLL_S)
    process.kill()
    process.wait()
    return False


def series(place: Path, num_kills: int, seed: int, words: list[str]) -> dict[str, Any]:
    """Run the series in ``place`` and return its figures and problems."""
    whole, killed = place / "whole", place / "killed"
    subprocess.run(  # noqa: S603
        command(place, *words, f"hydra.run.dir={whole}"),
        cwd=project_dir(), check=True, capture_output=True,
    )  # fmt: skip
    rng = random.Random(seed)  # noqa: S311  nothing secret
    deaths, problems, at_steps = 0, [], []
    with progress("killing", num_kills) as bar:
        while deaths < num_kills:
            again = (killed / "manifest.json").exists()
            start = f"resume={killed}" if again else f"hydra.run.dir={killed}"
            step = rng.randint(1, NUM_STEPS)
            if not run_until(command(place, *words, start), killed, step):
                problems.append(f"not killed at step {step}: it had ended")
                break
            problems += repeated_too_much(lines_of(killed))
            at_steps.append(lines_of(killed)[-1]["step"])
            deaths += 1
            bar.add(1)
    if not read_json(killed / "manifest.json").get("finished"):
        subprocess.run(  # noqa: S603
            command(place, *words, f"resume={killed}"),
            cwd=project_dir(), check=True, capture_output=True,
        )  # fmt: skip
    return figures(whole, killed, at_steps, problems)


def repeated_too_much(lines: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the steps that a resumed run has recorded."""
    steps = [line["step"] for line in lines]
    if steps != list(range(1, len(steps) + 1)):
        return [f"steps.jsonl is not consecutive: {steps}"]
    return []


def figures(whole: Path, killed: Path, at_steps: list[int], problems: list[str]) -> dict[str, Any]:
    """Compare the undisturbed run with the killed one."""
    hashes = [sha256_file(f / "adapter" / "adapter_model.safetensors") for f in (whole, killed)]
    one, two = lines_of(whole), lines_of(killed)
    resumed = [line["resumed_from_step"] for line in two if "resumed_from_step" in line]
    # Each kill loses at most the steps since the last checkpoint.
    lost = [step - step // CHECKPOINT_EVERY * CHECKPOINT_EVERY for step in at_steps]
    if hashes[0] != hashes[1]:
        problems.append("the adapters differ")
    if [(x["loss"], x["sample_ids"]) for x in one] != [(x["loss"], x["sample_ids"]) for x in two]:
        problems.append("losses or samples of the steps differ")
    return {
        "kills": len(at_steps),
        "killed_at_steps": at_steps,
        "most_steps_repeated": max(lost, default=0),
        "checkpoint_every_n_steps": CHECKPOINT_EVERY,
        "resumed_from_steps_in_the_end": resumed,
        "adapter_sha256": hashes,
        "equal": hashes[0] == hashes[1],
        "problems": problems,
        "git_commit": git_commit(project_dir()),
    }


def main() -> None:
    """Run the series, write and print its figures; exit 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("words", nargs="*", help="overrides of the training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = series(Path(place), options.kills, options.seed, options.words)
    write_json(project_dir() / "benchmarks" / "results" / "training_kills.json", result)
    sys.stdout.write(f"{json.dumps(result)}\n")
    sys.exit(1 if result["problems"] else 0)


if __name__ == "__main__":
    main()
