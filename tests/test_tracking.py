"""Logging never fails a run, and says so once."""

import json
import subprocess
import sys

import pytest

from evqa import tracking
from evqa.config.training import LoggerConfig, LoggerKind
from evqa.errors import UserError
from evqa.tracking import Tracker, build_tracker, require


class Recorder:
    """A backend that fails from its ``fails_at``-th call on."""

    def __init__(self, fails_at=10**9):
        self.calls = []
        self.fails_at = fails_at
        self.run_id = "r1"

    def _call(self, *what):
        if len(self.calls) >= self.fails_at:
            raise RuntimeError("disk on fire\nsecond line")
        self.calls.append(what)

    def params(self, values):
        self._call("params", values)

    def metrics(self, values, step, context):
        self._call("metrics", dict(values), step, context)

    def text(self, name, text, step):
        self._call("text", name, text, step)

    def image(self, name, png, caption):
        self._call("image", name, png, caption)

    def close(self):
        self._call("close")


def use(tracker):
    tracker.params({"a": 1})
    tracker.metrics({"loss": 0.5}, 3)
    tracker.metrics({"loss": 0.4}, 4, {"system": "base"})
    tracker.text("answers", "hello")
    tracker.close()
    tracker.metrics({"loss": 0.3}, 5)


def test_everything_reaches_the_backend_until_it_is_closed():
    backend = Recorder()
    tracker = Tracker(lambda: backend)
    assert tracker.run_id == "r1"
    use(tracker)
    assert backend.calls == [
        ("params", {"a": 1}),
        ("metrics", {"loss": 0.5}, 3, {}),
        ("metrics", {"loss": 0.4}, 4, {"system": "base"}),
        ("text", "answers", "hello", 0),
        ("close",),
    ]


@pytest.mark.parametrize("fails_at", range(5))
def test_a_failure_at_any_call_is_said_once(fails_at, capsys):
    tracker = Tracker(lambda: Recorder(fails_at))
    use(tracker)
    assert tracker.failure == "RuntimeError: disk on fire"
    assert capsys.readouterr().err == (
        "warning: tracking stopped, the run goes on (RuntimeError: disk on fire)\n"
    )


def test_a_backend_that_does_not_open(capsys):
    def broken():
        raise OSError("no room")

    tracker = Tracker(broken)
    use(tracker)
    assert tracker.run_id is None
    assert "no room" in capsys.readouterr().err


def test_none_is_silent(tmp_path, capsys):
    use(build_tracker(LoggerConfig(kind=LoggerKind.none), tmp_path, tmp_path))
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_csv_writes_into_the_run_folder(tmp_path):
    tracker = build_tracker(LoggerConfig(kind=LoggerKind.csv), tmp_path, tmp_path / "run")
    use(tracker)
    assert tracker.failure is None
    text = (tmp_path / "run" / "metrics.csv").read_text()
    assert "loss" in text.splitlines()[0]
    assert "0.5" in text


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow", "wandb", "aim"])
def test_a_package_that_is_absent_is_named(kind, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=f"package {kind} is not installed; pip install {kind}"):
        require(LoggerKind(kind))


@pytest.mark.parametrize("kind", ["none", "csv"])
def test_what_needs_no_package(kind):
    require(LoggerKind(kind))
    assert LoggerKind(kind) not in tracking.PACKAGES


def test_aim_can_be_reopened(tmp_path):
    """A resumed run goes on in the Aim run that it began."""
    probe = (
        "import sys; from pathlib import Path; from evqa.config.training import LoggerConfig\n"
        "from evqa.tracking import build_tracker\n"
        "place = Path(sys.argv[1]); known = sys.argv[2] or None\n"
        "tracker = build_tracker(LoggerConfig(), place, place / 'x', known)\n"
        "tracker.metrics({'loss': 1.0}, int(sys.argv[3]))\n"
        "print(tracker.run_id); tracker.close(); assert tracker.failure is None"
    )

    def call(known, step):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", probe, str(tmp_path), known, str(step)],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        return done.stdout.strip().splitlines()[-1]

    first = call("", 1)
    assert call(first, 2) == first
    assert len(json.dumps(first)) == 26
