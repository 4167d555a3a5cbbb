"""What a training takes beside memory: disk, API dollars, and time from a measured rate."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.architectures import Architecture
from evqa.config.data import PairGenerator
from evqa.config.jobs import TrainConfig
from evqa.config.model import QuantizationKind
from evqa.errors import UserError
from evqa.files import read_json
from evqa.memory.phases import SERVED_WIDTH
from evqa.memory.terms import FP32_BYTES, GIB, adapter_terms, nf4_linear_bytes


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a finished run of the same model was.

    Attributes:
        run: Its folder's name.
        tokens_per_s: Real tokens a second.
        tokens_per_epoch: Tokens of its training samples.
    """

    run: str
    tokens_per_s: float
    tokens_per_epoch: float


def disk_terms(config: TrainConfig, shape: Architecture) -> dict[str, float]:
    """Return what comes to lie on disk, bytes by term."""
    adapter = adapter_terms(config, shape)
    one = adapter["lora_weights"] + adapter["optimizer_states"]
    count = config.callbacks.keep_best_checkpoints + 2  # last, and one while it is written
    quantized = config.quantization.kind is QuantizationKind.nf4
    download_gib = config.model.download_gib
    kept = quantized and download_gib >= config.quantization.cache_min_gib
    tables = (1 if shape.tie_word_embeddings else 2) * shape.num_embedding_parameters
    return {
        "download": download_gib * GIB,
        "quantized_base": float(
            nf4_linear_bytes(shape, config.quantization.double_quant) + tables * SERVED_WIDTH
        )
        if kept
        else 0.0,
        "checkpoints": one * count,
        "adapter": adapter["lora_weights"] / FP32_BYTES * FP32_BYTES,
        "merged_model": float(shape.num_parameters * SERVED_WIDTH),
    }


def api_usd(config: TrainConfig) -> float:
    """Return the most that the API may cost, US dollars; the offline generator costs nothing."""
    return 0.0 if config.qa.generator is PairGenerator.extractive else config.qa.budget_usd


def measured_rate(config: TrainConfig) -> Rate | None:
    """Return the rate of the newest finished run of the same model, None when there is none."""
    runs = Path(config.paths.outputs_dir) / "runs"
    for manifest in sorted(runs.glob("*/manifest.json"), reverse=True):
        rate = _rate_of(manifest.parent, config.model.name)
        if rate is not None:
            return rate
    return None


def _rate_of(run: Path, model: str) -> Rate | None:
    try:
        manifest = read_json(run / "manifest.json")
        lines = (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()
        steps = [json.loads(line) for line in lines]
        if not manifest["finished"] or manifest["config"]["model"]["name"] != model:
            return None
        first = [step["num_tokens"] for step in steps if step["epoch"] == 0]
        return Rate(run.name, float(manifest["training"]["tokens_per_s"]), float(sum(first)))
    except (OSError, UserError, KeyError, TypeError, json.JSONDecodeError):
        return None


def time_json(config: TrainConfig) -> dict[str, Any]:
    """Return the time that a training takes, from a measured rate; null where none is known."""
    rate = measured_rate(config)
    if rate is None:
        return {"training_s": None, "rate_of": None}
    seconds = config.trainer.num_epochs * rate.tokens_per_epoch / rate.tokens_per_s
    return {
        "training_s": round(seconds, 1),
        "rate_of": rate.run,
        "tokens_per_s": rate.tokens_per_s,
        "tokens_per_epoch": rate.tokens_per_epoch,
    }


def costs_json(config: TrainConfig, shape: Architecture) -> dict[str, Any]:
    """Return disk, dollars and time as they stand beside the memory plan."""
    disk = {name: value / GIB for name, value in disk_terms(config, shape).items()}
    return {
        "disk_gib": sum(disk.values()),
        "disk_terms_gib": disk,
        "api_usd": api_usd(config),
        "time": time_json(config),
    }
