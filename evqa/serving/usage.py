"""Request records and the usage journal: a JSON line each for a request that reached an engine.

Records are for tracing answers and may be thrown away after a while; the journal is for accounts
and holds nothing but counts. Hashes are kept, not texts, unless ``server.record_text`` asks.
"""

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from evqa.files import sha256_bytes, sha256_json
from evqa.records import SEAL, Record

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord(Record):
    """One request that reached the engine.

    Attributes:
        time: When it came in (ISO 8601, UTC).
        version: ``name/version`` of the model, or the folder or engine served instead.
        prompt_sha256: Of the messages, or of the prompt, as canonical JSON.
        answer_sha256: Of the answer's text, or of as much as was sent; null before the first.
        num_completion_tokens: As the engine counts; of a broken stream, its events.
        status: HTTP status; 499 when the client left, 502 and 504 also for broken streams.
        prompt: Null unless texts are recorded.
        answer: Null unless texts are recorded.
    """

    id: str
    time: str
    key_id: str
    version: str
    model: str
    prompt_sha256: str
    answer_sha256: str | None
    num_prompt_tokens: int | None
    num_completion_tokens: int | None
    ttft_ms: float | None
    latency_ms: float
    status: int
    prompt: Any = None
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine(Record):
    """What one request used: a line of the journal.

    Attributes:
        num_prompt_tokens: As the engine counts.
        estimated: The prompt's count is an estimate: the stream ended before the engine told it.
    """

    time: str
    id: str
    key_id: str
    version: str
    route: str
    status: int
    num_prompt_tokens: int
    num_completion_tokens: int
    estimated: bool = False


class LineFile:
    """A file that whole lines are appended to, each by one ``write`` with O_APPEND.

    Neither a kill of this process nor another writer leaves half a line in the middle. Where the
    disk is full in the middle of one, the next begins on a line of its own.
    """

    def __init__(self) -> None:
        self._name = ""
        self._path: Path | None = None
        self._descriptor = -1
        self._looked_at_s = 0.0
        self._broken = False

    def append(self, folder: Path, name: str, row: dict[str, Any]) -> None:
        """Write one line to ``<folder>/<name>.jsonl``; another name than the last closes that.

        Raises:
            OSError: when the disk is full or gone.
        """
        path = self._path
        now_s = time.monotonic()
        if path is None or name != self._name or self._is_removed(now_s):
            self.close()
            path = folder / f"{name}.jsonl"
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
            self._path, self._name = path, name
        line = orjson.dumps(row) + b"\n"
        if self._broken:
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._broken = written < len(line)
        if self._broken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def _is_removed(self, now_s: float) -> bool:
        """Look once a second whether somebody has removed the file."""
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return False
        self._looked_at_s = now_s
        return os.fstat(self._descriptor).st_nlink == 0

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._descriptor)
            self._path = None


class RequestLog:
    """Appends request records to ``<folder>/<day>.jsonl``.

    Args:
        folder: ``outputs/serving/requests``.
        record_text: Keep prompts and answers too.
    """

    def __init__(self, folder: Path, *, record_text: bool = False) -> None:
        self._folder = folder
        self._file = LineFile()
        self.record_text = record_text
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, record: RequestRecord) -> None:
        """Write one line.

        Raises:
            OSError: when the disk is full or gone.
        """
        row = {name: getattr(record, name) for name in RequestRecord.__slots__}
        if not self.record_text:
            del row["prompt"], row["answer"]
        row[SEAL] = sha256_json(row)
        self._file.append(self._folder, record.time[:10], row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class UsageJournal:
    """Appends usage lines to ``<folder>/<month>.jsonl`` and adds them up.

    Args:
        folder: ``outputs/serving/usage``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = LineFile()
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, line: UsageLine) -> None:
        """Write one line.

        Raises:
            OSError: when the disk is full or gone.
        """
        row = {name: getattr(line, name) for name in UsageLine.__slots__}
        self._file.append(self._folder, line.time[:7], row)

    def month_tokens(self, month: str) -> dict[str, int]:
        """Return the tokens that each key (by id) has used in a month, ``YYYY-MM``."""
        used: dict[str, int] = {}
        for line in read_usage(self._folder, month):
            tokens = line.num_prompt_tokens + line.num_completion_tokens
            used[line.key_id] = used.get(line.key_id, 0) + tokens
        return used

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_usage(folder: Path, month: str) -> Iterator[UsageLine]:
    """Yield the lines of a month's journal; a line that a full disk cut is passed over."""
    path = folder / f"{month}.jsonl"
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        for text in stream:
            with contextlib.suppress(ValueError, TypeError):
                yield UsageLine(**json.loads(text))


def usage_months(folder: Path) -> list[str]:
    """Return the months that have a journal, oldest first."""
    return sorted(path.stem for path in folder.glob("????-??.jsonl"))


def hash_prompt(prompt: Any) -> str:
    """Return the SHA-256 of messages, or of a prompt, as canonical JSON.

    The same as `evqa.files.sha256_json`, which spells texts the same way, at a third of its time.
    """
    return sha256_bytes(orjson.dumps(prompt, option=orjson.OPT_SORT_KEYS))


def hash_answer(text: str | None) -> str | None:
    """Return the SHA-256 of an answer's text; null for none."""
    return None if text is None else sha256_bytes(text.encode())


def utc_now() -> str:
    """Return the time, ISO 8601 with milliseconds, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
