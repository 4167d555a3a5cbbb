"""Scores of answers against references, offline, through the interface of ``evaluate``.

Every score carries a signature: library version, settings, benchmark hash, n. Corpus metrics use
the reference answer only; exact match, token F1 and key facts count the alternatives too.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evqa.evaluation.compare import mean_statistics
from evqa.evaluation.facts import key_fact_recall
from evqa.evaluation.library import evaluate_library
from evqa.records import Question

METRICS = (
    "bleu", "chrf", "chrf_pp", "ter", "rouge_1", "rouge_2", "rouge_l", "rouge_l_sum",
    "exact_match", "token_f1", "key_fact_recall",
)  # fmt: skip
ROUGE_TYPES = {
    "rouge_1": "rouge1",
    "rouge_2": "rouge2",
    "rouge_l": "rougeL",
    "rouge_l_sum": "rougeLsum",
}
LOWER_IS_BETTER = frozenset({"ter"})


def squad_tokens(text: str) -> list[str]:
    """Return lower-case words without punctuation and articles (SQuAD v1.1's normalisation)."""
    no_punctuation = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", no_punctuation).split()


def token_f1(prediction: str, reference: str) -> float:
    """Return SQuAD's token F1 of one answer against one reference, 0 to 1."""
    given, wanted = squad_tokens(prediction), squad_tokens(reference)
    if not given or not wanted:
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def exact_match(prediction: str, reference: str) -> float:
    """Return 1 when both are the same words after SQuAD's normalisation, else 0."""
    return float(squad_tokens(prediction) == squad_tokens(reference))


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one system.

    Attributes:
        corpus: One value a metric, over all questions.
        per_question: The same metrics for each question, for intervals; corpus metrics are
            computed sentence by sentence there.
        statistics: What each metric is a function of, one row a question; rows add up, so a
            resample's score is that of the sum of its rows (see `score_of`).
        signatures: How each value was computed.
    """

    corpus: dict[str, float]
    per_question: dict[str, list[float]]
    statistics: dict[str, NDArray[np.float64]]
    signatures: dict[str, str]


def score_of(name: str) -> Callable[[NDArray[np.float64]], float]:
    """Return the function from a metric's summed statistics to its score."""
    metric = _sacrebleu().get(name)
    if metric is None:
        return lambda sums: float(sums[0] / sums[1])
    # sacrebleu resamples in the same way for its own intervals, but knows no clusters.
    whole = (lambda row: row) if name == "ter" else (lambda row: [int(x) for x in row])
    return lambda sums: float(metric._compute_score_from_stats(whole(sums.tolist())).score)


def _sacrebleu() -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    return {
        "bleu": BLEU(effective_order=True),
        "chrf": CHRF(),
        "chrf_pp": CHRF(word_order=2),
        "ter": TER(),
    }


@lru_cache(maxsize=1)
def metric_class() -> type:
    """Return our metric as a class of the ``evaluate`` library; made late, its import is slow."""
    library = evaluate_library()
    from datasets import Features, Value

    class AnswerMetrics(library.Metric):  # type: ignore[name-defined]
        """BLEU, chrF, TER by sacrebleu and ROUGE by rouge_score, over one reference an answer."""

        def _info(self) -> Any:
            features = Features({"predictions": Value("string"), "references": Value("string")})
            return library.MetricInfo(
                description="answers against reference answers",
                citation="https://aclanthology.org/W18-6319",
                features=features,
            )

        def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
            values = {
                name: float(metric.corpus_score(predictions, [references]).score)
                for name, metric in _sacrebleu().items()
            }
            rouge = rouge_scores(predictions, references)
            return values | {name: sum(r) / len(r) for name, r in rouge.items()}

    return AnswerMetrics


def rouge_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """Return ROUGE F-measures (0 to 1) of each answer."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE_TYPES.values()), use_stemmer=False)
    rows = [scorer.score(ref, pred) for pred, ref in zip(predictions, references, strict=True)]
    return {name: [row[kind].fmeasure for row in rows] for name, kind in ROUGE_TYPES.items()}


def score(
    questions: Sequence[Question], predictions: Sequence[str], benchmark_sha256: str
) -> Scores:
    """Score one system's answers, one a question, in the same order.

    Args:
        questions: The benchmark.
        predictions: The answers.
        benchmark_sha256: Part of the signatures.
    """
    references = [question.answer for question in questions]
    metric = metric_class()(keep_in_memory=True)
    corpus = metric.compute(predictions=list(predictions), references=references)
    per_question = rouge_scores(predictions, references) | _own_scores(questions, predictions)
    statistics = {name: mean_statistics(values) for name, values in per_question.items()}
    for name, scorer in _sacrebleu().items():
        pairs = zip(predictions, references, strict=True)
        per_question[name] = [float(scorer.sentence_score(p, [r]).score) for p, r in pairs]
        rows = scorer._extract_corpus_statistics(list(predictions), [references])
        statistics[name] = np.asarray(rows, dtype=np.float64)
    for name in ("exact_match", "token_f1", "key_fact_recall"):
        corpus[name] = sum(per_question[name]) / len(questions)
    return Scores(
        corpus={name: float(corpus[name]) for name in METRICS},
        per_question={name: per_question[name] for name in METRICS},
        statistics=statistics,
        signatures=signatures(len(questions), benchmark_sha256),
    )


def _own_scores(
    questions: Sequence[Question], predictions: Sequence[str]
) -> dict[str, list[float]]:
    def best(compare: Callable[[str, str], float], question: Question, text: str) -> float:
        return max(compare(text, right) for right in (question.answer, *question.alternatives))

    pairs = list(zip(questions, predictions, strict=True))
    return {
        "exact_match": [best(exact_match, question, text) for question, text in pairs],
        "token_f1": [best(token_f1, question, text) for question, text in pairs],
        "key_fact_recall": [key_fact_recall(text, q.key_facts) for q, text in pairs],
    }


def signatures(num_questions: int, benchmark_sha256: str) -> dict[str, str]:
    """Return how each metric is computed, in sacrebleu's style."""
    from importlib.metadata import version

    common = f"n:{num_questions}|benchmark:{benchmark_sha256[:12]}"
    metrics = _sacrebleu()
    for metric in metrics.values():
        metric.corpus_score(["a"], [["a"]])  # a signature exists only after a first score
    found = {name: f"{metric.get_signature()}|{common}" for name, metric in metrics.items()}
    rouge = f"rouge_score:{version('rouge-score')}|stemmer:no|measure:f|{common}"
    own = f"squad-normalised|best of answer and alternatives|{common}"
    return {
        **found,
        **dict.fromkeys(ROUGE_TYPES, rouge),
        "exact_match": own,
        "token_f1": own,
        "key_fact_recall": f"numbers by value and unit, terms by words|{common}",
    }
