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


def check_probe(code, cwd=ROOT, **settings):
    done = subprocess.run(
        [sys.executable, *code], cwd=cwd, capture_output=True, text=True, timeout=120,
        check=False, **settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout


def test_under_a_script_beside_evaluate_py(tmp_path):
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['train.py']\n"
    check_probe(["-c", path + PROBE], cwd=tmp_path)


def test_when_our_script_was_imported_first():
    check_probe(["-c", "import sys; sys.path.insert(0, '.'); import evaluate\n" + PROBE])


def test_under_python_m():
    check_probe(["-c", "import sys; sys.path.insert(0, '')\n" + PROBE])


def test_under_evaluate_py_itself(tmp_path):
    """The script is __main__ there, and its folder comes first on the path."""
    (tmp_path / "evaluate.py").write_text(PROBE)
    check_probe([str(tmp_path / "evaluate.py")], env={"PYTHONPATH": str(ROOT), "PATH": ""})


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
