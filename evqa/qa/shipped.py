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
from evqa.qa.passages import Passages
from evqa.records import Chunk, QAPair, Split

FIELDS = ("source", "category", "difficulty", "questions", "answer", "quote")


def load_shipped(
    path: Path, passages: Passages, left_out: set[str]
) -> Iterator[tuple[QAPair, Chunk]]:
    """Yield one pair for each wording of the file, with the chunk that its quote stands in.

    Args:
        path: The JSONL file.
        passages: The chunks that a quote may stand in.
        left_out: Sources that another document stands for: their pairs are passed over.

    Raises:
        GateError: naming file and line, when a pair is about a held-out document.
        UserError: naming file and line, when a line is no such object, its source is not among
            the documents, or its quote is not in that document.
    """
    rows = list(_rows(path))
    by_source: dict[str, list[Passage]] = {}
    for passage in passages.of_sources({row["source"] for _, row in rows}):
        by_source.setdefault(passage.document.source, []).append(passage)
    for number, row in rows:
        found = by_source.get(row["source"])
        if found and found[0].document.split == Split.held_out:
            raise GateError(
                f"{path}:{number}: {row['source']} is held out by the benchmark; "
                "no pair about it may be trained on: remove the line"
            )
        if row["source"] not in left_out:
            yield from _pairs_of(f"{path}:{number}", number, row, found)


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
    where: str, number: int, row: dict[str, Any], passages: list[Passage] | None
) -> Iterator[tuple[QAPair, Chunk]]:
    if passages is None:
        raise UserError(f"{where}: source {row['source']!r} is not among the documents")
    passage, start, end = _locate(where, row["quote"], passages)
    for wording, question in enumerate(row["questions"], start=1):
        candidate = Candidate(
            question=question,
            answer=row["answer"],
            start=start,
            end=end,
            template="shipped",
            difficulty=row["difficulty"],
            provenance={"line": number, "wording": wording},
        )
        pair = to_pair(passage, candidate, category=row["category"], generator="shipped")
        yield pair, passage.chunk


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
