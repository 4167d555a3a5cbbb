"""One pipeline killed with SIGKILL again and again: does it leave what an unkilled one leaves?

usage: python benchmarks/pipeline_kills.py [--kills 20] [--seed 0]

Runs ``experiment=smoke`` once to the end, then in another folder kills it at random moments and
starts it again until it has died often enough, and lets it end. Dataset, adapter and weights must
have the hashes of the first, and no stage may have finished twice. Writes
benchmarks/results/pipeline_kills.json, stamped with the commit.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from killing import killed

from evqa.config import project_dir
from evqa.files import sha256_file, write_json
from evqa.progress import progress
from evqa.provenance import git_commit
from evqa.registry import Registry

ONCE = ("prepare", "train", "evaluate", "release")
WORDS = [
    "experiment=smoke", "logger=none", "performance=none", "require_ship=false",
    "export.served=never", "callbacks.checkpoint_every_n_steps=2",
]  # fmt: skip


def command(place: Path) -> list[str]:
    """Return the pipeline's command line."""
    paths = [f"paths.outputs_dir='{place}/out'", f"paths.prepared_dir='{place}/prepared'"]
    return [sys.executable, "-m", "evqa.pipeline", *WORDS, *paths]


def run(place: Path) -> float:
    """Let the pipeline end; return how long it took, seconds."""
    start = time.monotonic()
    subprocess.run(command(place), cwd=project_dir(), check=True, capture_output=True)  # noqa: S603
    return time.monotonic() - start


def left(place: Path) -> dict[str, Any]:
    """Return the hashes of what a pipeline leaves."""
    registry = Registry(place / "out" / "registry", "evqa")
    (pairs,) = (place / "prepared").glob("*/pairs.jsonl")
    adapter = place / "out" / "runs" / "latest" / "adapter" / "adapter_model.safetensors"
    version = registry.versions()[-1]
    return {
        "pairs": sha256_file(pairs),
        "adapter": sha256_file(adapter),
        "weights": registry.manifest(version).files["model.safetensors"]["sha256"],
        "versions": registry.versions(),
    }


def finished(place: Path) -> Counter[str]:
    """Count how often each stage has finished its work, over all starts."""
    counts: Counter[str] = Counter()
    for file in (place / "out" / "pipelines").glob("*/events.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["event"] == "stage_finished" and row["stage"] in ONCE:
                counts[row["stage"]] += 1
    return counts


def series(root: Path, num_kills: int, seed: int) -> dict[str, Any]:
    """Kill one pipeline ``num_kills`` times and compare it with an unkilled one."""
    whole_s = run(root / "whole")
    rng = random.Random(seed)  # noqa: S311  nothing secret
    deaths = ends = 0
    with progress("killing", num_kills) as bar:
        while deaths < num_kills:
            died = killed(command(root / "killed"), rng.uniform(1.0, whole_s / 2))
            deaths, ends = deaths + died, ends + (not died)
            bar.add(int(died))
    run(root / "killed")
    counts = finished(root / "killed")
    return {
        "kills": deaths,
        "starts_that_ended_before_the_kill": ends,
        "whole_s": round(whole_s, 1),
        "same_hashes": left(root / "whole") == left(root / "killed"),
        "finished": dict(counts),
        "finished_twice": [stage for stage, count in counts.items() if count > 1],
    }


def main() -> None:
    """Run the series and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        figures = series(Path(root), told.kills, told.seed)
    figures = {"commit": git_commit(project_dir()), "seed": told.seed, **figures}
    write_json(project_dir() / "benchmarks" / "results" / "pipeline_kills.json", figures)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
