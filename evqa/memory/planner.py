"""Peak memory of a QLoRA training by term: plain arithmetic over shapes and config.

Symbols: L layers, T tokens of a micro-batch, H hidden, I intermediate, V vocabulary, N labelled
tokens, r LoRA rank. NF4 stores 4 bits a weight plus one scale a block of 64; double quantisation
stores the scales in 8 bits plus one fp32 a block of 256 (https://arxiv.org/abs/2305.14314, §3).
Accuracy on a GPU is not claimed here yet; shapes and bytes of weights are exact.
"""

from dataclasses import dataclass
from typing import Any

from evqa.architectures import Architecture, target_modules
from evqa.config.jobs import TrainConfig
from evqa.config.model import Dtype, QuantizationKind

GIB = 2**30
NF4_BLOCK = 64
NESTED_BLOCK = 256
FP32_BYTES = 4
LABEL_SHARE = 0.6  # of a sample's tokens that carry a label, chats of this field
ALLOCATOR_SLACK = 0.04
DTYPE_BYTES = {Dtype.auto: 2, Dtype.bf16: 2, Dtype.fp16: 2, Dtype.fp32: 4}
OPTIMIZER_STATE_BYTES = {
    "torch.optim.AdamW": 8.0,
    "bitsandbytes.optim.AdamW8bit": 2.03,
    "bitsandbytes.optim.PagedAdamW8bit": 2.03,
    "bitsandbytes.optim.Lion8bit": 1.02,
}


def nf4_bytes(num_weights: int, double_quant: bool) -> float:
    """Return the bytes that NF4 takes for so many weights, scales included."""
    blocks = num_weights / NF4_BLOCK
    scales = blocks * (1 + FP32_BYTES / NESTED_BLOCK) if double_quant else blocks * FP32_BYTES
    return num_weights / 2 + scales


@dataclass(frozen=True, slots=True)
class Workload:
    """What one forward pass holds."""

    micro_batch_size: int
    sequence_tokens: int

    @property
    def num_tokens(self) -> int:
        """T: tokens of a micro-batch."""
        return self.micro_batch_size * self.sequence_tokens


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes by term; they add up to the peak.

    Attributes:
        static: Held from loading to the end.
        step: Held at the training step's peak, on top.
        validation: Held at the validation step's peak, instead of ``step``.
        budget_gib: Nominal memory, None for no limit.
    """

    static: dict[str, float]
    step: dict[str, float]
    validation: dict[str, float]
    budget_gib: float | None

    @property
    def terms(self) -> dict[str, float]:
        """All terms of the training step, the larger phase."""
        return {**self.static, **self.step}

    @property
    def peak_gib(self) -> float:
        """Peak of the training step, GiB."""
        return sum(self.terms.values()) / GIB

    @property
    def usable_gib(self) -> float | None:
        """The budget; the CUDA context is a term of its own."""
        return self.budget_gib

    @property
    def fits(self) -> bool:
        """Whether the peak stays inside the budget."""
        return self.usable_gib is None or self.peak_gib <= self.usable_gib


def _dtype_bytes(config: TrainConfig) -> int:
    if config.model.dtype is Dtype.auto and config.trainer.accelerator == "cpu":
        return FP32_BYTES
    return DTYPE_BYTES[config.model.dtype]


def plan_training(config: TrainConfig, shape: Architecture) -> MemoryPlan:
    """Return the memory plan of a training.

    Args:
        config: The run's config.
        shape: Numbers of the base model.
    """
    load = Workload(config.trainer.micro_batch_size, config.model.max_length_tokens)
    width = _dtype_bytes(config)
    return MemoryPlan(
        static=_static_terms(config, shape, width),
        step=_with_slack(_step_terms(config, shape, load, width)),
        validation=_with_slack(_validation_terms(shape, load, width)),
        budget_gib=config.memory.budget_gib,
    )


def _static_terms(config: TrainConfig, shape: Architecture, width: int) -> dict[str, float]:
    quantized = config.quantization.kind is QuantizationKind.nf4
    linear = shape.num_linear_parameters
    modules = target_modules(config.lora.targets, config.lora.target_modules)
    lora = shape.num_lora_parameters(config.lora.r, modules)
    state = OPTIMIZER_STATE_BYTES.get(config.optimizer._target_, 8.0)
    on_gpu = config.trainer.accelerator != "cpu"
    double = config.quantization.double_quant
    return {
        "linear_weights": nf4_bytes(linear, double) if quantized else float(linear * width),
        "embedding": float(shape.num_embedding_parameters * width),
        "lm_head": 0.0
        if shape.tie_word_embeddings
        else float(shape.num_embedding_parameters * width),
        "norms_and_biases": float(shape.num_other_parameters * width),
        "lora_weights": float(lora * FP32_BYTES),
        "lora_gradients": float(lora * FP32_BYTES),
        "optimizer_states": lora * state,
        "cuda_context": config.memory.context_gib * GIB if on_gpu else 0.0,
    }


def _layer_bytes(shape: Architecture, num_tokens: int, width: int) -> float:
    """Return what one layer keeps for its backward pass."""
    query = shape.num_attention_heads * shape.head_dim
    key_value = shape.num_key_value_heads * shape.head_dim
    elements = 5 * shape.hidden_size + 3 * query + 2 * key_value + 4 * shape.intermediate_size
    return float(num_tokens * elements * width)


def _dequantisation_bytes(shape: Architecture, width: int) -> float:
    largest = max(rows * cols for rows, cols in shape.linear_shapes().values())
    return largest * width + largest / NF4_BLOCK * FP32_BYTES


def _logits_bytes(shape: Architecture, num_tokens: int, width: int) -> float:
    """Return logits of the labelled positions (computed, fp32, gradient) and their states."""
    labelled = int(num_tokens * LABEL_SHARE)
    per_position = shape.vocab_size * (width + 2 * FP32_BYTES) + shape.hidden_size * width
    return float(labelled * per_position)


def _step_terms(
    config: TrainConfig, shape: Architecture, load: Workload, width: int
) -> dict[str, float]:
    tokens = load.num_tokens
    layer = _layer_bytes(shape, tokens, width)
    if config.memory.gradient_checkpointing:
        kept = float(shape.num_layers * tokens * shape.hidden_size * width)
        live = layer
    else:
        kept, live = shape.num_layers * layer, 0.0
    quantized = config.quantization.kind is QuantizationKind.nf4
    return {
        "checkpoints": kept,
        "layer_activations": live,
        "dequantisation": _dequantisation_bytes(shape, width) if quantized else 0.0,
        "logits": _logits_bytes(shape, tokens, width),
    }


def _validation_terms(shape: Architecture, load: Workload, width: int) -> dict[str, float]:
    return {
        "layer_activations": _layer_bytes(shape, load.num_tokens, width),
        "dequantisation": _dequantisation_bytes(shape, width),
        "logits": _logits_bytes(shape, load.num_tokens, width),
    }


def _with_slack(terms: dict[str, float]) -> dict[str, float]:
    return {**terms, "allocator_slack": ALLOCATOR_SLACK * sum(terms.values())}


def plan_json(
    plan: MemoryPlan, plain: MemoryPlan, changes: list[dict[str, Any]], measured: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``plan.json``."""
    static_gib = sum(plan.static.values()) / GIB
    return {
        "fits": plan.fits,
        "usable_gib": plan.usable_gib,
        "peak_gib": plan.peak_gib,
        "terms_gib": {name: value / GIB for name, value in plan.terms.items()},
        "phases": {
            "training_gib": plan.peak_gib,
            "validation_gib": static_gib + sum(plan.validation.values()) / GIB,
        },
        "changes": changes,
        "plain": {"fits": plain.fits, "peak_gib": plain.peak_gib},
        "measured": measured,
    }
