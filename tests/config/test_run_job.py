"""What a job raises decides the exit code and is one line on stderr."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = """
import sys
from evqa import errors
from evqa.config import PlanConfig, run_job

def job(config, folder):
    {body}

sys.argv = ["plan", *{words!r}]
run_job("plan", PlanConfig, job)
"""
CASES = [
    ("print('done')", 0, ""),
    ("raise errors.UserError('bad file')", 2, "error: bad file"),
    ("raise errors.GateError('no')", 4, "error: no"),
    ("raise errors.OutsideError('down')", 5, "error: down"),
    ("raise errors.MemoryExhaustedError('full')", 3, "error: full"),
    ("raise errors.InterruptedRunError('stopped')", 130, "error: stopped"),
    ("raise KeyboardInterrupt", 130, "error: interrupted"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143, "error: stopped"),
    (f"raise OSError({errno.ENOSPC}, 'No space left', '/x/y')", 5, "error: disk full"),
    ("open('/nowhere/at/all')", 2, "error: /nowhere/at/all: No such file"),
    ("raise MemoryError", 3, "error: out of memory"),
    ("raise RuntimeError('odd')", 1, "a bug in evqa"),
]


def run_script(body, *words):
    return subprocess.run(
        [sys.executable, "-c", JOB.format(body=body, words=list(words))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("body", "code", "line"), CASES, ids=[case[0] for case in CASES])
def test_exit_code_and_line(body, code, line):
    done = run_script(body)
    assert done.returncode == code, done.stderr
    assert line in done.stderr
    if code not in (0, 1):
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_multirun_goes_on_after_a_failure_and_reports_it(tmp_path):
    body = "print('r', config.lora.r); exec('raise errors.GateError(\"no\")' if config.lora.r == 2 else '')"
    done = run_script(body, "-m", "lora.r=1,2,3", f"paths.outputs_dir={tmp_path}")
    assert done.returncode == 4
    assert [w for w in done.stdout.splitlines() if w.startswith("r ")] == ["r 1", "r 2", "r 3"]


@pytest.mark.parametrize("content", [{}, {"thesis.txt": "mine"}], ids=["fresh", "someone's"])
def test_a_mistake_removes_only_a_folder_that_holds_nothing(tmp_path, content):
    """Whatever stands in a folder given as hydra.run.dir is not ours to remove."""
    folder = tmp_path / "given"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    words = [f"hydra.run.dir={folder}", "hydra.output_subdir=.hydra"]
    done = run_script("raise errors.UserError('late')", *words)
    assert done.returncode == 2
    assert folder.exists() == bool(content)
    for name, text in content.items():
        assert (folder / name).read_text() == text


def test_the_current_folder_is_never_removed(tmp_path):
    (tmp_path / ".hydra").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", JOB.format(body="raise errors.UserError('late')", words=[])],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert (tmp_path / ".hydra").is_dir()
