"""What to change when a training does not fit: overrides that the planner itself has checked.

Changes are ranked by what they cost: first those that change nothing but where things live, then
those that cost time, then those that may cost quality.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evqa.architectures import Architecture
from evqa.config.jobs import TrainConfig
from evqa.config.model import Dtype, LoraTargets, QuantizationKind
from evqa.errors import GateError
from evqa.memory.gpu import Gpu
from evqa.memory.planner import MemoryPlan, Placement, plan_training, with_slack

SMALL_TILE_TOKENS = 2048
MIN_LENGTH_TOKENS = 256
Apply = Callable[[TrainConfig], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One override, and its effect on a config."""

    override: str
    apply: Apply


def _set(group: str, name: str, value: Any, spelled: str | None = None) -> Change:
    def change(config: TrainConfig) -> None:
        setattr(getattr(config, group), name, value)

    text = spelled or f"{group}.{name}={str(value).lower() if value is True else value}"
    return Change(text, change)


def _eight_bit() -> Change:
    def change(config: TrainConfig) -> None:
        config.optimizer._target_ = "bitsandbytes.optim.PagedAdamW8bit"

    return Change("optimizer=paged_adamw8bit", change)


def candidates(config: TrainConfig) -> list[Change]:
    """Return the changes that this config leaves open, the least costly first."""
    memory, lora, trainer = config.memory, config.lora, config.trainer
    half = max(1, trainer.micro_batch_size // 2)
    short = max(MIN_LENGTH_TOKENS, config.model.max_length_tokens // 2)
    tile = SMALL_TILE_TOKENS
    open_changes = [
        (not memory.embedding_on_cpu, _set("memory", "embedding_on_cpu", True)),
        (
            memory.gradient_checkpointing and not memory.offload_checkpoints,
            _set("memory", "offload_checkpoints", True),
        ),
        (memory.vocabulary_tile_tokens > tile, _set("memory", "vocabulary_tile_tokens", tile)),
        (
            not memory.gradient_checkpointing,
            _set("memory", "gradient_checkpointing", True),
        ),
        (memory.checkpointed_share < 1, _set("memory", "checkpointed_share", 1.0)),
        ("8bit" not in config.optimizer._target_, _eight_bit()),
        (lora.dtype is not Dtype.bf16, _set("lora", "dtype", Dtype.bf16)),
        (
            config.quantization.kind is not QuantizationKind.nf4,
            _set("quantization", "kind", QuantizationKind.nf4, "quantization=nf4"),
        ),
        (trainer.micro_batch_size > 1, _set("trainer", "micro_batch_size", half)),
        (trainer.micro_batch_size > 2, _set("trainer", "micro_batch_size", 1)),
        (
            not config.quantization.head and config.quantization.kind is QuantizationKind.nf4,
            _set("quantization", "head", True),
        ),
        (lora.dropout > 0, _set("lora", "dropout", 0.0)),
        (
            config.model.max_length_tokens > short,
            _set("model", "max_length_tokens", short),
        ),
        (lora.r > 8, _set("lora", "r", 8)),
        (
            not lora.target_modules and lora.targets is LoraTargets.all_linear,
            _set("lora", "targets", LoraTargets.attention),
        ),
    ]
    return [change for is_open, change in open_changes if is_open]


def applied(config: TrainConfig, changes: Sequence[Change]) -> TrainConfig:
    """Return a copy of the config with the changes made."""
    changed = copy.deepcopy(config)
    for change in changes:
        change.apply(changed)
    return changed


def _as_json(changes: Sequence[Change], plan: MemoryPlan) -> dict[str, Any]:
    words: dict[str, str] = {}  # a later override of the same key wins
    for change in changes:
        words[change.override.partition("=")[0]] = change.override
    return {"override": " ".join(words.values()), "peak_gib": plan.peak_gib}


def fitting_changes(
    config: TrainConfig, shape: Architecture, gpu: Gpu | None = None
) -> list[dict[str, Any]]:
    """Return the overrides that make a training fit with their peaks, the least costly first.

    Single changes that are enough come as they are; then the smallest set of them, found by
    piling them up in the order of their cost and taking out again what is not needed.
    """
    open_changes = candidates(config)

    def plan_with(changes: Sequence[Change]) -> MemoryPlan:
        return plan_training(applied(config, changes), shape, gpu)

    found = []
    for change in open_changes:
        plan = plan_with([change])
        if plan.fits:
            found.append(_as_json([change], plan))
    pile: list[Change] = []
    for change in open_changes:
        pile.append(change)
        if plan_with(pile).fits:
            break
    else:
        return found
    for change in reversed(list(pile)):
        fewer = [kept for kept in pile if kept is not change]
        if fewer and plan_with(fewer).fits:
            pile = fewer
    if len(pile) > 1:
        found.append(_as_json(pile, plan_with(pile)))
    return found


def smaller_changes(
    config: TrainConfig, shape: Architecture, gpu: Gpu | None = None
) -> list[dict[str, Any]]:
    """Return the single overrides that lower the peak, the most effective first."""
    now = plan_training(config, shape, gpu).peak_gib
    found = []
    for change in candidates(config):
        plan = plan_training(applied(config, [change]), shape, gpu)
        if plan.peak_gib < now:
            found.append(_as_json([change], plan))
    return sorted(found, key=lambda item: float(item["peak_gib"]))


def choose_micro_batch(config: TrainConfig, shape: Architecture, gpu: Gpu | None = None) -> int:
    """Return the largest micro-batch that divides the effective batch and fits the budget.

    Without a budget that is the whole share of a device; where not even one sample fits, it is 1
    (and the plan says what is missing).
    """
    share = config.trainer.effective_batch_size // config.trainer.num_devices
    for size in range(share, 0, -1):
        if share % size:
            continue
        tried = copy.deepcopy(config)
        tried.trainer.micro_batch_size = size
        if plan_training(tried, shape, gpu).fits:
            return size
    return 1


def settle_micro_batch(config: TrainConfig, shape: Architecture, gpu: Gpu | None = None) -> None:
    """Replace ``trainer.micro_batch_size=0`` by what the planner chooses. Changes the config."""
    if config.trainer.micro_batch_size == 0:
        config.trainer.micro_batch_size = choose_micro_batch(config, shape, gpu)


def plain_recipe(config: TrainConfig, shape: Architecture, gpu: Gpu | None = None) -> MemoryPlan:
    """Return the plan of the usual QLoRA recipe at the same batch, length and rank.

    That is NF4 projections; embedding, head and norms in fp32 (as
    ``prepare_model_for_kbit_training`` leaves them) and with them the residual stream; an fp32
    adapter with AdamW; every layer checkpointed; full logits in fp32, softmax and its gradient.
    """
    plain = copy.deepcopy(config)
    plain.quantization.kind = QuantizationKind.nf4
    plain.quantization.head = False
    plain.memory.embedding_on_cpu = plain.memory.offload_checkpoints = False
    plain.memory.gradient_checkpointing = True
    plain.memory.checkpointed_share = 1.0
    plain.lora.dtype = Dtype.fp32
    plain.optimizer._target_ = "torch.optim.AdamW"
    plan = plan_training(plain, shape, gpu)
    tokens = config.trainer.micro_batch_size * config.model.max_length_tokens
    table = shape.num_embedding_parameters * 4.0
    static = {
        **plan.static,
        "embedding": table,
        "lm_head": 0.0 if shape.tie_word_embeddings else table,
        "norms_and_biases": shape.num_other_parameters * 4.0,
    }
    logits = 12.0 * tokens * shape.vocab_size
    kept = {"checkpoints": shape.num_layers * tokens * shape.hidden_size * 4.0}
    backward = ("layer_activations", "layer_gradients", "dequantisation")
    layer = {name: plan.step[name] for name in backward}
    step = {**kept, **layer} if sum(layer.values()) > logits else {**kept, "logits": logits}
    return MemoryPlan(
        static=static, step=with_slack(step, Placement.of(plain, gpu)),
        validation=plan.validation, host=plan.host, merge=plan.merge,
        serving=plan.serving, budget_gib=plan.budget_gib, is_gpu=plan.is_gpu,
    )  # fmt: skip


def require_fit(plan: MemoryPlan, changes: list[dict[str, Any]]) -> None:
    """Refuse a training that does not fit its budget.

    Raises:
        GateError: with the cheapest changes that make it fit.
    """
    if plan.fits:
        return
    listed = "; or ".join(f"{c['override']} ({c['peak_gib']:.2f} GiB)" for c in changes[:3])
    way_out = f"try {listed}" if changes else "nothing makes it fit: take a smaller model"
    raise GateError(
        f"needs {plan.peak_gib:.2f} GiB, but {plan.budget_gib:.4g} GiB may be used "
        f"(memory.budget_gib, or what is free on the GPU); {way_out} "
        "(python -m evqa.plan shows the terms)"
    )
