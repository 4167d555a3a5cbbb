"""One trial, one process: whatever happens in it, the sweep goes on.

A child leads its own process group, so that Ctrl-C reaches only the sweep, and the kernel kills it
when the sweep dies (see `evqa.sweep.server`, which forks the children of a sweep).
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evqa.sweep.outcome import Outcome, read_outcome
from evqa.sweep.server import die_with_parent

GRACE_S = 10.0
POLL_S = 0.25
LOG_NAME = "output.log"
LOG_TAIL_BYTES = 1 << 16
ERROR_PREFIX = "error: "
# Asked while a trial runs; a text ends it, and is why.
Watch = Callable[[], str | None]


class TrialServer:
    """Starts trials by forking a process that has imported everything already.

    Args:
        script: What a trial runs.
        preload: Module that the server imports first.
    """

    def __init__(self, script: str, preload: str) -> None:
        self._script = script
        self._preload = preload
        self._process: subprocess.Popen[str] | None = None

    def start(self, words: Sequence[str], log: Path) -> int:
        """Fork a trial and return its process id.

        Raises:
            OSError: the server died and cannot be started again.
        """
        with contextlib.suppress(OSError, ValueError):
            return int(self._ask({"words": list(words), "log": str(log)})["pid"])
        self.close()  # it was killed: a fresh one
        return int(self._ask({"words": list(words), "log": str(log)})["pid"])

    def wait(self, pid: int, timeout_s: float) -> int | None:
        """Return a trial's exit code, None when it still runs; -SIGKILL when the server died."""
        try:
            code = self._ask({"wait": pid, "timeout_s": timeout_s})["code"]
        except (OSError, ValueError):
            self.close()
            return -signal.SIGKILL
        return None if code is None else int(code)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process or self._launch()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    def _launch(self) -> "subprocess.Popen[str]":
        module = ["-m", "evqa.sweep.server"]
        command = [sys.executable, *module, str(os.getpid()), self._script, self._preload]
        self._process = subprocess.Popen(  # noqa: S603  our own command
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        json.loads(self._process.stdout.readline())  # ready
        return self._process

    def close(self) -> None:
        """End the server and, with it, its children."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process = None


class ForkedTrial:
    """A trial that a `TrialServer` has forked."""

    def __init__(self, server: TrialServer, words: Sequence[str], log: Path) -> None:
        self._server = server
        self.pid = server.start(words, log)

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, None when it still runs after so long."""
        return self._server.wait(self.pid, timeout_s)


class SeparateTrial:
    """A trial as a command of its own: for several devices, whose processes start afresh."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        parent = os.getpid()
        with log.open("ab") as stream:
            self._process = subprocess.Popen(  # noqa: S603  our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509  no threads here
            )
        self.pid = self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, None when it still runs after so long."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def run_trial(
    start: Callable[[Path], ForkedTrial | SeparateTrial],
    command: Sequence[str],
    folder: Path,
    timeout_s: float | None,
    watch: Watch = lambda: None,
) -> Outcome:
    """Run a trial to its end; its output goes to ``output.log`` in ``folder``.

    Args:
        start: Starts it, with the log that it is to write.
        command: Its command line, for the log.
        folder: The run folder that it writes.
        timeout_s: It is killed after so long, None for no limit.
        watch: Asked now and then; a text ends the trial as pruned, with this reason.

    Returns:
        How it ended, without its values (see `read_outcome`); only an interruption raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG_NAME
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"$ {shlex.join(command)}\n")
    started = time.monotonic()
    trial = start(log)
    try:
        while (code := trial.wait(POLL_S)) is None:
            seconds = time.monotonic() - started
            if timeout_s is not None and seconds > timeout_s:
                reason = f"took longer than hydra.sweeper.trial_timeout_s={timeout_s:g}"
                return Outcome(reason=reason, seconds=seconds)
            if pruned := watch():
                return Outcome(pruned=pruned, seconds=seconds)
    finally:
        stop(trial)
    seconds = time.monotonic() - started
    if pruned := watch():
        return Outcome(pruned=pruned, seconds=seconds)
    return Outcome(reason=None if code == 0 else _why(code, log), seconds=seconds)


def finished_outcome(outcome: Outcome, folder: Path, objectives: Sequence[str]) -> Outcome:
    """Add the values of a run that ended well."""
    if outcome.reason is not None or outcome.pruned is not None:
        return outcome
    return read_outcome(folder, objectives, outcome.seconds)


def stop(trial: ForkedTrial | SeparateTrial) -> None:
    """End a trial and its group: ask, wait, kill. Harmless when it has ended."""
    if _signal_group(trial.pid, signal.SIGTERM) and trial.wait(GRACE_S) is None:
        _signal_group(trial.pid, signal.SIGKILL)
        trial.wait(GRACE_S)
    _signal_group(trial.pid, signal.SIGKILL)


def _signal_group(pid: int, signum: int) -> bool:
    try:
        os.killpg(pid, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _why(code: int, log: Path) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    said = [line for line in lines if line.startswith(ERROR_PREFIX)]
    last = said[-1].removeprefix(ERROR_PREFIX) if said else f"see {log.name}"
    return f"exit code {code}: {last}"
