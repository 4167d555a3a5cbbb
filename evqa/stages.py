"""The stages of a training, wired: what train.py and the pipeline both go through.

Only entry points import this module; the rooms it joins do not know each other.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evqa.architectures import Architecture
from evqa.config import TrainConfig, project_dir, to_dict
from evqa.config.evaluation import BenchmarkConfig
from evqa.files import read_json, sha256_json, write_json
from evqa.ledger import Ledger
from evqa.memory.budget import (
    fitting_changes,
    plain_recipe,
    require_fit,
    settle_micro_batch,
)
from evqa.memory.gpu import read_gpu
from evqa.memory.planner import plan_json, plan_training
from evqa.provenance import git_commit, update_manifest, weights_sha256
from evqa.records import Document, QAPair, Question, Split, read_jsonl

if TYPE_CHECKING:
    from evqa.evaluation.comparison import Comparison
    from evqa.models.base import LoadedBase
    from evqa.prepare import PreparedDataset
    from evqa.tracking import Tracker
    from evqa.training.fit import FitResult


@dataclass(frozen=True, slots=True)
class Base:
    """Where the base model of a run lies, and the hash of its weights."""

    folder: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded base with a trainable adapter.

    Attributes:
        model: A peft model.
        tokenizer: With the training system prompt in its template.
        start: Where the adapter starts from, by layer, with lora.init=pissa or loftq.
    """

    model: Any
    tokenizer: Any
    start: Any = None


def run_training(config: TrainConfig, folder: Path) -> "tuple[FitResult, Comparison]":
    """Go through all stages of a training in its run folder.

    Returns:
        What the training ended with, and how the tuned model compares with its base.
    """
    from evqa.evaluation.benchmark import load_benchmark
    from evqa.tracking import require
    from evqa.training.run import open_run
    from evqa.training.strategy import followers

    require(config.logger.kind)
    questions = load_benchmark(config.benchmark)
    with open_run(config, folder):
        prepared = dataset(config)
        model = base(config, prepared)
        plan(config, model, folder)
        with tracked(config, folder) as tracker:
            with followers(config.trainer, folder):
                session = load_session(config, model)
                result = fit(config, session, prepared, folder, tracker)
            session = trained_session(config, model, session, folder)
            comparison = compare(config, session, questions, folder, tracker)
            track_memory(folder, result, tracker)
        finish(config, folder, model, prepared, result)
        say_what_next(config, folder, comparison)
    return result, comparison


def follow_training(config: TrainConfig, folder: Path) -> None:
    """Take part in a training that another process leads, as one of its further devices."""
    from evqa.tracking import Tracker

    prepared = dataset(config)
    session = load_session(config, base(config, prepared))
    fit(config, session, prepared, folder, Tracker(None))


def cache_dir(config: TrainConfig) -> Path:
    """Return the folder of made models."""
    return Path(config.paths.outputs_dir).absolute() / "cache" / "models"


def dataset(config: TrainConfig) -> "PreparedDataset":
    """Prepare the dataset, or find it prepared."""
    from evqa.prepare import prepare_dataset

    return prepare_dataset(config)


def training_texts(folder: Path) -> list[str]:
    """Return the texts of the documents that may be trained on, in file order."""
    documents = read_jsonl(folder / "documents.jsonl", Document)
    return [document.text for document in documents if document.split == Split.train]


def base(config: TrainConfig, prepared: "PreparedDataset") -> Base:
    """Find, download or make the base model."""
    from evqa.models.base import base_folder

    folder = base_folder(config.model, lambda: training_texts(prepared.folder), cache_dir(config))
    return Base(folder, weights_sha256(folder))


def plan(config: TrainConfig, model: Base, folder: Path) -> None:
    """Write ``plan.json``, and settle ``trainer.micro_batch_size=0``.

    Raises:
        GateError: the training does not fit its budget.
    """
    shape = Architecture.from_folder(model.folder)
    gpu = None if config.trainer.accelerator == "cpu" else read_gpu()
    settle_micro_batch(config, shape, gpu)
    made = plan_training(config, shape, gpu)
    changes = [] if made.fits else fitting_changes(config, shape, gpu)
    planned = plan_json(made, plain_recipe(config, shape, gpu), changes, {})
    write_json(folder / "plan.json", planned)
    require_fit(made, changes)


@contextmanager
def tracked(config: TrainConfig, folder: Path) -> Iterator["Tracker"]:
    """Open the experiment tracker for the run, reopened when the run is resumed."""
    from evqa.tracking import build_tracker

    outputs_dir = Path(config.paths.outputs_dir).absolute()
    run_id = read_json(folder / "manifest.json").get("tracker_run")
    tracker = build_tracker(config.logger, outputs_dir, folder, run_id)
    update_manifest(folder, tracker_run=tracker.run_id)
    tracker.params({"hparams": to_dict(config), "git_commit": git_commit(project_dir()) or ""})
    try:
        yield tracker
    finally:
        tracker.close()


def load_session(config: TrainConfig, model: Base) -> Session:
    """Load the base in its quantised form and draw a fresh adapter."""
    from evqa.models.initialise import initialise
    from evqa.models.load import attach_adapter
    from evqa.training.run import cap_gpu_memory, prepare_process

    prepare_process(config.seed, config.trainer.num_threads)
    cap_gpu_memory(config.memory, config.trainer.accelerator)
    loaded = load_model(config, model)
    prepare_process(config.seed, config.trainer.num_threads)
    adapted = attach_adapter(loaded.model, config.lora)
    return Session(adapted, loaded.tokenizer, initialise(adapted, config.lora, model.folder))


def load_model(config: TrainConfig, model: Base) -> "LoadedBase":
    """Load the base as the config stores it, from the cache of quantised bases where it is."""
    from evqa.models.base import load
    from evqa.models.cache import QuantizedCache

    is_sharded = config.trainer.strategy == "fsdp"
    cache = QuantizedCache(cache_dir(config), model.sha256, is_sharded)
    return load(
        model.folder,
        config.model,
        config.quantization,
        config.trainer.accelerator,
        config.memory,
        cache,
    )


def trained_session(config: TrainConfig, model: Base, session: Session, folder: Path) -> Session:
    """Return base and adapter for the comparison.

    With lora.init=pissa or loftq the trained pair belongs together; what was saved is a LoRA for
    the original base, and that is compared.
    """
    from evqa.models.load import load_adapter

    if not session.start:
        return session
    loaded = load_model(config, model)
    return Session(load_adapter(loaded.model, folder / "adapter"), loaded.tokenizer)


def fit(
    config: TrainConfig,
    session: Session,
    prepared: "PreparedDataset",
    folder: Path,
    tracker: "Tracker",
) -> "FitResult":
    """Tokenise the pairs and train the adapter."""
    from evqa.data.dataset import build_samples
    from evqa.training.fit import fit as train
    from evqa.training.strategy import is_follower

    ledger = Ledger()
    pairs = read_jsonl(prepared.folder / "pairs.jsonl", QAPair)
    samples = build_samples(pairs, session.tokenizer, config.model.max_length_tokens, ledger)
    ledger.check()
    if not is_follower():
        ledger.write(folder)
    return train(
        config,
        session.model,
        session.tokenizer,
        samples,
        folder,
        tracker,
        start=session.start,
    )


def compare(
    config: TrainConfig,
    session: Session,
    questions: list[Question],
    folder: Path,
    tracker: "Tracker",
) -> "Comparison":
    """Ask base and tuned model the benchmark, write ``metrics.json``, print the table."""
    from evqa.evaluation.comparison import samples as pick
    from evqa.evaluation.quick import compare_adapter
    from evqa.evaluation.verdict import decide

    comparison = compare_adapter(
        session.model,
        session.tokenizer,
        questions,
        config.generation,
        config.metrics,
        benchmark_hash(config.benchmark),
        config.seed,
    )
    shown = pick(comparison, config.callbacks.num_sample_answers)
    verdict = decide(comparison).word
    figures = {"verdict": verdict, **comparison.to_json(), "samples": shown}
    write_json(folder / "metrics.json", figures)
    track_comparison(comparison, shown, tracker)
    return comparison


def benchmark_hash(benchmark: BenchmarkConfig) -> str:
    """Return the hash of the benchmark file."""
    from evqa.evaluation.benchmark import benchmark_sha256

    return benchmark_sha256(benchmark)


def track_comparison(
    comparison: "Comparison", shown: list[dict[str, str]], tracker: "Tracker"
) -> None:
    """Send the evaluation's figures and sample answers to the tracker."""
    for system, scores in comparison.scores.items():
        figures = {f"eval/{name}": value for name, value in scores.corpus.items()}
        tracker.metrics(figures, 0, {"system": system})
    for place, sample in enumerate(shown):
        text = "\n".join(f"{name}: {value}" for name, value in sample.items())
        tracker.text("sample answers", text, place)


def track_memory(folder: Path, result: "FitResult", tracker: "Tracker") -> None:
    """Send the predicted and the measured peak to the tracker."""
    predicted_gib = float(read_json(folder / "plan.json")["peak_gib"])
    figures = {
        "memory/predicted_gib": predicted_gib,
        "memory/measured_gib": result.peak_memory_gib,
    }
    tracker.metrics(figures, result.num_steps)


def finish(
    config: TrainConfig,
    folder: Path,
    model: Base,
    prepared: "PreparedDataset",
    result: "FitResult",
) -> None:
    """Write what was measured, mark the run as finished and point ``latest`` at it."""
    from evqa.training.run import finish_run

    planned = read_json(folder / "plan.json")
    planned["measured"] = measured(planned, result)
    write_json(folder / "plan.json", planned)
    finish_run(
        folder,
        base={
            "path": str(model.folder),
            "revision": config.model.revision,
            "sha256": model.sha256,
        },
        dataset={
            "id": prepared.id,
            "folder": str(prepared.folder),
            "sha256": sha256_json(prepared.manifest),
        },
        training={
            "num_steps": result.num_steps,
            "seconds": round(result.seconds, 2),
            "validation_loss": result.validation_loss,
            "tokens_per_s": round(result.tokens_per_s, 2),
            "peak_memory_gib": round(result.peak_memory_gib, 4),
            "micro_batch_size": result.micro_batch_size,
        },
    )


def measured(planned: dict[str, Any], result: "FitResult") -> dict[str, Any]:
    """Return the measured peak beside the predicted one, as ``plan.json`` keeps it.

    On a GPU the allocator's peak is compared: the CUDA context is not in it. On a CPU the process
    holds much that no plan is about, so there is nothing to compare.
    """
    values: dict[str, Any] = {"peak_gib": round(result.peak_memory_gib, 4)}
    context_gib = planned["terms_gib"].get("cuda_context", 0.0)
    if context_gib:
        predicted = planned["peak_gib"] - context_gib
        values["predicted_gib"] = round(predicted, 4)
        values["error"] = round(predicted / result.peak_memory_gib - 1, 4)
    return values


def say_what_next(config: TrainConfig, folder: Path, comparison: "Comparison") -> None:
    """Print the table, the sample answers, where everything is, and what to try."""
    from evqa.evaluation.comparison import samples as pick
    from evqa.evaluation.table import print_comparison

    print_comparison(comparison, pick(comparison, config.callbacks.num_sample_answers))
    outputs = Path(config.paths.outputs_dir)
    lines = [
        "",
        f"run       {folder}",
        f"adapter   {folder / 'adapter'}",
        f"figures   {folder / 'metrics.json'}",
        "",
        "next:",
        '  evqa ask "How long does a 7.4 kW charger need?"    ask the adapter',
        "  python evaluate.py                                 report with intervals",
        "  python train.py lora.r=32                          another rank",
        "  python -m evqa.release && python serve.py          merge, register, serve",
        f"  {shlex.join(['aim', 'up', '--repo', str(outputs)]):<51}the dashboard",
        "",
    ]
    sys.stdout.write("\n".join(lines))
