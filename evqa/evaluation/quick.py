"""Base and fine-tuned model on the benchmark, with one loaded base and the adapter toggled."""

import contextlib
from typing import Any

from evqa.config.evaluation import GenerationConfig, MetricsConfig
from evqa.evaluation.comparison import BASE, TUNED, Comparison, compare
from evqa.evaluation.local import LocalAnswerer
from evqa.evaluation.predict import Store, predict
from evqa.progress import progress
from evqa.records import Question


def adapter_answerers(
    model: Any, tokenizer: Any, generation: GenerationConfig, names: tuple[str, str]
) -> list[LocalAnswerer]:
    """Return a peft model without its adapter, and with it, as two systems."""
    toggles = (model.disable_adapter, contextlib.nullcontext)
    return [
        LocalAnswerer(name, model, tokenizer, generation, toggle)
        for name, toggle in zip(names, toggles, strict=True)
    ]


def compare_adapter(
    model: Any,
    tokenizer: Any,
    questions: list[Question],
    generation: GenerationConfig,
    metrics: MetricsConfig,
    benchmark_sha256: str,
    seed: int,
) -> Comparison:
    """Answer the benchmark with and without the adapter, and score both.

    Args:
        model: A peft model.
        tokenizer: Its tokenizer.
        questions: The benchmark.
        generation: How answers are generated.
        metrics: Intervals.
        benchmark_sha256: For the signatures.
        seed: Of sampling and resampling.
    """
    seeds = [seed + number for number in range(generation.num_seeds)]
    store = Store()
    predictions = {}
    for answerer in adapter_answerers(model, tokenizer, generation, (BASE, TUNED)):
        title = f"asking the {answerer.name} model"
        with progress(title, len(questions) * len(seeds)) as bar:
            predictions[answerer.name] = predict(answerer, questions, seeds, store, bar.add)
    return compare(questions * len(seeds), predictions, metrics, benchmark_sha256, seed)
