"""The one tree of errors; each class knows the exit code its job ends with.

::

    EvqaError                 1  a bug, unless a subclass says otherwise
    ├── UserError             2  the user's input is wrong
    │   └── ConfigError       2  … in the configuration: names the full key
    ├── MemoryExhaustedError  3  the device or the host ran out of memory
    ├── GateError             4  a gate said no (plan, parity, contamination, verdict, ledger, $)
    ├── OutsideError          5  network, API, engine, disk, port: run it again
    │   └── DiskFullError     5
    └── InterruptedRunError   130 or 143: stopped by a signal; says how to resume

A message is one line: what, where, what is allowed, what to do.
"""

import errno
import signal


class EvqaError(Exception):
    """Root of the tree. ``exit_code`` is what the process ends with."""

    exit_code = 1


class UserError(EvqaError):
    """Something the user gave is wrong: a file, a folder, a value."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration key is unknown, mistyped, out of range or in conflict."""


class MemoryExhaustedError(EvqaError):
    """The device or the host ran out of memory."""

    exit_code = 3


class GateError(EvqaError):
    """A check that guards what comes next said no."""

    exit_code = 4


class OutsideError(EvqaError):
    """Something outside evqa failed; the same command may succeed later."""

    exit_code = 5


class DiskFullError(OutsideError):
    """No space left, or the quota is used up, where evqa writes."""


class InterruptedRunError(EvqaError):
    """The run was stopped by a signal and can be resumed.

    Args:
        message: One line that says how to go on.
        signum: The signal received; the exit code is 128 plus its number.
    """

    def __init__(self, message: str, signum: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


# How libraries that write by themselves say it: safetensors, and torch's zip writer.
DISK_FULL_WORDS = ("No space left on device", "PytorchStreamWriter failed", "unexpected pos")


def as_disk_full(error: BaseException) -> DiskFullError | None:
    """Return a DiskFullError when that is what a library's error means, else None."""
    seen: BaseException | None = error
    while seen is not None:
        full = isinstance(seen, OSError) and seen.errno in DISK_FULL_ERRNOS
        if full or any(words in str(seen) for words in DISK_FULL_WORDS):
            return DiskFullError(
                "disk full while writing the outputs: free some space and run it again"
            )
        seen = seen.__cause__ or seen.__context__
    return None


def from_os_error(error: OSError) -> EvqaError:
    """Translate an ``OSError`` that reached the top into the tree.

    Returns:
        DiskFullError for a full disk, UserError for missing files and permissions,
        OutsideError for everything else (network, broken pipes, devices).
    """
    where = error.filename or "the output folder"
    if error.errno in DISK_FULL_ERRNOS:
        return DiskFullError(f"disk full while writing {where}: free some space and run it again")
    if isinstance(
        error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError
    ):
        return UserError(f"{where}: {error.strerror}")
    return OutsideError(f"{where}: {error.strerror or error}")
