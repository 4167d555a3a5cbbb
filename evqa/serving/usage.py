"""Request records: one JSON line an answered request, for accounts and for tracing answers.

A line is appended by one ``write`` on a file opened with O_APPEND, so that neither a kill of this
process nor another writer can leave half a line in the middle. Hashes are kept, not texts, unless
``server.record_text`` asks for them.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evqa.files import sha256_bytes, sha256_json
from evqa.records import Record


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


class RequestLog:
    """Appends request records to ``<folder>/<day>.jsonl``.

    Args:
        folder: ``outputs/serving/requests``.
        record_text: Keep prompts and answers too.
    """

    def __init__(self, folder: Path, *, record_text: bool = False) -> None:
        self._folder = folder
        self.record_text = record_text
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, record: RequestRecord) -> None:
        """Write one line.

        Raises:
            OSError: when the disk is full or gone.
        """
        row = record.to_dict()
        if not self.record_text:
            del row["prompt"], row["answer"]
        line = json.dumps(row, ensure_ascii=False) + "\n"
        path = self._folder / f"{record.time[:10]}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def hash_prompt(prompt: Any) -> str:
    """Return the SHA-256 of messages, or of a prompt, as canonical JSON."""
    return sha256_json(prompt)


def hash_answer(text: str | None) -> str | None:
    """Return the SHA-256 of an answer's text; null for none."""
    return None if text is None else sha256_bytes(text.encode())


def utc_now() -> str:
    """Return the time, ISO 8601 with milliseconds, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
