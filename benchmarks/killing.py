"""Starting a command, and killing it."""

import signal
import subprocess

from evqa.config import project_dir


def killed(words: list[str], after_s: float) -> bool:
    """Run a command and kill it after a while; return whether it was still running."""
    process = subprocess.Popen(  # noqa: S603
        words, cwd=project_dir(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False
