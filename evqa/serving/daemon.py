"""The server's process: reads its settings from a pipe, serves, and sets the exit code."""

import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from evqa.errors import EvqaError, InterruptedRunError, from_os_error


def main() -> NoReturn:
    """Serve with the settings on the file descriptor that the first argument names, and exit."""
    signal.signal(signal.SIGTERM, _raise_interrupted)
    sys.exit(_run(int(sys.argv[1])))


def _run(descriptor: int) -> int:
    try:
        from evqa.serving.launch import run
        from evqa.serving.settings import load_settings

        with os.fdopen(descriptor, encoding="utf-8") as stream:
            config, project_dir = load_settings(stream.read())
        run(config, project_dir)
    except EvqaError as error:
        return _say(error)
    except KeyboardInterrupt:
        return _say(InterruptedRunError("interrupted; run the same command again"))
    except OSError as error:
        return _say(from_os_error(error))
    except Exception as error:
        logging.getLogger(__name__).exception("the server ended")
        return _say(EvqaError(f"a bug in evqa, please report it: {type(error).__name__}: {error}"))
    return 0


def _say(error: EvqaError) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
    return error.exit_code


def _raise_interrupted(signum: int, _frame: FrameType | None) -> None:
    raise InterruptedRunError("stopped; run the same command again", signum)
