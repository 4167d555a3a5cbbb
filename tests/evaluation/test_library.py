"""The name trap: our evaluate.py must never be taken for the library ``evaluate``."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROBE = (
    "from evqa.evaluation.library import evaluate_library\n"
    "library = evaluate_library()\n"
    "assert hasattr(library, 'Metric'), library\n"
    "assert 'site-packages' in library.__file__, library.__file__\n"
    "import evaluate; assert evaluate is library\n"
    "print('ok')\n"
)


def check(done):
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout


def test_under_a_script_beside_evaluate_py(tmp_path):
    script = ROOT / "train.py"
    probe = f"import sys; sys.path.insert(0, {str(script.parent)!r}); sys.argv = ['train.py']\n"
    check(
        subprocess.run(
            [sys.executable, "-c", probe + PROBE],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    )


def test_when_our_script_was_imported_first():
    probe = "import sys; sys.path.insert(0, '.'); import evaluate\n"
    check(
        subprocess.run(
            [sys.executable, "-c", probe + PROBE],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    )


def test_under_python_m():
    probe = "import runpy, sys; sys.path.insert(0, '')\n"
    check(
        subprocess.run(
            [sys.executable, "-c", probe + PROBE],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    )


def test_under_evaluate_py_itself(tmp_path):
    """The script is __main__ there, and its folder comes first on the path."""
    (tmp_path / "evaluate.py").write_text(PROBE)
    check(
        subprocess.run(
            [sys.executable, str(tmp_path / "evaluate.py")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )
    )


def test_under_pytest():
    from evqa.evaluation.library import evaluate_library

    assert hasattr(evaluate_library(), "Metric")
    assert evaluate_library() is evaluate_library()


def _in_worker(queue):
    from evqa.evaluation.metrics import metric_class

    metric = metric_class()(keep_in_memory=True)
    queue.put(metric.compute(predictions=["a b"], references=["a b"])["rouge_l"])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_in_a_worker(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    worker = context.Process(target=_in_worker, args=(queue,))
    worker.start()
    assert queue.get(timeout=60) == 1.0
    worker.join(30)
    assert worker.exitcode == 0
