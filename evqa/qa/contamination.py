"""Keep the benchmark out of the training pairs, and certify it.

Every benchmark question is compared with every training pair's question, word for word and by
the cosine of TF-IDF vectors over words and word pairs. Questions whose numbers differ ask for
different facts, however alike their words are. Pairs that come too close are dropped; a
hand-written or imported pair that is a benchmark question word for word stops the job.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evqa.errors import GateError
from evqa.qa.normal import content_words, normalised
from evqa.qa.quantities import quantities
from evqa.records import QAPair, Question

HAND_MADE = ("shipped", "imported")
MIN_ANSWER_WORDS = 8

Vector = dict[str, float]


@dataclass(frozen=True, slots=True)
class Overlap:
    """A pair that says what a benchmark question says."""

    pair: QAPair
    question: Question
    cosine: float
    kind: str

    def to_dict(self) -> dict[str, Any]:
        """Return the overlap as it stands in ``contamination.json``."""
        return {
            "kind": self.kind,
            "cosine": round(self.cosine, 4),
            "pair_id": self.pair.id,
            "pair": self.pair.question,
            "question_id": self.question.id,
            "question": self.question.question,
        }


class TfIdf:
    """Cosine similarity of texts by their words and word pairs, weighted by rarity.

    Weights are ``(1 + ln tf) · ln((1 + n) / (1 + df)) + 1``, lengths normalised (Salton and
    Buckley 1988). Fitted on all the texts that are compared.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        features = [set(_features(text)) for text in texts]
        self._num_texts = len(features)
        self._num_with = Counter(feature for found in features for feature in found)

    def vector(self, text: str) -> Vector:
        """Return the unit vector of a text."""
        weights = {
            feature: (1 + math.log(count)) * self._rarity(feature)
            for feature, count in Counter(_features(text)).items()
        }
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {feature: weight / length for feature, weight in weights.items()} if length else {}

    def _rarity(self, feature: str) -> float:
        return math.log((1 + self._num_texts) / (1 + self._num_with[feature])) + 1


def _features(text: str) -> list[str]:
    found = content_words(text)
    return found + [f"{a} {b}" for a, b in itertools.pairwise(found)]


def find_overlaps(
    pairs: Sequence[QAPair], questions: Sequence[Question], least_cosine: float
) -> list[Overlap]:
    """Return, for each pair that comes too close, the question it comes closest to.

    Args:
        pairs: All pairs, of any split.
        questions: The benchmark.
        least_cosine: At and above it two questions are one, if their numbers are the same.
    """
    tfidf = TfIdf([*(q.question for q in questions), *(p.question for p in pairs)])
    index = _inverted(tfidf, questions)
    exact = {normalised(question.question): question for question in questions}
    answers = {
        normalised(question.answer): question
        for question in questions
        if len(normalised(question.answer).split()) >= MIN_ANSWER_WORDS
    }
    found = []
    for pair in pairs:
        overlap = _exact(pair, exact, answers) or _near(
            pair, tfidf, index, questions, least_cosine
        )
        if overlap:
            found.append(overlap)
    return found


def _inverted(tfidf: TfIdf, questions: Sequence[Question]) -> dict[str, list[tuple[int, float]]]:
    index: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, question in enumerate(questions):
        for feature, weight in tfidf.vector(question.question).items():
            index[feature].append((number, weight))
    return index


def _exact(
    pair: QAPair, questions: dict[str, Question], answers: dict[str, Question]
) -> Overlap | None:
    if question := questions.get(normalised(pair.question)):
        return Overlap(pair, question, 1.0, "same_question")
    question = answers.get(normalised(pair.answer))
    if question is not None and question.split == "held_out":
        return Overlap(pair, question, 1.0, "same_answer")
    return None


def _near(
    pair: QAPair,
    tfidf: TfIdf,
    index: dict[str, list[tuple[int, float]]],
    questions: Sequence[Question],
    least_cosine: float,
) -> Overlap | None:
    scores: Counter[int] = Counter()
    for feature, weight in tfidf.vector(pair.question).items():
        for number, other in index.get(feature, ()):
            scores[number] += weight * other  # type: ignore[assignment]
    asked = quantities(pair.question)
    for number, cosine in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        if cosine < least_cosine:
            return None
        if quantities(questions[number].question) == asked:
            return Overlap(pair, questions[number], cosine, "near_question")
    return None


def refuse_hand_made(overlaps: Iterable[Overlap]) -> None:
    """Stop when a hand-written or imported pair is a benchmark question, word for word.

    Those that only come close are dropped, as generated ones are.

    Raises:
        GateError: naming the first such pair and question, and how many more there are.
    """
    exact = (overlap for overlap in overlaps if overlap.kind != "near_question")
    found = [overlap for overlap in exact if overlap.pair.generator in HAND_MADE]
    if not found:
        return
    first = found[0]
    line = first.pair.provenance.get("line")
    where = f"{first.pair.generator} pair" + (f" (line {line})" if line else "")
    more = f"; {len(found) - 1} more" if len(found) > 1 else ""
    raise GateError(
        f"contamination: {where} {first.pair.question!r} is benchmark question "
        f"{first.question.id} {first.question.question!r} ({first.kind}){more}; remove it"
    )


def certificate(
    pairs: Sequence[QAPair],
    questions: Sequence[Question],
    dropped: Sequence[Overlap],
    documents: list[dict[str, Any]],
    least_cosine: float,
) -> dict[str, Any]:
    """Return ``contamination.json``: what was compared, dropped, and how close the rest comes.

    Args:
        pairs: Those that are kept.
        questions: The benchmark.
        dropped: The generated pairs that came too close.
        documents: Each held-out document with its closest training document.
        least_cosine: The threshold that decided.
    """
    remaining = find_overlaps(pairs, questions, least_cosine)
    return {
        "num_questions": len(questions),
        "num_pairs": len(pairs),
        "least_cosine": least_cosine,
        "num_dropped": len(dropped),
        "num_remaining": len(remaining),
        "dropped": [overlap.to_dict() for overlap in dropped],
        "held_out_documents": documents,
    }
