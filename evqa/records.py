"""The records that stages hand each other in JSON Lines files, and the recipes of their ids.

An id is a short prefix and the first 16 hexadecimal digits of the SHA-256 over the fields named
in the class's docstring, joined by a zero byte: the same content has the same id on every
machine. Fields keep their names; new ones may be added at the end with a default.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from evqa.errors import UserError
from evqa.files import atomic_writer, sha256_bytes

ID_HEX_DIGITS = 16


class Split(StrEnum):
    """What a document, and everything made from it, may be used for."""

    train = "train"
    validation = "validation"
    test = "test"
    held_out = "held_out"


def stable_id(prefix: str, *parts: object) -> str:
    """Return ``<prefix>_<16 hex digits>`` from the SHA-256 of the parts joined by a zero byte."""
    joined = "\0".join(str(part) for part in parts)
    return f"{prefix}_{sha256_bytes(joined.encode())[:ID_HEX_DIGITS]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A line of a JSONL file. Subclasses are plain data and know their own id recipe."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, fields in the order of declaration."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """Build the record from a parsed line; fields this version does not know are ignored.

        Raises:
            ValueError: naming the missing field, or the field whose type is wrong.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        missing = [
            name
            for name, field in known.items()
            if name not in row
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise ValueError(f"field {missing[0]!r} is missing")
        hints = typing.get_type_hints(cls)
        for name in known.keys() & row.keys():
            if not _fits(row[name], hints[name]):
                raise ValueError(f"field {name!r}: expected {hints[name]}, but got {row[name]!r}")
        return cls(**{name: row[name] for name in known if name in row})


def _fits(value: object, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin in (list, tuple, dict):
        return isinstance(value, list | tuple) if origin is not dict else isinstance(value, dict)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Record):
    """One cleaned web page, PDF or text file.

    Id: ``doc`` over (source, sha256).

    Attributes:
        source: URL, or the file's path relative to its folder.
        kind: html, pdf or text.
        url: Canonical link that the page states, if any.
        published: Date as stated by the source (ISO 8601), if any.
        fetched: When the raw bytes were fetched (ISO 8601), null for local files.
        sha256: Of the raw bytes.
        pages: ``[start, end]`` character offsets of each PDF page in ``text``; empty otherwise.
        cluster_id: Documents that are near-duplicates of each other share it.
        split: train, validation, test or held_out; one cluster is in one split.
    """

    id: str
    source: str
    kind: str
    title: str
    text: str
    language: str | None
    authors: list[str]
    published: str | None
    fetched: str | None
    license: str | None
    sha256: str
    pages: list[list[int]]
    cluster_id: str
    split: str
    url: str | None = None

    @staticmethod
    def make_id(source: str, sha256: str) -> str:
        """Return the id of a document from its source and the hash of its raw bytes."""
        return stable_id("doc", source, sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk(Record):
    """A stretch of a document, ``text == document.text[start:end]``, sized in words.

    Id: ``chunk`` over (document_id, start, end, text).

    Attributes:
        headings: The headings above the chunk, outermost first.
        page: 1-based PDF page on which the chunk starts, null otherwise.
        source: Of the document, as are url, license, authors, published, fetched and sha256: a
            chunk can be attributed without its document at hand.
    """

    id: str
    document_id: str
    start: int
    end: int
    text: str
    headings: list[str]
    page: int | None
    num_words: int
    source: str = ""
    url: str | None = None
    license: str | None = None
    authors: list[str] = dataclasses.field(default_factory=list)
    published: str | None = None
    fetched: str | None = None
    sha256: str = ""

    @staticmethod
    def make_id(document_id: str, start: int, end: int, text: str) -> str:
        """Return the id of a chunk."""
        return stable_id("chunk", document_id, start, end, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class QAPair(Record):
    """A question with its grounded answer.

    Id: ``pair`` over (chunk_id or generator, question, answer).

    Attributes:
        quote: The words of the chunk that support the answer,
            ``chunk.text[quote_start:quote_end]``; null for imported pairs.
        split: The split of the document it was made from.
        generator: Who made it: extractive, shipped, together:<model>, imported.
        provenance: What else is known (template, prompt version, file and line).
    """

    id: str
    question: str
    answer: str
    quote: str | None
    quote_start: int | None
    quote_end: int | None
    chunk_id: str | None
    document_id: str | None
    category: str
    difficulty: str
    split: str
    generator: str
    provenance: dict[str, Any]

    @staticmethod
    def make_id(origin: str, question: str, answer: str) -> str:
        """Return the id of a pair; ``origin`` is its chunk's id, or its generator."""
        return stable_id("pair", origin, question, answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Record):
    """A benchmark question with its reference answer.

    Attributes:
        alternatives: Other full answers that are right.
        key_facts: Numbers with units, or terms, that a right answer must contain.
        split: in_corpus (its fact stands in training documents) or held_out (its document is
            never trained on).
        source: ``Document.source`` of the document that holds the fact.
        as_of: ISO date of a fact that ages, else null.
    """

    SPLITS: ClassVar[tuple[str, ...]] = ("in_corpus", "held_out")

    id: str
    question: str
    answer: str
    alternatives: list[str]
    key_facts: list[str]
    category: str
    difficulty: str
    split: str
    source: str
    as_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction(Record):
    """What one system answered to one question.

    Attributes:
        system: base, tuned, or the name given to the system.
        ttft_ms: Time to the first token, null where it is not measured.
        prompt_sha256: Of the prompt's token ids, as comma-separated decimals.
        error: What went wrong, null when nothing did.
    """

    question_id: str
    system: str
    text: str
    num_prompt_tokens: int
    num_completion_tokens: int
    ttft_ms: float | None
    latency_ms: float | None
    seed: int
    finish_reason: str
    prompt_sha256: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped(Record):
    """Something a stage left out, and why: a line of ``dropped.jsonl``."""

    stage: str
    id: str
    source: str
    reason: str
    detail: str


# Field of a request record that holds the SHA-256 of all its others (canonical JSON).
SEAL = "record_sha256"

R = TypeVar("R", bound=Record)


def write_jsonl(path: Path, records: Iterable[Record]) -> int:
    """Write records to ``path`` atomically, one a line, and return how many."""
    count = 0
    with atomic_writer(path) as stream:
        for record in records:
            stream.write(json.dumps(record.to_dict(), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_jsonl(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a JSONL file; blank lines are passed over.

    Raises:
        UserError: naming file, line and field when a line is not such a record.
    """
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield _parse_line(path, number, line, kind)


def _parse_line(path: Path, number: int, line: str, kind: type[R]) -> R:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise TypeError(f"expected an object, but got {type(row).__name__}")  # noqa: TRY301
        return kind.from_dict(row)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}:{number}: not a {kind.__name__}: {error}") from None
