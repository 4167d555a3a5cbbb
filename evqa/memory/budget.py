"""What to change when a training does not fit: overrides that the planner itself has checked."""

import copy
from collections.abc import Callable
from typing import Any

from evqa.architectures import Architecture
from evqa.config.jobs import TrainConfig
from evqa.config.model import QuantizationKind
from evqa.errors import GateError
from evqa.memory.planner import MemoryPlan, plan_training

Change = Callable[[TrainConfig], None]


def _halve_micro_batch(config: TrainConfig) -> None:
    config.trainer.micro_batch_size = max(1, config.trainer.micro_batch_size // 2)


def candidates(config: TrainConfig) -> list[tuple[str, Change]]:
    """Return ``(override, change)`` pairs, the least costly for quality first."""
    half = max(1, config.trainer.micro_batch_size // 2)
    short = max(16, config.model.max_length_tokens // 2)
    return [
        ("memory.gradient_checkpointing=true", _set("memory", "gradient_checkpointing", True)),
        (f"trainer.micro_batch_size={half}", _halve_micro_batch),
        ("trainer.micro_batch_size=1", _set("trainer", "micro_batch_size", 1)),
        ("optimizer=paged_adamw8bit", _eight_bit),
        ("quantization=nf4", _set("quantization", "kind", QuantizationKind.nf4)),
        (f"model.max_length_tokens={short}", _set("model", "max_length_tokens", short)),
        ("lora.r=8", _set("lora", "r", min(8, config.lora.r))),
    ]


def _set(group: str, name: str, value: Any) -> Change:
    def change(config: TrainConfig) -> None:
        setattr(getattr(config, group), name, value)

    return change


def _eight_bit(config: TrainConfig) -> None:
    config.optimizer._target_ = "bitsandbytes.optim.PagedAdamW8bit"


def fitting_changes(config: TrainConfig, shape: Architecture) -> list[dict[str, Any]]:
    """Return the overrides that make a training fit, alone or piled up, with their peaks."""
    found = []
    pile = copy.deepcopy(config)
    words: list[str] = []
    for override, change in candidates(config):
        alone = copy.deepcopy(config)
        change(alone)
        change(pile)
        words.append(override)
        for tried, spelled in ((alone, override), (pile, " ".join(words))):
            plan = plan_training(tried, shape)
            if plan.fits:
                found.append({"override": spelled, "peak_gib": plan.peak_gib})
        if found and found[-1]["override"] == " ".join(words):
            break
    return found


def smaller_changes(config: TrainConfig, shape: Architecture) -> list[dict[str, Any]]:
    """Return the single overrides that lower the peak, the most effective first."""
    now = plan_training(config, shape).peak_gib
    found = []
    for override, change in candidates(config):
        tried = copy.deepcopy(config)
        change(tried)
        peak = plan_training(tried, shape).peak_gib
        if peak < now:
            found.append({"override": override, "peak_gib": peak})
    return sorted(found, key=lambda item: float(item["peak_gib"]))


def plain_recipe(config: TrainConfig, shape: Architecture) -> MemoryPlan:
    """Return the plan without any saving: no 4-bit base, no checkpointing."""
    plain = copy.deepcopy(config)
    plain.quantization.kind = QuantizationKind.none
    plain.memory.gradient_checkpointing = False
    return plan_training(plain, shape)


def require_fit(plan: MemoryPlan, changes: list[dict[str, Any]]) -> None:
    """Refuse a training that does not fit its budget.

    Raises:
        GateError: with the cheapest change that makes it fit.
    """
    if plan.fits:
        return
    way_out = f"try {changes[0]['override']}" if changes else "no single change makes it fit"
    raise GateError(
        f"needs {plan.peak_gib:.2f} GiB, but memory.budget_gib={plan.budget_gib:g}; {way_out} "
        "(python -m evqa.plan shows the terms)"
    )
