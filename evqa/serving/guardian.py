"""Runs a command and takes its whole process group down when the parent is gone.

Started as a script with nothing but the standard library: ``python guardian.py COMMAND…`` with a
pipe from the parent on stdin. The kernel closes the pipe however the parent dies, SIGKILL
included; an engine's own children, which a parent-death signal would miss, are in the group.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1  # man 2 prctl


def _die_with_guardian() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_group_at_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Run ``command`` and return its exit status; SIGTERM and SIGINT are passed on to it."""
    child = subprocess.Popen(  # noqa: S603  the command comes from the user's own config
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_guardian,  # noqa: PLW1509  no thread runs yet
    )
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, _frame: child.send_signal(number))
    threading.Thread(target=_kill_group_at_end_of_input, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
