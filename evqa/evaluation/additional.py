"""Figures beside the main metrics: invented numbers, similarity, perplexity of the references."""

from collections.abc import Sequence

from evqa.config.evaluation import MetricsConfig
from evqa.evaluation.comparison import Comparison
from evqa.evaluation.embedding import Embedder
from evqa.evaluation.facts import invented_numbers
from evqa.evaluation.local import LocalAnswerer, perplexity
from evqa.evaluation.predict import Answerer
from evqa.progress import progress
from evqa.records import Question

Figures = dict[str, float | None]


def hallucinated_number_rate(questions: Sequence[Question], texts: Sequence[str]) -> float | None:
    """Return the share of the answers' numbers that nothing supports; null without numbers.

    Supported is a number (with its unit, normalised) that stands in the question, the reference,
    its alternatives or the key facts.
    """
    counts = [
        invented_numbers(text, [q.question, q.answer, *q.alternatives, *q.key_facts])
        for q, text in zip(questions, texts, strict=True)
    ]
    total = sum(count for _, count in counts)
    return sum(invented for invented, _ in counts) / total if total else None


def additional_figures(
    config: MetricsConfig, comparison: Comparison, perplexities: dict[str, float | None]
) -> dict[str, Figures]:
    """Return the figures of each system.

    Args:
        config: Which embedding model, if any.
        comparison: The answers.
        perplexities: Of the reference answers, by system; null for endpoints.
    """
    texts = {name: [p.text for p in made] for name, made in comparison.predictions.items()}
    found: dict[str, Figures] = {
        name: {
            "hallucinated_number_rate": hallucinated_number_rate(comparison.questions, answers),
            "reference_perplexity": perplexities.get(name),
        }
        for name, answers in texts.items()
    }
    if config.embedding_model is not None:
        embedder = Embedder(config.embedding_model)
        references = [question.answer for question in comparison.questions]
        for name, answers in texts.items():
            cosines = embedder.similarity(answers, references)
            found[name]["semantic_similarity"] = sum(cosines) / len(cosines)
    return found


def reference_perplexity(answerer: Answerer, questions: Sequence[Question]) -> float | None:
    """Return the perplexity of the reference answers; null for a system that is not held here."""
    if not isinstance(answerer, LocalAnswerer):
        return None
    with progress(f"scoring the references with {answerer.name}", len(questions)) as bar:
        losses = []
        for loss in answerer.reference_nll(questions):
            losses.append(loss)
            bar.add(1)
    return perplexity(losses)
