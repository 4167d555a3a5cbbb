"""Small records that tests of several rooms build on."""

from typing import Any

from evqa.files import sha256_bytes
from evqa.records import Chunk, Document, QAPair, Question


def document(text: str = "Some text.", source: str = "a.html", **fields: Any) -> Document:
    digest = sha256_bytes(text.encode())
    values: dict[str, Any] = {
        "id": Document.make_id(source, digest),
        "source": source,
        "kind": "html",
        "title": "A title",
        "text": text,
        "language": "en",
        "authors": [],
        "published": None,
        "fetched": None,
        "license": None,
        "sha256": digest,
        "pages": [],
        "cluster_id": "cluster_0",
        "split": "train",
        "url": None,
    }
    return Document(**{**values, **fields})


def chunk(text: str, owner: Document | None = None, **fields: Any) -> Chunk:
    owner = owner or document(text)
    values: dict[str, Any] = {
        "id": Chunk.make_id(owner.id, 0, len(text), text),
        "document_id": owner.id,
        "start": 0,
        "end": len(text),
        "text": text,
        "headings": [],
        "page": None,
        "num_words": len(text.split()),
    }
    return Chunk(**{**values, **fields})


def pair(question: str, answer: str, quote: str | None = None, **fields: Any) -> QAPair:
    held = None if quote is None else chunk(quote)
    values: dict[str, Any] = {
        "id": QAPair.make_id("test", question, answer),
        "question": question,
        "answer": answer,
        "quote": quote,
        "quote_start": None if quote is None else 0,
        "quote_end": None if quote is None else len(quote),
        "chunk_id": held.id if held else None,
        "document_id": held.document_id if held else None,
        "category": "general",
        "difficulty": "easy",
        "split": "train",
        "generator": "extractive",
        "provenance": {},
    }
    return QAPair(**{**values, **fields})


def asked(question: str, answer: str = "An answer.", **fields: Any) -> Question:
    values: dict[str, Any] = {
        "id": "q1",
        "question": question,
        "answer": answer,
        "alternatives": [],
        "key_facts": ["x"],
        "category": "general",
        "difficulty": "easy",
        "split": "in_corpus",
        "source": "a.html",
        "as_of": None,
    }
    return Question(**{**values, **fields})
