"""A release killed with SIGKILL at random moments, and run again: is the registry ever half-full?

usage: python benchmarks/release_kills.py [--run latest] [--outputs-dir outputs] [--kills 20]

Times one release, then starts it again and again and kills it at a random moment of that time.
After every death each listed version must be whole; at the end one release must succeed and leave
nothing hidden behind. Writes benchmarks/results/release_kills.json, stamped with the commit.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from killing import killed

from evqa.config import project_dir
from evqa.files import write_json
from evqa.progress import progress
from evqa.provenance import git_commit
from evqa.registry import Registry
from evqa.runs import find_run


def command(run: Path, registry: Path) -> list[str]:
    """Return the command of one release."""
    return [
        sys.executable,
        "-m",
        "evqa.release",
        f"run='{run}'",
        f"registry.folder='{registry}'",
        f"paths.outputs_dir='{registry.parent}'",
    ]


def broken(registry: Registry) -> list[str]:
    """Return what is wrong with the listed versions and the aliases."""
    problems = [line for version in registry.versions() for line in registry.problems(version)]
    candidate = registry.aliases().candidate
    if candidate is not None and candidate not in registry.versions():
        problems.append(f"the candidate {candidate} is not listed")
    return problems


def series(run: Path, folder: Path, num_kills: int, seed: int) -> dict[str, Any]:
    """Kill ``num_kills`` releases; return the counts and every problem that was seen."""
    registry = Registry(folder / "registry", "evqa")
    words = command(run, folder / "registry")
    start = time.monotonic()
    subprocess.run(words, cwd=project_dir(), check=True, capture_output=True)  # noqa: S603
    whole_s = time.monotonic() - start
    rng = random.Random(seed)  # noqa: S311  nothing secret
    deaths, problems = 0, broken(registry)
    with progress("killing", num_kills) as bar:
        while deaths < num_kills:
            died = killed(words, rng.uniform(0.1, whole_s))
            problems += broken(registry)
            deaths += died
            bar.add(int(died))
    subprocess.run(words, cwd=project_dir(), check=True, capture_output=True)  # noqa: S603
    hidden = sorted(p.name for p in registry.root.iterdir() if p.name.startswith("."))
    return {
        "kills": deaths,
        "release_s": round(whole_s, 1),
        "versions": registry.versions(),
        "problems": [*problems, *broken(registry)],
        "left_behind": hidden,
        "last_release_succeeded": True,
        "git_commit": git_commit(project_dir()),
    }


def main() -> None:
    """Run the series, write and print its figures; exit 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="latest")
    parser.add_argument("--outputs-dir", type=Path, default=Path("outputs"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run = find_run(options.outputs_dir, options.run)
    with tempfile.TemporaryDirectory() as folder:
        result = series(run, Path(folder), options.kills, options.seed)
    write_json(project_dir() / "benchmarks" / "results" / "release_kills.json", result)
    sys.stdout.write(f"{result}\n")
    sys.exit(1 if result["problems"] or result["left_behind"] else 0)


if __name__ == "__main__":
    main()
