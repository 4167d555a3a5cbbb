"""The harmless form of a documented command: nothing is trained, served or written."""

import functools
import sys
from pathlib import Path

from evqa.config import load_config
from evqa.config.run_job import to_check

ROOT = Path(__file__).parents[1]
JOBS = {"train.py": "train", "evaluate.py": "evaluate", "serve.py": "serve"}


def runnable(words):
    """Return a function that checks the command in this process, where that is possible.

    A job's command line is composed and checked as the job itself would; that takes a fifth of a
    second instead of the two that a process of its own takes.
    """
    head, *rest = words
    if head != "python" or "--help" in rest or "--cfg" in rest:
        return None
    name = JOBS.get(rest[0])
    if rest[0] == "-m" and rest[1].startswith("evqa."):
        name = rest[1].removeprefix("evqa.")
        rest = rest[1:]
    if name is None:
        return None
    given = [word for word in rest[1:] if not word.startswith(("resume=", "best="))]
    if "-m" in given:
        given = to_check([word for word in given if word != "-m"])[0]
    return functools.partial(load_config, name, given)


def dry(words):
    """Return the harmless form of a command: nothing is trained, served or written."""
    head, *rest = words
    if head == "make":
        return ["make", "-n", *rest]
    if head == "python":
        if "-m" in rest[1:]:
            rest = [rest[0], *to_check([word for word in rest[1:] if word != "-m"])[0]]
        asked = rest if "--help" in rest else [*rest, "--cfg", "job"]
        return [sys.executable, *[w for w in asked if not w.startswith("resume=")]]
    if head == "evqa":
        depth = 2 if rest[0] in {"keys", "registry"} else 1
        return [sys.executable, "-m", "evqa.cli", *rest[:depth], "--help"]
    if head == "aim":
        return [str(Path(sys.executable).parent / "aim"), *rest[:1], "--help"]
    if head in {"pre-commit", "curl", "pip", "git", "docker", "kubectl", "systemctl", "sbatch"}:
        return [sys.executable, "-c", ""]  # other people's programs
    raise AssertionError(f"nobody checks {head!r}")
