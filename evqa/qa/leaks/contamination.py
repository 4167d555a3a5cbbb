"""Keep the benchmark out of the training pairs, and certify it.

Every benchmark question is compared with every pair: word for word; by shared word 3-grams; and
by meaning (`evqa.qa.leaks.paraphrase`, `evqa.qa.leaks.likeness`). So is every reference answer of
eight words or more, and every one of a held-out question. Generated pairs too close are dropped; a
hand-written or imported one stops the job, unless ``benchmark.allow_leaks`` says otherwise, and
then the certificate lists it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from evqa.config.evaluation import LeakPolicy
from evqa.errors import GateError
from evqa.qa.leaks.asking import Asking, asking
from evqa.qa.leaks.likeness import Likeness
from evqa.qa.leaks.measures import Measure, measures
from evqa.qa.leaks.paraphrase import conflict
from evqa.qa.leaks.spelled import in_figures
from evqa.qa.normal import content_words, normalised
from evqa.qa.wordings import senses
from evqa.records import QAPair, Question

HAND_MADE = ("shipped", "imported")
MIN_ANSWER_WORDS = 8
NGRAM_WORDS = 3
# Questions that share this of the shorter one's 3-grams are one, when nothing speaks against it.
MIN_SHARED_NGRAMS = 0.75
# The same answer makes two similar questions suspect earlier.
SAME_ANSWER_DISCOUNT = 0.7
# An answer of other figures makes a similar question another, unless they are this much alike.
OTHER_ANSWER = 0.8
MAX_COMPARED = 24  # questions that are looked at closely
MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """A pair that says what a benchmark question says."""

    pair: QAPair
    question: Question
    similarity: float
    kind: str

    def to_dict(self) -> dict[str, Any]:
        """Return the overlap as it stands in ``contamination.json``."""
        return {
            "kind": self.kind,
            "similarity": round(self.similarity, 4),
            "pair_id": self.pair.id,
            "pair": self.pair.question,
            "generator": self.pair.generator,
            "question_id": self.question.id,
            "question": self.question.question,
        }


@dataclass(frozen=True, slots=True)
class _Known:
    """A benchmark question, ready to be compared."""

    question: Question
    asking: Asking
    ngrams: frozenset[tuple[str, ...]]
    key_facts: tuple[str, ...]
    figures: tuple[Measure, ...]


class BenchmarkIndex:
    """Finds the benchmark question that a pair comes too close to.

    Args:
        questions: The benchmark.
        least_likeness: At and above it two questions are one, if nothing speaks against it.
    """

    def __init__(self, questions: Sequence[Question], least_likeness: float) -> None:
        self._least = least_likeness
        self._known = [_known(question) for question in questions]
        self._likeness = Likeness(known.asking for known in self._known)
        self._exact = {normalised(question.question): question for question in questions}
        self._answers = {
            normalised(answer): question
            for question in questions
            for answer in (question.answer, *question.alternatives)
            if _is_compared(answer, question)
        }
        self._index: dict[str, list[int]] = defaultdict(list)
        for number, known in enumerate(self._known):
            for feature in _features(known.asking):
                self._index[feature].append(number)

    def overlap(self, pair: QAPair) -> Overlap | None:
        """Return the overlap of a pair with the benchmark, null when it has none."""
        if question := self._exact.get(normalised(pair.question)):
            return Overlap(pair, question, 1.0, "same_question")
        if question := self._answers.get(normalised(pair.answer)):
            is_held_out = question.split == "held_out"
            kind = "same_held_out_answer" if is_held_out else "same_answer"
            return Overlap(pair, question, 1.0, kind)
        return self._near(pair)

    def _near(self, pair: QAPair) -> Overlap | None:
        asked = asking(pair.question)
        grams = _ngrams(pair.question)
        likely = sorted(
            ((self._likeness.score(asked, self._known[n].asking), n) for n in self._nearby(asked)),
            key=lambda item: (-item[0], item[1]),
        )
        for score, number in likely:
            if score < self._least * SAME_ANSWER_DISCOUNT:
                break
            if kind := self._kind(pair, asked, grams, self._known[number], score):
                return Overlap(pair, self._known[number].question, score, kind)
        return None

    def _nearby(self, asked: Asking) -> list[int]:
        """Return the questions that share the most with one, by the weight of what is shared."""
        shared: dict[int, float] = defaultdict(float)
        for feature in _features(asked):
            known = self._index.get(feature, ())
            for number in known:
                shared[number] += 1 / len(known)
        return nlargest(MAX_COMPARED, shared, key=lambda number: (shared[number], -number))

    def _kind(
        self,
        pair: QAPair,
        asked: Asking,
        grams: frozenset[tuple[str, ...]],
        known: _Known,
        similarity: float,
    ) -> str | None:
        """Return in which way a pair's question is a known one, null when it is not."""
        if conflict(asked, known.asking) or _gives_away(pair.question, known):
            return None
        if similarity >= self._least:
            is_other = similarity < OTHER_ANSWER and _has_other_figures(pair.answer, known)
            return None if is_other else "near_question"
        shared = len(grams & known.ngrams) / max(min(len(grams), len(known.ngrams)), 1)
        if shared >= MIN_SHARED_NGRAMS:
            return "shared_ngrams"
        return "near_question_same_answer" if _has_facts(pair.answer, known.key_facts) else None

    def similarity(self, left: str, right: str) -> float:
        """Return how likely two questions are one: 0 when something speaks against it."""
        first, second = asking(left), asking(right)
        return 0.0 if conflict(first, second) else self._likeness.score(first, second)


def _features(asked: Asking) -> set[str]:
    found = {sense for term in asked.terms for sense in senses(term)}
    return found | {str(measure.value) for measure in asked.measures}


def _known(question: Question) -> _Known:
    return _Known(
        question,
        asking(question.question),
        _ngrams(question.question),
        tuple(f" {normalised(fact)} " for fact in question.key_facts),
        tuple(figure for fact in question.key_facts for figure in _figures(fact)),
    )


def _figures(text: str) -> list[Measure]:
    return measures(in_figures(text))[0]


def _is_compared(answer: str, question: Question) -> bool:
    num_words = len(normalised(answer).split())
    return num_words >= MIN_ANSWER_WORDS or (question.split == "held_out" and num_words > 0)


def _ngrams(text: str) -> frozenset[tuple[str, ...]]:
    found = content_words(text)
    size = min(NGRAM_WORDS, len(found))
    return frozenset(tuple(found[n : n + size]) for n in range(len(found) - size + 1))


def _has_facts(text: str, facts: Sequence[str]) -> bool:
    spelled = f" {normalised(text)} "
    return bool(facts) and all(fact in spelled for fact in facts)


def _has_other_figures(answer: str, known: _Known) -> bool:
    """Tell whether an answer states figures, and none of those that the known one asks for."""
    stated = _figures(answer)
    return bool(stated and known.figures) and not any(
        figure.fits(fact) for figure in stated for fact in known.figures
    )


def _gives_away(question: str, known: _Known) -> bool:
    """Tell whether a question states what the known one asks for: then it asks something else."""
    return _has_facts(question, known.key_facts) and not _has_facts(
        known.question.question, known.key_facts
    )


def is_allowed(overlap: Overlap, policy: LeakPolicy) -> bool:
    """Tell whether the policy lets a hand-made pair say what the benchmark says.

    ``wordings`` lets the facts of in_corpus questions be trained in other words, never a question
    word for word, and nothing of a held-out question.
    """
    if policy is LeakPolicy.wordings:
        return overlap.question.split == "in_corpus" and overlap.kind != "same_question"
    return policy is LeakPolicy.all


def refuse_hand_made(overlaps: Iterable[Overlap]) -> None:
    """Stop when hand-written or imported pairs say what the benchmark says.

    Raises:
        GateError: naming the first such pairs and questions, and how many more there are.
    """
    found = [overlap for overlap in overlaps if overlap.pair.generator in HAND_MADE]
    if not found:
        return
    named = "; ".join(_named(overlap) for overlap in found[:MAX_NAMED])
    more = f"; {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    raise GateError(
        f"contamination: {named}{more}; remove them, or set benchmark.allow_leaks=all "
        "(the report then says so)"
    )


def _named(overlap: Overlap) -> str:
    line = overlap.pair.provenance.get("line")
    where = f"{overlap.pair.generator} pair" + (f" (line {line})" if line else "")
    return (
        f"{where} {overlap.pair.question!r} is benchmark question {overlap.question.id} "
        f"{overlap.question.question!r} ({overlap.kind})"
    )


def certificate(
    *,
    num_questions: int,
    num_pairs: int,
    dropped: Sequence[dict[str, Any]],
    leaks: Sequence[dict[str, Any]],
    documents: list[dict[str, Any]],
    least_likeness: float,
) -> dict[str, Any]:
    """Return ``contamination.json``: what was compared, dropped, and what is left.

    Args:
        num_questions: Of the benchmark.
        num_pairs: That are kept.
        dropped: Generated pairs that came too close.
        leaks: Hand-made pairs that are kept because ``benchmark.allow_leaks`` says so.
        documents: Each held-out document with its closest training document.
        least_likeness: The threshold that decided.
    """
    return {
        "num_questions": num_questions,
        "num_pairs": num_pairs,
        "compared": ["exact", "3-grams", "paraphrases (rules, rarity)", "answers", "documents"],
        "least_likeness": least_likeness,
        "num_dropped": len(dropped),
        "num_remaining": len(leaks),
        "leaks_allowed": bool(leaks),
        "leaks": list(leaks),
        "dropped": list(dropped),
        "held_out_documents": documents,
    }
