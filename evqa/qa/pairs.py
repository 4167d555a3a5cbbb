"""All the steps from chunks to the pairs of a dataset, with the ledger and the certificate.

Pairs stream: shipped ones, then what the generator makes; validated, judged, held against the
benchmark, and counted against the quotas. None of the steps keeps more than a key of each pair.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evqa.config import PrepareConfig
from evqa.config.data import DataKind, PairGenerator, QAConfig
from evqa.ledger import Ledger
from evqa.qa.grounded import Grounded, drop_pair
from evqa.qa.imported import load_imported
from evqa.qa.leaks.contamination import (
    HAND_MADE,
    BenchmarkIndex,
    Overlap,
    certificate,
    is_allowed,
    refuse_hand_made,
)
from evqa.qa.offline.extractive import generate_extractive
from evqa.qa.passages import Passages
from evqa.qa.shipped import load_shipped
from evqa.qa.validate import Reason, check_pairs
from evqa.records import QAPair, Question


class PairStages:
    """Makes the pairs of one dataset.

    Args:
        config: Of the job.
        questions: The benchmark.
        folder: Holds ``documents.jsonl`` and ``chunks.jsonl``.
        ledger: Stages ``generate``, ``validate``, ``judge``, ``contamination`` and ``quota``.
    """

    def __init__(
        self, config: PrepareConfig, questions: Sequence[Question], folder: Path, ledger: Ledger
    ) -> None:
        self._config = config
        self._questions = questions
        self._ledger = ledger
        self._passages = Passages(folder)
        self._index = BenchmarkIndex(questions, config.qa.overlap_likeness)
        self._cache = Path(config.paths.outputs_dir) / "cache" / "llm"
        self._dropped: list[dict[str, Any]] = []
        self._leaks: list[Overlap] = []
        self._num_kept = 0

    def pairs(self, left_out: set[str]) -> Iterator[QAPair]:
        """Yield the pairs that are kept, in order.

        Args:
            left_out: Sources of dropped duplicates: shipped pairs about them are passed over.

        Raises:
            GateError: when the budget is spent, or a hand-made pair leaks.
            OutsideError: when an API or the hub fails.
        """
        valid = self._validated(self._candidates(left_out))
        if self._config.qa.judge:
            from evqa.qa.judge import judged

            valid = judged(valid, self._config.qa, self._cache, self._ledger)
        quota = Quota(self._config.qa, self._ledger)
        for pair, _ in self._without_benchmark(valid):
            if quota.has_room(pair):
                self._num_kept += 1
                yield pair
        policy = self._config.benchmark.allow_leaks
        refuse_hand_made(overlap for overlap in self._leaks if not is_allowed(overlap, policy))

    def certificate(self, closest: list[dict[str, Any]]) -> dict[str, Any]:
        """Return ``contamination.json``, once all pairs were taken."""
        return certificate(
            num_questions=len(self._questions),
            num_pairs=self._num_kept,
            dropped=self._dropped,
            leaks=[overlap.to_dict() for overlap in self._leaks],
            documents=closest,
            least_likeness=self._config.qa.overlap_likeness,
        )

    def _candidates(self, left_out: set[str]) -> Iterator[Grounded]:
        config = self._config
        if config.data.kind is not DataKind.corpus:
            yield from ((pair, None) for pair in load_imported(config.data, config.documents))
            return
        if config.data.pairs_file:
            path = Path(config.data.pairs_file)
            yield from load_shipped(path, self._passages, left_out)
        if config.qa.generator is PairGenerator.together:
            from evqa.qa.generate import generate_together

            yield from generate_together(self._passages, config.qa, self._cache, self._ledger)
        else:
            yield from generate_extractive(self._passages, config.qa)

    def _validated(self, pairs: Iterable[Grounded]) -> Iterator[Grounded]:
        """Yield the pairs that pass every check; the others are dropped with a reason."""
        for pair, chunk, found in check_pairs(pairs, self._config.documents.languages):
            self._ledger.enter("validate")
            if found is None:
                self._ledger.keep("validate")
                yield pair, chunk
            else:
                drop_pair(self._ledger, "validate", pair, chunk, found)

    def _without_benchmark(self, pairs: Iterable[Grounded]) -> Iterator[Grounded]:
        """Yield the pairs that do not say what the benchmark says, and hand-made leaks."""
        for pair, chunk in pairs:
            self._ledger.enter("contamination")
            overlap = self._index.overlap(pair)
            if overlap is not None and pair.generator not in HAND_MADE:
                self._dropped.append(overlap.to_dict())
                drop_pair(self._ledger, "contamination", pair, chunk, _reason(overlap))
                continue
            if overlap is not None:
                self._leaks.append(overlap)
            self._ledger.keep("contamination")
            yield pair, chunk


class Quota:
    """Counts generated pairs against ``qa.category_quota`` and ``qa.difficulty_quota``.

    Args:
        config: A category or difficulty without a number in it has no limit.
        ledger: Stage ``quota``, used only when there is a limit.
    """

    def __init__(self, config: QAConfig, ledger: Ledger) -> None:
        self._limits = {**config.category_quota, **config.difficulty_quota}
        self._counts: Counter[str] = Counter()
        self._ledger = ledger

    def has_room(self, pair: QAPair) -> bool:
        """Count a pair in, or drop it with the reason ``quota_full``; hand-made ones go in."""
        if not self._limits:
            return True
        self._ledger.enter("quota")
        names = (pair.category, pair.difficulty)
        full = [n for n in names if n in self._limits and self._counts[n] >= self._limits[n]]
        if full and pair.generator not in HAND_MADE:
            found = ("quota_full", f"{full[0]} has its {self._limits[full[0]]}")
            drop_pair(self._ledger, "quota", pair, None, found)
            return False
        self._counts.update(names)
        self._ledger.keep("quota")
        return True


def _reason(overlap: Overlap) -> Reason:
    return "benchmark_overlap", f"{overlap.kind} {overlap.question.id} ({overlap.similarity:.2f})"
