"""Build the files of a dataset, one document at a time: nothing here grows with the corpus.

Documents stream through reading, cleaning and filtering (in worker processes) onto disk; then all
of them are deduplicated and split by their sketches; then chunks and pairs stream from file to
file. Every stage is accounted for in the ledger.
"""

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evqa.config import PrepareConfig
from evqa.config.data import DataKind
from evqa.config.evaluation import LeakPolicy
from evqa.errors import GateError, UserError
from evqa.files import write_json
from evqa.ledger import Ledger
from evqa.progress import progress
from evqa.records import Chunk, Document, Dropped, QAPair, Question, Record
from evqa.sources.raw import RawFile

MIN_FILES_FOR_PROGRESS = 100
FILES = ("documents.jsonl", "chunks.jsonl", "pairs.jsonl", "dropped.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a dataset is made from."""

    files: list[RawFile]
    failed: list[Dropped]
    questions: list[Question]


@dataclass(slots=True)
class Counts:
    """How many records there are of each kind, by what matters."""

    documents: int = 0
    chunks: int = 0
    pairs: int = 0
    documents_by_split: Counter[str] = field(default_factory=Counter)
    pairs_by_split: Counter[str] = field(default_factory=Counter)
    pairs_by_generator: Counter[str] = field(default_factory=Counter)
    pairs_by_category: Counter[str] = field(default_factory=Counter)
    pairs_by_difficulty: Counter[str] = field(default_factory=Counter)
    documents_by_license: Counter[str] = field(default_factory=Counter)

    def document(self, document: Document) -> None:
        """Count a document."""
        self.documents += 1
        self.documents_by_split[document.split] += 1
        self.documents_by_license[document.license or "unknown"] += 1

    def pair(self, pair: QAPair) -> None:
        """Count a pair."""
        self.pairs += 1
        self.pairs_by_split[pair.split] += 1
        self.pairs_by_generator[pair.generator] += 1
        self.pairs_by_category[pair.category] += 1
        self.pairs_by_difficulty[pair.difficulty] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as they stand in the manifest."""
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {
            name: dict(sorted(value.items())) if isinstance(value, Counter) else value
            for name, value in values
        }


class Builder:
    """Builds one dataset in a folder that nobody else sees yet.

    Args:
        config: What to make.
        inputs: From what.
        folder: Where; empty.
    """

    def __init__(self, config: PrepareConfig, inputs: Inputs, folder: Path) -> None:
        self._config = config
        self._inputs = inputs
        self._folder = folder
        self._counts = Counts()

    def build(self) -> dict[str, Any]:
        """Write all files but the manifest, and return the counts.

        Raises:
            UserError: when no pair is left.
            GateError: when the benchmark leaks, or the ledger does not balance.
            OutsideError: when an API or the hub fails.
        """
        with (self._folder / "dropped.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
            ledger = Ledger(stream)
            closest, left_out = self._documents(ledger)
            self._pairs(ledger, closest, left_out)
            self._require_pairs(ledger)
            ledger.check()
            ledger.write(self._folder)
        return self._counts.to_dict()

    def _documents(self, ledger: Ledger) -> tuple[list[dict[str, Any]], set[str]]:
        """Write documents and chunks; return how close held-out ones come, and the duplicates."""
        if self._config.data.kind is not DataKind.corpus:
            for name in ("documents.jsonl", "chunks.jsonl"):
                (self._folder / name).touch()
            return [], set()
        from evqa.documents.corpus import Collection

        with Collection(self._folder, self._config.documents, ledger) as collection:
            for result in self._read(ledger):
                collection.add(result)
            collection.settle(self._inputs.questions)
            self._write_documents(collection.documents())
            closest = collection.closest_training_documents()
            left_out = collection.left_out
        self._refuse_leaking_documents(closest)
        return closest, left_out

    def _read(self, ledger: Ledger) -> Iterator[Any]:
        """Yield the documents that can be read, digested; the others are dropped with a reason."""
        from evqa.documents.corpus import digest
        from evqa.sources.read import STAGE, read_all

        inputs, config = self._inputs, self._config
        if inputs.failed:
            _account_fetches(inputs, ledger)
        then = functools.partial(digest, config=config.documents)
        results = read_all(inputs.files, config.sources, then)
        for result in _with_progress(results, len(inputs.files)):
            ledger.enter(STAGE)
            if isinstance(result, Dropped) and result.stage == STAGE:
                ledger.drop(**dataclasses.asdict(result))
            else:
                ledger.keep(STAGE)
                yield result

    def _write_documents(self, documents: Iterable[Document]) -> None:
        from evqa.documents.chunk import chunk_document

        with (
            (self._folder / "documents.jsonl").open("w", encoding="utf-8") as texts,
            (self._folder / "chunks.jsonl").open("w", encoding="utf-8") as pieces,
        ):
            for document in documents:
                self._counts.document(document)
                texts.write(line_of(document))
                chunks: list[Chunk] = chunk_document(document, self._config.documents)
                self._counts.chunks += len(chunks)
                pieces.writelines(map(line_of, chunks))

    def _refuse_leaking_documents(self, closest: Iterable[dict[str, Any]]) -> None:
        least = self._config.documents.near_duplicate_jaccard
        policy = self._config.benchmark.allow_leaks
        for row in closest:
            if max(row["jaccard"], row["contained"]) < least or policy is LeakPolicy.all:
                continue
            raise GateError(
                f"contamination: held-out document {row['source']} is nearly in training document "
                f"{row['closest']} (Jaccard {row['jaccard']}, contained {row['contained']}); hold "
                "out both, or neither, or set benchmark.allow_leaks=all"
            )

    def _pairs(self, ledger: Ledger, closest: list[dict[str, Any]], left_out: set[str]) -> None:
        from evqa.qa.chat import ChatFiles
        from evqa.qa.pairs import PairStages

        config = self._config
        stages = PairStages(config, self._inputs.questions, self._folder, ledger)
        with (
            (self._folder / "pairs.jsonl").open("w", encoding="utf-8") as stream,
            ChatFiles(self._folder / "chat") as chat,
        ):
            for pair in stages.pairs(left_out):
                self._counts.pair(pair)
                stream.write(line_of(pair))
                chat.add(pair)
        write_json(self._folder / "contamination.json", stages.certificate(closest))

    def _require_pairs(self, ledger: Ledger) -> None:
        if self._counts.pairs:
            return
        reasons: Counter[str] = Counter()
        for stage in ledger.stages():
            reasons.update(stage.dropped)
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        raise UserError(
            f"no question-answer pair is left of {self._counts.documents} documents and "
            f"{self._counts.chunks} chunks ({said or 'no drops'}); give more documents or loosen "
            "documents.*"
        )


def line_of(record: Record) -> str:
    """Return the line of a record in a JSONL file."""
    return json.dumps(record.to_dict(), ensure_ascii=False) + "\n"


def _account_fetches(inputs: Inputs, ledger: Ledger) -> None:
    num_fetched = sum(raw.fetched is not None for raw in inputs.files)
    ledger.enter("fetch", num_fetched + len(inputs.failed))
    ledger.keep("fetch", num_fetched)
    for drop in inputs.failed:
        ledger.drop(**dataclasses.asdict(drop))


def _with_progress(results: Iterable[Any], total: int) -> Iterator[Any]:
    if total < MIN_FILES_FOR_PROGRESS:
        yield from results
        return
    with progress("reading", total) as bar:
        for result in results:
            bar.add(1)
            yield result
