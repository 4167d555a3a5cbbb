"""The log: JSON lines, written away from the event loop so that a stuck reader stops nobody.

Lines hold ids, counts and times; never a prompt, an answer or a key.
"""

import contextlib
import logging
import os
import threading
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import orjson

from evqa.serving.usage import utc_now

FLUSH_EVERY_S = 0.25
MAX_LINES = 20_000
KEEP_BYTES = 64 << 20
FAREWELL_S = 2.0


class JsonLog:
    """Takes rows and writes them from a thread of its own, four times a second.

    When more than ``MAX_LINES`` wait, the oldest are dropped, and their number is told.

    Args:
        path: Appended to; when it has grown large it becomes ``<path>.1`` and a new one is
            begun. Null: standard output.
    """

    def __init__(self, path: Path | None) -> None:
        self._rows: deque[dict[str, Any]] = deque(maxlen=MAX_LINES)
        self._num_dropped = 0
        self._stopping = threading.Event()
        self._path = path
        self._descriptor = _open(path)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, row: dict[str, Any]) -> None:
        """Take a row; never waits."""
        if len(self._rows) == MAX_LINES:
            self._num_dropped += 1
        self._rows.append(row)

    def close(self) -> None:
        """Write what is left; gives up after two seconds when nobody reads."""
        self._stopping.set()
        self._thread.join(FAREWELL_S)

    def _run(self) -> None:
        while not self._stopping.wait(FLUSH_EVERY_S):
            self._flush()
        self._flush()
        os.close(self._descriptor)

    def _flush(self) -> None:
        lines = []
        if self._num_dropped:
            dropped, self._num_dropped = self._num_dropped, 0
            lines.append({"time": utc_now(), "level": "warning", "event": f"{dropped} lines lost"})
        with contextlib.suppress(IndexError):
            while True:
                lines.append(self._rows.popleft())
        data = b"".join(orjson.dumps(row, default=str) + b"\n" for row in lines)
        with contextlib.suppress(OSError):  # a full disk, a closed pipe: there is nowhere to say
            while data:
                data = data[os.write(self._descriptor, data) :]
            if self._path is not None and os.fstat(self._descriptor).st_size > KEEP_BYTES:
                os.close(self._descriptor)
                self._descriptor = _open(self._path)


class JsonLogHandler(logging.Handler):
    """Sends what Python's logging is told to a `JsonLog`."""

    def __init__(self, target: JsonLog) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a traceback goes into a field."""
        row = {
            "time": utc_now(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            row["exception"] = "".join(traceback.format_exception(*record.exc_info))
        self._target.write(row)


def _open(path: Path | None) -> int:
    if path is None:
        return os.dup(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size > KEEP_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
