"""One trial, one process: whatever happens in it, the sweep goes on.

The child leads its own process group, so that Ctrl-C reaches only the sweep, and the kernel kills
it when the sweep dies (``man 2 prctl``, PR_SET_PDEATHSIG).
"""

import ctypes
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evqa.sweep.outcome import Outcome, read_outcome

PR_SET_PDEATHSIG = 1
GRACE_S = 10.0
LOG_NAME = "output.log"
LOG_TAIL_BYTES = 1 << 16
ERROR_PREFIX = "error: "


def run_trial(
    command: Sequence[str], folder: Path, objective: str, timeout_s: float | None
) -> Outcome:
    """Run a trial's command to its end; its output goes to ``output.log`` in ``folder``.

    Args:
        command: The whole command line.
        folder: The run folder that the command writes.
        objective: Which figure of the finished run counts.
        timeout_s: The process is killed after so long, None for no limit.

    Returns:
        The value, or the reason of the failure; only an interruption of the sweep raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (folder / LOG_NAME).open("ab") as log:
        log.write(f"$ {shlex.join(command)}\n".encode())
        log.flush()
        process = subprocess.Popen(  # noqa: S603  our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_when_parent_dies(),  # noqa: PLW1509  the sweep has no threads
        )
    try:
        code = process.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        reason = f"took longer than hydra.sweeper.trial_timeout_s={timeout_s:g}"
        return Outcome(reason=reason, seconds=time.monotonic() - started)
    finally:
        stop(process)
    seconds = time.monotonic() - started
    if code == 0:
        return read_outcome(folder, objective, seconds)
    return Outcome(reason=_why(code, folder / LOG_NAME), seconds=seconds)


def die_when_parent_dies() -> Callable[[], None]:
    """Return what a child runs first, so that the kernel kills it when its parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return prepare


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its group: ask, wait, kill. Harmless when it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _why(code: int, log: Path) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    said = [line for line in lines if line.startswith(ERROR_PREFIX)]
    last = said[-1].removeprefix(ERROR_PREFIX) if said else f"see {log.name}"
    return f"exit code {code}: {last}"
