"""Scoring a finished run against its base: what evaluate.py goes through."""

import sys
from dataclasses import replace
from pathlib import Path

from evqa.config import EvaluateConfig, to_dict
from evqa.errors import GateError
from evqa.evaluation.benchmark import benchmark_sha256
from evqa.evaluation.quick import Comparison, compare_adapter, samples
from evqa.evaluation.table import markdown, print_comparison
from evqa.files import write_json, write_text
from evqa.models.tuned import TunedModel, load_tuned
from evqa.provenance import now
from evqa.records import Question, write_jsonl
from evqa.runs import read_manifest
from evqa.tracking import build_tracker

NUM_SAMPLES = 20


def open_scored_run(run: Path) -> TunedModel:
    """Load a finished run's model."""
    return load_tuned(run, read_manifest(run))


def score_run(config: EvaluateConfig, tuned: TunedModel, questions: list[Question]) -> Comparison:
    """Ask base and tuned model the benchmark."""
    own = tuned.config.generation
    generation = replace(
        config.generation,
        max_new_tokens=config.generation.max_new_tokens or own.max_new_tokens,
        batch_size=config.generation.batch_size or own.batch_size,
    )
    return compare_adapter(
        tuned.model,
        tuned.tokenizer,
        questions,
        generation,
        config.metrics,
        benchmark_sha256(config.benchmark),
        config.seed,
    )


def write_report(config: EvaluateConfig, run: Path, comparison: Comparison, folder: Path) -> None:
    """Write the evaluation folder, and the figures to the tracker."""
    results = comparison.to_json()
    made = [row for system in comparison.predictions.values() for row in system]
    answer_ms = {name: _mean_latency_ms(comparison, name) for name in comparison.predictions}
    results["performance"] = {"mean_batch_latency_ms": answer_ms}
    write_jsonl(folder / "predictions.jsonl", made)
    write_json(folder / "benchmark_dataset.json", [q.to_dict() for q in comparison.questions])
    write_json(folder / "performance_metrics.json", results["performance"])
    write_json(folder / "evaluation_results.json", {"created": now(), "run": str(run), **results})
    write_text(folder / "report.md", markdown(comparison, samples(comparison, NUM_SAMPLES)))
    write_json(folder / "results.json", results)
    _track(config, run, comparison, folder)


def _mean_latency_ms(comparison: Comparison, system: str) -> float:
    rows = [row.latency_ms or 0.0 for row in comparison.predictions[system]]
    return round(sum(rows) / len(rows), 3)


def _track(config: EvaluateConfig, run: Path, comparison: Comparison, folder: Path) -> None:
    outputs_dir = Path(config.paths.outputs_dir).absolute()
    tracker = build_tracker(config.logger, outputs_dir, folder)
    tracker.params({"hparams": to_dict(config), "evaluated_run": run.name})
    for system, scores in comparison.scores.items():
        figures = {f"eval/{name}": value for name, value in scores.corpus.items()}
        tracker.metrics(figures, 0, {"system": system})
    tracker.close()


def say_verdict(config: EvaluateConfig, comparison: Comparison, folder: Path) -> None:
    """Print table, report and verdict.

    Raises:
        GateError: the verdict is NO_SHIP.
    """
    if config.output == "json":
        sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
    else:
        print_comparison(comparison, samples(comparison, 3))
        sys.stdout.write(f"\n{comparison.verdict}   {folder / 'report.md'}\n")
    if comparison.verdict == "NO_SHIP":
        raise GateError("NO_SHIP: the fine-tuned model is not better beyond its interval")
