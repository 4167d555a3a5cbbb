"""Finding a request record, and proving that it and the answer's text are untouched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evqa.errors import UserError
from evqa.files import sha256_bytes, sha256_json
from evqa.lineage.chain import Chain
from evqa.records import SEAL


def find_request(chain: Chain, folder: Path, request_id: str) -> dict[str, Any] | None:
    """Return the record of a request and add its link; null when the record is damaged.

    Raises:
        UserError: no record has this id, and all could be read.
    """
    damaged = []
    for path, number, line in _lines(folder):
        row = _parse(line)
        if row is None or _broken_seal(row):
            damaged.append(f"{path}:{number}")
            if row is None or row.get("id") != request_id:
                continue
        if row.get("id") == request_id:
            return _linked(chain, row, f"{path}:{number}")
    if damaged:
        chain.add("request", request_id, f"not found, and {damaged[0]} has changed")
        return None
    raise UserError(
        f"{request_id}: no such request in {folder}; the id is the x-request-id of the reply"
    )


def _lines(folder: Path) -> Iterator[tuple[Path, int, bytes]]:
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if line.strip():
                yield path, number, line


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _broken_seal(row: dict[str, Any]) -> bool:
    sealed = {key: value for key, value in row.items() if key != SEAL}
    return row.get(SEAL) != sha256_json(sealed)


def _linked(chain: Chain, row: dict[str, Any], place: str) -> dict[str, Any]:
    problem = f"{place}: the record has changed" if _broken_seal(row) else None
    chain.add("request", f"{row['id']} at {row.get('time')}", problem)
    return row


def check_answer(chain: Chain, record: dict[str, Any], given: str | None) -> str | None:
    """Return the answer's text, recorded or given, checked against the recorded hash.

    Null when there is neither, or the text is not the one that was served.
    """
    text = record.get("answer") if given is None else given
    if text is None:
        chain.add(
            "answer",
            "not recorded",
            note="give the text with --answer FILE (or - for standard input) to go further than "
            "the run; server.record_text=true records it",
        )
        return None
    recorded = record.get("answer_sha256")
    for candidate in (text, text.removesuffix("\n")):  # an editor or echo ends files with one
        if sha256_bytes(candidate.encode()) == recorded:
            chain.add("answer", f"{len(candidate)} characters, sha256 {recorded[:12]}")
            return str(candidate)
    chain.add("answer", "text", "it is not the answer that was served (sha256 differs)")
    return None


def question_of(record: dict[str, Any]) -> str:
    """Return the user's last message, where the text was recorded; else nothing."""
    prompt = record.get("prompt")
    if isinstance(prompt, str):
        return prompt
    messages = [message for message in prompt or [] if isinstance(message, dict)]
    asked = [message.get("content") for message in messages if message.get("role") == "user"]
    return str(asked[-1]) if asked else ""
