"""A hard ceiling on what an API may cost, kept by a journal that survives every crash.

Before a request is sent, the most that it can cost is reserved; after it, what it did cost is
settled together with the answer. Each is one line, appended and fsynced. A reservation without a
settlement (the process died, or the request timed out) stays charged at its maximum, and an
answer in the journal is never bought again.
"""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from evqa.errors import GateError, UserError
from evqa.files import folder_lock

JOURNAL = "journal.jsonl"
MICRO = 1_000_000  # a journal counts whole millionths of a dollar: sums stay exact


def to_micro_usd(usd: float) -> int:
    """Return dollars as millionths, rounded up: the ceiling errs on the safe side."""
    return -int(-usd * MICRO // 1)


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    prompt: float
    completion: float

    def micro_usd(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Return the price of a request in millionths of a dollar, rounded up."""
        # Dollars for a million tokens are millionths of a dollar for one token.
        total = prompt_tokens * self.prompt + completion_tokens * self.completion
        return -int(-total // 1)


class Journal:
    """The reservations, settlements and answers of one cache folder.

    Use as a context: it holds the folder's lock, so that two processes cannot spend one budget.

    Args:
        folder: Holds ``journal.jsonl``.
        ceiling_usd: Never exceeded by the sum of settled costs and open reservations.
    """

    def __init__(self, folder: Path, ceiling_usd: float) -> None:
        self._folder = folder
        self._ceiling = int(ceiling_usd * MICRO)
        self._open: dict[int, int] = {}
        self._settled = 0
        self._reserved = 0
        self._answers: dict[str, tuple[int, int]] = {}  # key → where its line stands
        self._next = 0
        self._stream: IO[bytes] | None = None
        self._lock = folder_lock(folder)

    def __enter__(self) -> Self:
        """Take the lock, read the journal, and cut off a line that a crash left half-written."""
        self._lock.__enter__()
        path = self._folder / JOURNAL
        path.touch()
        whole = self._replay(path)
        self._stream = path.open("r+b", buffering=0)
        self._stream.truncate(whole)
        self._stream.seek(whole)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the journal and give the lock back."""
        if self._stream is not None:
            self._stream.close()
        self._lock.__exit__(kind, error, trace)

    def _replay(self, path: Path) -> int:
        """Read the journal line by line; return where its last whole line ends."""
        start = 0
        with path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._take_in(self._parsed(line), start, len(line))
                start += len(line)
        return start

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            raise UserError(
                f"{self._folder / JOURNAL}: damaged: {line[:60]!r} is no entry; the budget cannot "
                "be kept without it: mend the line, or move the file away to start anew"
            ) from None

    def _take_in(self, entry: dict[str, Any], start: int, length: int) -> None:
        number = entry["number"]
        self._next = max(self._next, number + 1)
        if entry["event"] == "reserve":
            self._open[number] = entry["micro_usd"]
            self._reserved += entry["micro_usd"]
            return
        self._reserved -= self._open.pop(number, 0)
        self._settled += entry["micro_usd"]
        if entry.get("answer") is not None:
            self._answers[entry["key"]] = (start, length)

    @property
    def charged_usd(self) -> float:
        """What was spent, open reservations at their maximum, in US dollars."""
        return (self._settled + self._reserved) / MICRO

    def answer(self, key: str) -> dict[str, Any] | None:
        """Return the answer bought for a request, null when there is none."""
        place = self._answers.get(key)
        if place is None:
            return None
        with (self._folder / JOURNAL).open("rb") as stream:
            stream.seek(place[0])
            return dict(json.loads(stream.read(place[1]))["answer"])

    def reserve(self, key: str, micro_usd: int) -> int:
        """Reserve the most that a request can cost, and return the reservation's number.

        Raises:
            GateError: when the ceiling would be exceeded; nothing is written then.
        """
        charged = self._settled + self._reserved
        if charged + micro_usd > self._ceiling:
            raise GateError(
                f"spending: the next request may cost ${micro_usd / MICRO:.4f}, and "
                f"${charged / MICRO:.4f} of qa.budget_usd={self._ceiling / MICRO:g} are spent or "
                "reserved; what was bought is kept: raise qa.budget_usd and run it again"
            )
        number = self._next
        self._next += 1
        entry = {"event": "reserve", "number": number, "key": key, "micro_usd": micro_usd}
        self._append(entry)
        return number

    def settle(self, number: int, key: str, micro_usd: int, answer: dict[str, Any] | None) -> None:
        """Replace a reservation by its cost, never more than was reserved, with the answer."""
        cost = min(max(micro_usd, 0), self._open[number])
        entry = {"event": "settle", "number": number, "key": key, "micro_usd": cost}
        self._append({**entry, "answer": answer})

    def _append(self, entry: dict[str, Any]) -> None:
        """Write an entry so that it survives everything, then count it.

        A disk that is full leaves part of a line: it is cut off again, so that what comes later
        does not stand behind it.
        """
        assert self._stream is not None, "the journal is not open"
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        start = self._stream.tell()
        # While it is not known whether the line reached the disk, it counts as if it had.
        reserved = entry["micro_usd"] if entry["event"] == "reserve" else 0
        self._reserved += reserved
        try:
            if self._stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), JOURNAL)  # noqa: TRY301
            os.fsync(self._stream.fileno())
        except OSError:
            os.ftruncate(self._stream.fileno(), start)
            self._stream.seek(start)
            self._reserved -= reserved
            raise
        self._reserved -= reserved
        self._take_in(entry, start, len(line))
