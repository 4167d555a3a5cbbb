"""A preparation killed with SIGKILL again and again: the same bytes come out, nothing is left.

usage: python benchmarks/prepare_kills.py [--corpus FOLDER] [--kills 10]

FOLDER holds html/, pdf/ and text/ (default: $EVQA_CORPUS_DIR, else data/sample). Prepares it
once undisturbed, then again elsewhere, killed with SIGKILL at a random moment so many times in a
row and rerun each time; at the end one run goes through. Its files must have the very bytes of
the first.
Writes benchmarks/results/prepare_kills.json, stamped with the commit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evqa.config import project_dir
from evqa.files import sha256_file, write_json
from evqa.progress import progress
from evqa.provenance import git_commit


def command(corpus: Path, folder: Path) -> list[str]:
    """Return the command of one preparation."""
    sources = [
        f"sources.{key}.folder={corpus / name}"
        for key, name in (("web", "html"), ("pdf", "pdf"), ("text", "text"))
        if (corpus / name).is_dir()
    ]
    return [
        sys.executable,
        "-m",
        "evqa.prepare",
        "data=web_pdf",
        *sources,
        f"paths.prepared_dir={folder / 'prepared'}",
        f"paths.outputs_dir={folder / 'outputs'}",
    ]


def run(words: list[str], kill_after_s: float | None = None) -> bool:
    """Run a command in its own process group, killed after a while; return whether it ended."""
    process = subprocess.Popen(  # noqa: S603
        words,
        cwd=project_dir(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        return process.wait(timeout=kill_after_s) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file under a folder, hidden ones included."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def main() -> int:
    """Run the series and write its figures; 1 when a byte differs."""
    default = Path(os.environ.get("EVQA_CORPUS_DIR") or project_dir() / "data" / "sample")
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=default)
    parser.add_argument("--kills", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name) / "first", Path(name) / "second"
        started = time.perf_counter()
        is_whole = run(command(chosen.corpus, first))
        whole_s = time.perf_counter() - started
        draw = random.Random(7)  # noqa: S311  no secret
        moments, num_killed = [], 0
        with progress("killing", chosen.kills) as bar:
            while num_killed < chosen.kills:
                moment_s = draw.uniform(0.05, 0.95) * whole_s
                if run(command(chosen.corpus, second), moment_s):
                    break  # it was faster this time: the series ends with what it has
                moments.append(round(moment_s, 2))
                num_killed += 1
                bar.add(1)
        is_whole = run(command(chosen.corpus, second)) and is_whole
        wanted, found = hashes(first / "prepared"), hashes(second / "prepared")
    figures = {
        "commit": git_commit(project_dir()),
        "corpus": chosen.corpus.name,
        "kills": num_killed,
        "whole_run_s": round(whole_s, 1),
        "killed_after_s": moments,
        "files": len(wanted),
        "same_bytes": is_whole and wanted == found,
        "left_over": sorted(found.keys() - wanted.keys()),
    }
    write_json(project_dir() / "benchmarks" / "results" / "prepare_kills.json", figures)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["same_bytes"] and num_killed == chosen.kills else 1


if __name__ == "__main__":
    sys.exit(main())
