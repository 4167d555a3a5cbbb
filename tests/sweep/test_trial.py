"""Whatever a trial does is an outcome; nothing of it outlives the sweep."""

import json
import math
import subprocess
import sys
import time

import psutil
import pytest

from evqa.sweep.outcome import NO_VALIDATION, is_finished, read_outcome, remove_heavy
from evqa.sweep.trial import run_trial, stop

FAILURES = [
    ("fail", "exit code 3: out of memory on the device"),
    ("bug", "exit code 1: see output.log"),
    ("kill", "killed by SIGKILL"),
    ("nothing", "ended without a finished manifest.json"),
    ("none", f"returned no validation_loss{NO_VALIDATION}"),
    ("nan", "returned validation_loss=nan"),
]


def run(stub_command, folder, objective="validation_loss", timeout_s=None):
    words = ["lora.r=16", f"hydra.run.dir='{folder}'"]
    return run_trial([*stub_command, *words], folder, objective, timeout_s)


def test_a_good_trial_has_a_value(stub_command, tmp_path):
    outcome = run(stub_command, tmp_path / "trials" / "0")
    assert outcome.reason is None
    assert outcome.value == pytest.approx((math.log10(2e-4) + 3.5) ** 2)
    assert outcome.measured_gib == 1.5
    assert 0 < outcome.seconds < 30


def test_another_figure_can_be_the_objective(stub_command, tmp_path):
    assert run(stub_command, tmp_path / "trials" / "0", "key_fact_recall").value is not None
    assert run(stub_command, tmp_path / "trials" / "1", "bleu").reason == "returned no bleu"


@pytest.mark.parametrize(("act", "reason"), FAILURES)
def test_every_failure_has_its_reason(stub_command, tmp_path, behave, act, reason):
    behave(r16=act)
    outcome = run(stub_command, tmp_path / "trials" / "0")
    assert outcome.value is None
    assert outcome.reason == reason


def test_a_hanging_trial_is_stopped(stub_command, tmp_path, behave):
    behave(r16="hang")
    outcome = run(stub_command, tmp_path / "trials" / "0", timeout_s=0.5)
    assert outcome.reason == "took longer than hydra.sweeper.trial_timeout_s=0.5"
    assert outcome.seconds < 20


def test_the_output_is_kept(stub_command, tmp_path, behave):
    behave(r16="bug")
    run(stub_command, tmp_path / "trials" / "0")
    log = (tmp_path / "trials" / "0" / "output.log").read_text()
    assert log.startswith("$ ")
    assert "RuntimeError: odd" in log


def test_children_of_a_trial_end_with_it(tmp_path):
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    run_trial([sys.executable, "-c", script], tmp_path / "trial", "validation_loss", None)
    child = int((tmp_path / "trial" / "output.log").read_text().split()[-1])
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_stop_is_harmless_when_it_has_ended():
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    process.wait()
    stop(process)
    stop(process)
    assert process.returncode == 0


@pytest.mark.parametrize("text", ["", "[]", "{", '{"finished": false}', "null"])
def test_awful_manifests_are_unfinished(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    assert not is_finished(tmp_path)
    assert read_outcome(tmp_path, "validation_loss", 1.0).value is None


@pytest.mark.parametrize("value", [True, "0.5", [1], {}, "Infinity"])
def test_awful_values_are_no_value(tmp_path, value):
    (tmp_path / "manifest.json").write_text(
        json.dumps({"finished": True, "training": {"validation_loss": value}})
    )
    assert read_outcome(tmp_path, "validation_loss", 1.0).value is None


def test_remove_heavy_leaves_the_figures(tmp_path):
    for name in ("adapter", "checkpoints"):
        (tmp_path / name).mkdir()
    (tmp_path / "metrics.json").write_text("{}")
    remove_heavy(tmp_path)
    remove_heavy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
