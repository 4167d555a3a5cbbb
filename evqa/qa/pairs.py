"""All the steps from chunks to the pairs of a dataset, with the ledger and the certificate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config.data import PairGenerator, QAConfig
from evqa.errors import GateError
from evqa.ledger import Ledger
from evqa.qa.candidate import Passage
from evqa.qa.contamination import Overlap, certificate, find_overlaps, refuse_hand_made
from evqa.qa.extractive import generate_extractive
from evqa.qa.shipped import load_shipped
from evqa.qa.validate import Reason, check_pairs
from evqa.records import Chunk, Document, QAPair, Question, Split


@dataclass(frozen=True, slots=True)
class PairSet:
    """The pairs of a dataset and the certificate that the benchmark is not among them."""

    pairs: list[QAPair]
    certificate: dict[str, Any]


def passages_of(documents: Sequence[Document], chunks: Iterable[Chunk]) -> list[Passage]:
    """Return the chunks that pairs may be made from: held-out documents give none."""
    by_id = {d.id: d for d in documents if d.split != Split.held_out}
    return [
        Passage(chunk=chunk, document=by_id[chunk.document_id])
        for chunk in chunks
        if chunk.document_id in by_id
    ]


def generate_pairs(
    passages: Sequence[Passage], config: QAConfig, cache_dir: Path, ledger: Ledger
) -> list[QAPair]:
    """Return what the configured generator makes of the passages, not yet validated.

    Raises:
        GateError: when the budget is spent.
        OutsideError: when the API fails.
    """
    if config.generator is PairGenerator.together:
        from evqa.qa.generate import generate_together

        return generate_together(passages, config, cache_dir, ledger)
    return list(generate_extractive(passages, config))


def shipped_pairs(
    path: Path, documents: Sequence[Document], passages: Sequence[Passage], left_out: set[str]
) -> list[QAPair]:
    """Return the hand-written pairs.

    Raises:
        GateError: when one of them is about a held-out document.
        UserError: as `load_shipped` says.
    """
    held_out = {d.source for d in documents if d.split == Split.held_out}
    return load_shipped(path, list(passages), left_out, held_out)


def validated(
    pairs: Sequence[QAPair], chunks: Iterable[Chunk], sources: dict[str, str], ledger: Ledger
) -> list[QAPair]:
    """Return the pairs that pass every check; the others are dropped with a reason."""
    kept = []
    for pair, found in check_pairs(pairs, {chunk.id: chunk for chunk in chunks}):
        ledger.enter("validate")
        if found is None:
            ledger.keep("validate")
            kept.append(pair)
        else:
            _drop(ledger, "validate", pair, sources, found)
    return kept


def without_benchmark(
    pairs: Sequence[QAPair],
    questions: Sequence[Question],
    closest: list[dict[str, Any]],
    config: QAConfig,
    ledger: Ledger,
    sources: dict[str, str],
) -> PairSet:
    """Drop generated pairs that ask what the benchmark asks, refuse hand-made ones.

    Args:
        pairs: Those that are valid.
        questions: The benchmark.
        closest: Each held-out document with the training document most like it.
        config: Its ``overlap_cosine`` decides.
        ledger: Stage ``contamination``.
        sources: Source of each document, by id.

    Raises:
        GateError: naming the hand-made pair.
    """
    overlaps = find_overlaps(pairs, questions, config.overlap_cosine)
    refuse_hand_made(overlaps)
    too_close = {overlap.pair.id: overlap for overlap in overlaps}
    ledger.enter("contamination", len(pairs))
    kept = [pair for pair in pairs if pair.id not in too_close]
    ledger.keep("contamination", len(kept))
    for overlap in overlaps:
        _drop(ledger, "contamination", overlap.pair, sources, _reason(overlap))
    found = certificate(kept, questions, overlaps, closest, config.overlap_cosine)
    if found["num_remaining"]:
        raise GateError(f"contamination: {found['num_remaining']} pairs are still the benchmark's")
    return PairSet(kept, found)


def _reason(overlap: Overlap) -> Reason:
    return "benchmark_overlap", f"{overlap.kind} {overlap.question.id} ({overlap.cosine:.2f})"


def _drop(
    ledger: Ledger, stage: str, pair: QAPair, sources: dict[str, str], found: Reason
) -> None:
    reason, detail = found
    source = sources.get(pair.document_id or "", pair.generator)
    text = f"{detail}: {pair.question}"
    ledger.drop(stage, id=pair.id, source=source, reason=reason, detail=text)
