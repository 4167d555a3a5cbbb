"""A process that has imported everything a trial needs, and forks one child a trial.

Started by a sweep (`evqa.sweep.trial`), which itself imports nothing heavy: requests are JSON
lines on stdin, answers on stdout. The kernel kills this process when the sweep dies and the
children when this process dies (``man 2 prctl``, PR_SET_PDEATHSIG), so no trial outlives its
sweep. Nothing here touches CUDA: a child that does so starts clean.

Requests: ``{"words": [...], "log": "…"}`` → ``{"pid": …}``; ``{"wait": pid, "timeout_s": …}`` →
``{"code": …}`` with the exit code (negative: a signal), null when it is still running.
"""

import ctypes
import importlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
POLL_S = 0.02


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies; at once if it has died already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(script: str, modules: Sequence[str]) -> None:
    """Import the modules by name, then serve until stdin ends."""
    for name in modules:
        importlib.import_module(name)
    _answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _answer({"code": wait(int(request["wait"]), request["timeout_s"])})
        else:
            _answer({"pid": start(script, request["words"], request["log"])})


def _answer(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def start(script: str, words: list[str], log: str) -> int:
    """Fork a child that runs the script with these arguments; return its process id."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _run(script, words, log, parent)
    return pid


def _run(script: str, words: list[str], log: str, parent: int) -> NoReturn:
    """Be the child: a session of its own, output into its log, then the script as ``__main__``."""
    os.setsid()
    die_with_parent(parent)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    sys.argv = [script, *words]
    code = 1
    try:
        runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  a child must end here, whatever was raised
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, timeout_s: float) -> int | None:
    """Return how a child ended, None when it still runs after so long."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # was waited for before
            return 0
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(POLL_S)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    main(sys.argv[2], sys.argv[3:])
