"""A question-answer pair before it is validated, and what pairs are made from."""

from dataclasses import dataclass, field
from typing import Any

from evqa.records import Chunk, Document, QAPair

DIFFICULTIES = ("easy", "medium", "hard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk with the document that it was cut from."""

    chunk: Chunk
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A question and answer with the stretch of the chunk that supports it.

    Attributes:
        start: Of the quote, in the chunk's text.
        end: Of the quote, exclusive.
        template: Which rule made it.
    """

    question: str
    answer: str
    start: int
    end: int
    template: str
    difficulty: str = "easy"
    provenance: dict[str, Any] = field(default_factory=dict)


def to_pair(passage: Passage, candidate: Candidate, *, category: str, generator: str) -> QAPair:
    """Return the record of a candidate; it inherits the split of its document."""
    chunk = passage.chunk
    return QAPair(
        id=QAPair.make_id(chunk.id, candidate.question, candidate.answer),
        question=candidate.question,
        answer=candidate.answer,
        quote=chunk.text[candidate.start : candidate.end],
        quote_start=candidate.start,
        quote_end=candidate.end,
        chunk_id=chunk.id,
        document_id=passage.document.id,
        category=category,
        difficulty=candidate.difficulty,
        split=passage.document.split,
        generator=generator,
        provenance={"template": candidate.template, **candidate.provenance},
    )
