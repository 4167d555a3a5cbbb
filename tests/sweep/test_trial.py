"""Whatever a trial does is an outcome; nothing of it outlives the sweep."""

import json
import math
import signal
import sys
import time

import psutil
import pytest

from evqa.sweep.outcome import NO_VALIDATION, is_finished, read_outcome, remove_heavy
from evqa.sweep.trial import (
    ForkedTrial,
    SeparateTrial,
    TrialServer,
    finished_outcome,
    run_trial,
    stop,
)

FAILURES = [
    ("fail", "exit code 3: out of memory on the device"),
    ("bug", "exit code 1: see output.log"),
    ("kill", "killed by SIGKILL"),
    ("nothing", "ended without a finished manifest.json"),
    ("none", f"returned no validation_loss{NO_VALIDATION}"),
    ("nan", "returned validation_loss=nan"),
]


@pytest.fixture
def server(stub_command):
    made = TrialServer(stub_command[-1], "json")
    yield made
    made.close()


@pytest.fixture(params=["forked", "separate"])
def starter(request, server, stub_command):
    """Both ways to start a trial: they must behave alike."""

    def start(words):
        if request.param == "forked":
            return lambda log: ForkedTrial(server, words, log)
        return lambda log: SeparateTrial([*stub_command, *words], log)

    return start


@pytest.fixture
def run(starter, stub_command):
    def run_one(folder, objective="validation_loss", timeout_s=None, **more):
        words = ["lora.r=16", f"hydra.run.dir='{folder}'"]
        command = [*stub_command, *words]
        outcome = run_trial(starter(words), command, folder, timeout_s, **more)
        return finished_outcome(outcome, folder, (objective,))

    return run_one


def test_a_good_trial_has_a_value(run, tmp_path):
    outcome = run(tmp_path / "trials" / "0")
    assert outcome.reason is None
    assert outcome.values == pytest.approx([(math.log10(2e-4) + 3.5) ** 2])
    assert outcome.measured_gib == 1.5
    assert 0 < outcome.seconds < 30


def test_another_figure_can_be_the_objective(run, tmp_path):
    assert run(tmp_path / "trials" / "0", "key_fact_recall").values is not None
    assert run(tmp_path / "trials" / "1", "bleu").reason == "returned no bleu"


@pytest.mark.parametrize(("act", "reason"), FAILURES)
def test_every_failure_has_its_reason(run, tmp_path, behave, act, reason):
    behave(r16=act)
    outcome = run(tmp_path / "trials" / "0")
    assert outcome.values is None
    assert outcome.reason == reason


def test_a_hanging_trial_is_stopped(run, tmp_path, behave):
    behave(r16="hang")
    outcome = run(tmp_path / "trials" / "0", timeout_s=0.5)
    assert outcome.reason == "took longer than hydra.sweeper.trial_timeout_s=0.5"
    assert outcome.seconds < 20


def test_the_output_is_kept(run, tmp_path, behave):
    behave(r16="bug")
    run(tmp_path / "trials" / "0")
    log = (tmp_path / "trials" / "0" / "output.log").read_text()
    assert log.startswith("$ ")
    assert "RuntimeError: odd" in log


def test_a_watched_trial_is_stopped_early(run, tmp_path, behave):
    behave(r16="hang")
    outcome = run(tmp_path / "trials" / "0", watch=lambda: "looks bad")
    assert outcome.pruned == "looks bad"
    assert (outcome.values, outcome.reason) == (None, None)
    assert outcome.seconds < 20


def gone(pid):
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return True


def test_children_of_a_trial_end_with_it(tmp_path):
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    command = [sys.executable, "-c", script]
    run_trial(lambda log: SeparateTrial(command, log), command, tmp_path / "trial", None)
    assert gone(int((tmp_path / "trial" / "output.log").read_text().split()[-1]))


def test_stop_is_harmless_when_it_has_ended(tmp_path):
    trial = SeparateTrial([sys.executable, "-c", ""], tmp_path / "log")
    assert trial.wait(20) == 0
    stop(trial)
    stop(trial)


SCRIPT = """
import os, sys, time
print(os.getpid(), sys.argv[1:], flush=True)
assert "wave" in sys.modules, "preloaded"
if "sleep" in sys.argv: time.sleep(60)
if "raise" in sys.argv: raise ValueError("odd")
sys.exit(int(sys.argv[-1]) if sys.argv[-1].isdigit() else "a text")
"""


class TestServer:
    @pytest.fixture
    def serve(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        server = TrialServer(str(script), "wave")
        yield server
        server.close()

    @pytest.mark.parametrize(
        ("words", "code"), [(["0"], 0), (["7"], 7), (["x"], 1), (["raise"], 1)]
    )
    def test_exit_codes(self, serve, tmp_path, words, code):
        pid = serve.start(words, tmp_path / "log")
        assert serve.wait(pid, 20) == code
        assert str(words) in (tmp_path / "log").read_text()

    def test_a_trial_starts_in_well_under_a_second(self, serve, tmp_path):
        serve.wait(serve.start(["0"], tmp_path / "log"), 20)  # the server is up
        before = psutil.Process(serve._process.pid).cpu_times()
        for _ in range(5):
            assert serve.wait(serve.start(["0"], tmp_path / "log"), 20) == 0
        after = psutil.Process(serve._process.pid).cpu_times()
        spent = sum(after[:4]) - sum(before[:4])  # its children's time included
        assert spent / 5 < 0.5

    def test_many_at_once_are_told_apart(self, serve, tmp_path):
        pids = {code: serve.start([str(code)], tmp_path / f"{code}") for code in range(5)}
        assert {code: serve.wait(pid, 20) for code, pid in pids.items()} == {
            c: c for c in range(5)
        }
        assert serve.wait(pids[0], 1) == 0, "asked again, it has ended"

    def test_a_running_trial_has_no_code_yet(self, serve, tmp_path):
        pid = serve.start(["sleep"], tmp_path / "log")
        assert serve.wait(pid, 0.1) is None
        serve.close()
        assert gone(pid), "the kernel ends a trial whose server is dead"

    def test_a_killed_server_is_one_failed_trial_and_a_fresh_server(self, serve, tmp_path):
        pid = serve.start(["sleep"], tmp_path / "log")
        serve._process.kill()
        serve._process.wait()
        assert serve.wait(pid, 1) == -signal.SIGKILL
        assert gone(pid)
        assert serve.wait(serve.start(["0"], tmp_path / "log"), 20) == 0


@pytest.mark.parametrize("text", ["", "[]", "{", '{"finished": false}', "null"])
def test_awful_manifests_are_unfinished(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    assert not is_finished(tmp_path)
    assert read_outcome(tmp_path, ["validation_loss"], 1.0).values is None


@pytest.mark.parametrize("value", [True, "0.5", [1], {}, "Infinity"])
def test_awful_values_are_no_value(tmp_path, value):
    (tmp_path / "manifest.json").write_text(
        json.dumps({"finished": True, "training": {"validation_loss": value}})
    )
    assert read_outcome(tmp_path, ["validation_loss"], 1.0).values is None


def test_remove_heavy_leaves_the_figures(tmp_path):
    for name in ("adapter", "checkpoints"):
        (tmp_path / name).mkdir()
    (tmp_path / "metrics.json").write_text("{}")
    remove_heavy(tmp_path)
    remove_heavy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
