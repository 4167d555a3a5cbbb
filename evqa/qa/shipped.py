"""Hand-written pairs: several wordings of a question, one answer, and the quote that proves it.

One JSON object a line: ``{"source": …, "category": …, "difficulty": …, "questions": [w1, w2, …],
"answer": …, "quote": …}``. The quote is looked up in the document, white space aside.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evqa.errors import GateError, UserError
from evqa.qa.candidate import DIFFICULTIES, Candidate, Passage, to_pair
from evqa.records import QAPair

FIELDS = ("source", "category", "difficulty", "questions", "answer", "quote")


def load_shipped(
    path: Path, passages: list[Passage], duplicates: set[str], held_out: set[str]
) -> list[QAPair]:
    """Return one pair for each wording of the file.

    Args:
        path: The JSONL file.
        passages: The chunks that a quote may stand in.
        duplicates: Sources that another document stands for: their pairs are passed over.
        held_out: Sources that must not be trained on.

    Raises:
        GateError: naming file and line, when a pair is about a held-out document.
        UserError: naming file and line, when a line is no such object, its source is not among
            the documents, or its quote is not in that document.
    """
    by_source: dict[str, list[Passage]] = {}
    for passage in passages:
        by_source.setdefault(passage.document.source, []).append(passage)
    pairs: list[QAPair] = []
    for number, row in _rows(path):
        if row["source"] in held_out:
            raise GateError(
                f"{path}:{number}: {row['source']} is held out by the benchmark; "
                "no pair about it may be trained on: remove the line"
            )
        if row["source"] not in duplicates:
            pairs += _pairs_of(f"{path}:{number}", number, row, by_source)
    return pairs


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise UserError(f"data.pairs_file={path}: no such file")
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, _checked(f"{path}:{number}", line)


def _checked(where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg})") from None
    missing = [name for name in FIELDS if not isinstance(row, dict) or not row.get(name)]
    if missing:
        raise UserError(f"{where}: field {missing[0]!r} is missing or empty")
    questions = row["questions"]
    if not isinstance(questions, list) or not all(isinstance(q, str) and q for q in questions):
        raise UserError(f"{where}: 'questions' must be a list of texts")
    if row["difficulty"] not in DIFFICULTIES:
        allowed = ", ".join(DIFFICULTIES)
        raise UserError(f"{where}: difficulty {row['difficulty']!r}; allowed: {allowed}")
    return dict(row)


def _pairs_of(
    where: str, number: int, row: dict[str, Any], by_source: dict[str, list[Passage]]
) -> list[QAPair]:
    passages = by_source.get(row["source"])
    if passages is None:
        raise UserError(f"{where}: source {row['source']!r} is not among the documents")
    passage, start, end = _locate(where, row["quote"], passages)
    candidates = [
        Candidate(
            question=question,
            answer=row["answer"],
            start=start,
            end=end,
            template="shipped",
            difficulty=row["difficulty"],
            provenance={"line": number, "wording": wording},
        )
        for wording, question in enumerate(row["questions"], start=1)
    ]
    return [
        to_pair(passage, candidate, category=row["category"], generator="shipped")
        for candidate in candidates
    ]


def _locate(where: str, quote: str, passages: list[Passage]) -> tuple[Passage, int, int]:
    for passage in passages:
        if span := find_quote(quote, passage.chunk.text):
            return passage, *span
    source = passages[0].document.source
    raise UserError(f"{where}: the quote is not in {source}: {quote[:80]!r}")


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Return where a quote stands in a text, white space and the marks of tables aside."""
    words = re.findall(r"[^\s|]+", quote)
    pattern = r"[\s|]+".join(re.escape(word) for word in words)
    match = re.search(pattern, text) if words else None
    return match.span() if match else None
