"""Import pairs that exist already: JSON Lines or a Hugging Face dataset.

A row holds ``messages`` (or ``conversations``) with a user and an assistant turn,
``prompt``/``completion``, ``instruction``/``output``, or ``question``/``answer``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evqa.config.data import DataConfig, DataKind, DocumentsConfig
from evqa.errors import OutsideError, UserError
from evqa.files import sha256_bytes
from evqa.qa.normal import normalised
from evqa.records import QAPair, Split

COLUMNS = (("question", "answer"), ("prompt", "completion"), ("instruction", "output"))
SHAPES = "messages, prompt/completion, instruction/output or question/answer"
Row = Mapping[str, Any]


def load_imported(config: DataConfig, fractions: DocumentsConfig) -> Iterator[QAPair]:
    """Yield the pairs of ``data.path``.

    Raises:
        UserError: naming file and line when a row has none of the known shapes.
        OutsideError: when the hub cannot be reached.
    """
    path = str(config.path)
    rows = _hub_rows(config) if config.kind is DataKind.hub else _jsonl_rows(Path(path))
    for where, line, row in rows:
        yield _pair(where, line, row, fractions)


def _jsonl_rows(path: Path) -> Iterator[tuple[str, int, Row]]:
    if not path.is_file():
        raise UserError(f"data.path={path}: no such file; give a JSON Lines file of pairs")
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}:{number}: expected an object with {SHAPES}")
            yield f"{path}:{number}", number, row


def _hub_rows(config: DataConfig) -> Iterator[tuple[str, int, Row]]:
    import datasets

    name = str(config.path)
    try:
        found = datasets.load_dataset(name, split=config.hub_split)
    except (OSError, ConnectionError) as error:
        line = str(error).splitlines()[0]
        raise OutsideError(f"data.path={name}: the hub did not give it: {line}") from None
    except ValueError as error:
        raise UserError(f"data.path={name}: {str(error).splitlines()[0]}") from None
    for number, row in enumerate(found, start=1):
        yield f"{name}[{config.hub_split}]:{number}", number, row


def question_and_answer(row: Row) -> tuple[str, str] | None:
    """Return the question and the answer of a row, null when it has none of the known shapes."""
    turns = row.get("messages") or row.get("conversations")
    if isinstance(turns, list):
        return _from_turns(turns)
    for question, answer in COLUMNS:
        if isinstance(row.get(question), str) and isinstance(row.get(answer), str):
            return row[question], row[answer]
    return None


def _from_turns(turns: Iterable[Any]) -> tuple[str, str] | None:
    """Return the first user turn that an assistant turn follows, with that turn."""
    question = None
    for turn in turns:
        if not isinstance(turn, Mapping):
            return None
        role = turn.get("role") or turn.get("from")
        content = turn.get("content") if "content" in turn else turn.get("value")
        if not isinstance(content, str):
            return None
        if role in ("user", "human"):
            question = content
        elif role in ("assistant", "gpt") and question is not None:
            return question, content
    return None


def _pair(where: str, line: int, row: Row, fractions: DocumentsConfig) -> QAPair:
    found = question_and_answer(row)
    if found is None:
        keys = ", ".join(map(str, row)) or "nothing"
        raise UserError(f"{where}: expected {SHAPES}, but the row has {keys}")
    question, answer = (" ".join(text.split()) for text in found)
    return QAPair(
        id=QAPair.make_id("imported", question, answer),
        question=question,
        answer=answer,
        quote=None,
        quote_start=None,
        quote_end=None,
        chunk_id=None,
        document_id=None,
        category=str(row.get("category") or "general"),
        difficulty=str(row.get("difficulty") or "medium"),
        split=draw_split(question, fractions).value,
        generator="imported",
        provenance={"line": line, "quote": "none: imported"},
    )


def draw_split(question: str, fractions: DocumentsConfig) -> Split:
    """Return the split of an imported pair, drawn by the hash of its question.

    Wordings that normalise to the same question are in the same split.
    """
    digest = sha256_bytes(normalised(question).encode())
    drawn = int(digest[:8], 16) / 16**8
    if drawn < fractions.validation_fraction:
        return Split.validation
    if drawn < fractions.validation_fraction + fractions.test_fraction:
        return Split.test
    return Split.train
