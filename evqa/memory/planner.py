"""Peak memory of a QLoRA training by term and by phase: plain arithmetic over shapes and config.

Weights, adapter, gradients and optimiser states are exact (see `terms`), activations those of
`activations`; what the CUDA allocator adds is an estimate.
"""

from dataclasses import dataclass
from typing import Any

from evqa.architectures import Architecture
from evqa.config.jobs import TrainConfig
from evqa.config.model import Dtype, QuantizationKind
from evqa.memory.activations import Arithmetic, LayerCost, layer_cost
from evqa.memory.gpu import Gpu
from evqa.memory.phases import merge_terms, serving_terms
from evqa.memory.terms import (
    DTYPE_BYTES,
    FP32_BYTES,
    GIB,
    NF4_BLOCK,
    adapter_terms,
    nf4_head_bytes,
    nf4_linear_bytes,
)

LABEL_SHARE = 0.6  # of a sample's tokens that carry a label, chats of this field
ROWS_AT_A_TIME = 1024  # positions whose logits of a tile exist at once, as evqa.training.losses
OFFLOAD_BUFFERS = 2  # layer inputs on the device while others travel
ALLOCATOR_SHARE = 0.04  # of what comes and goes
ALLOCATOR_GIB = 0.05
PROCESS_GIB = 0.9  # resident memory of Python, PyTorch and the libraries
STATIC = "static"
Terms = dict[str, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a training runs, and in which arithmetic.

    Attributes:
        is_gpu: On a GPU, or planned for one.
        width: Bytes of an element.
        gpu: The one that is here, None when there is none.
    """

    is_gpu: bool
    width: int
    gpu: Gpu | None = None

    @classmethod
    def of(cls, config: TrainConfig, gpu: Gpu | None) -> "Placement":
        """Decide as the training will: a budget without a GPU plans for the GPU meant."""
        accelerator = config.trainer.accelerator
        meant = gpu is not None or config.memory.budget_gib is not None
        is_gpu = accelerator == "gpu" or (accelerator == "auto" and meant)
        dtype = config.model.dtype
        if dtype is Dtype.auto:
            dtype = Dtype.bf16 if is_gpu else Dtype.fp32
        return cls(is_gpu, DTYPE_BYTES[dtype], gpu if is_gpu else None)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes by term; they add up to the peak.

    Attributes:
        static: Held from loading to the end.
        step: Held at the training step's peak, on top.
        validation: Held at the validation step's peak, instead of ``step``.
        host: What the CPU's memory holds, by term.
        merge: CPU memory of merging, by term.
        serving: Memory of the served model, by term.
        budget_gib: What may be used, None for no limit.
        is_gpu: Whether static and step are a GPU's memory.
    """

    static: Terms
    step: Terms
    validation: Terms
    host: Terms
    merge: Terms
    serving: Terms
    budget_gib: float | None
    is_gpu: bool

    @property
    def terms(self) -> Terms:
        """All terms of the training step, the largest phase."""
        return {**self.static, **self.step}

    @property
    def peak_gib(self) -> float:
        """Peak of the training step, GiB."""
        return sum(self.terms.values()) / GIB

    @property
    def validation_gib(self) -> float:
        """Peak of the validation step, GiB."""
        return (sum(self.static.values()) + sum(self.validation.values())) / GIB

    @property
    def usable_gib(self) -> float | None:
        """What may be used; the CUDA context is a term of its own."""
        return self.budget_gib

    @property
    def fits(self) -> bool:
        """Whether the peak stays inside the budget."""
        return self.usable_gib is None or self.peak_gib <= self.usable_gib


def plan_training(config: TrainConfig, shape: Architecture, gpu: Gpu | None = None) -> MemoryPlan:
    """Return the memory plan of a training.

    Args:
        config: The run's config.
        shape: Numbers of the base model.
        gpu: The one that is here: what other programs hold of it is not used.
    """
    place = Placement.of(config, gpu)
    tokens = config.trainer.micro_batch_size * config.model.max_length_tokens
    step = _step_terms(config, shape, tokens, place)
    return MemoryPlan(
        static=_static_terms(config, shape, place),
        step=with_slack(step, place),
        validation=with_slack(_validation_terms(config, shape, tokens, place), place),
        host=_host_terms(config, shape, tokens, place),
        merge=merge_terms(shape),
        serving=serving_terms(shape, config.model.max_length_tokens),
        budget_gib=_usable(config, place),
        is_gpu=place.is_gpu,
    )


def _usable(config: TrainConfig, place: Placement) -> float | None:
    limits = [] if config.memory.budget_gib is None else [config.memory.budget_gib]
    if place.gpu is not None:
        limits.append(place.gpu.free_gib)
    return min(limits, default=None)


def _static_terms(config: TrainConfig, shape: Architecture, place: Placement) -> Terms:
    quantization, width = config.quantization, place.width
    quantized = quantization.kind is QuantizationKind.nf4
    linear = (
        nf4_linear_bytes(shape, quantization.double_quant)
        if quantized
        else shape.num_linear_parameters * width
    )
    table = shape.num_embedding_parameters * width
    return {
        "linear_weights": float(linear),
        "embedding": 0.0 if config.memory.embedding_on_cpu else float(table),
        "lm_head": _head_bytes(config, shape, table),
        "norms_and_biases": float(shape.num_other_parameters * width),
        **adapter_terms(config, shape),
        "cuda_context": config.memory.context_gib * GIB if place.is_gpu else 0.0,
    }


def _head_bytes(config: TrainConfig, shape: Architecture, table: int) -> float:
    """Return the head's bytes; a tied one is the embedding, unless that has moved away."""
    if config.quantization.head:
        tile = config.memory.vocabulary_tile_tokens
        return float(nf4_head_bytes(shape, tile, config.quantization.double_quant))
    shared = shape.tie_word_embeddings and not config.memory.embedding_on_cpu
    return 0.0 if shared else float(table)


def _dequantisation_bytes(config: TrainConfig, shape: Architecture, width: int) -> float:
    if config.quantization.kind is not QuantizationKind.nf4:
        return 0.0
    largest = max(rows * cols for rows, cols in shape.linear_shapes().values())
    return largest * width + largest / NF4_BLOCK * FP32_BYTES


def _logits_bytes(
    config: TrainConfig, shape: Architecture, num_tokens: int, place: Placement, train: bool
) -> float:
    """Return one tile of logits, and what the loss holds for every labelled position."""
    labelled = int(num_tokens * LABEL_SHARE)
    tile = min(config.memory.vocabulary_tile_tokens, shape.vocab_size)
    width, hidden = place.width, shape.hidden_size
    cast = 0 if width == FP32_BYTES else width  # the 16-bit form beside the fp32 one
    logits = min(labelled, ROWS_AT_A_TIME) * tile * (FP32_BYTES + cast)
    weights = tile * hidden * width if config.quantization.head else 0
    kept = labelled * hidden * width  # the selected hidden states
    if train:  # their gradient in fp32, and the targets' rows
        kept += labelled * hidden * (FP32_BYTES + width)
    return float(logits + weights + kept)


def _layers(config: TrainConfig, shape: Architecture, place: Placement) -> tuple[LayerCost, int]:
    adapter_is_fp32 = config.lora.dtype is Dtype.fp32
    arithmetic = Arithmetic(
        place.width, place.is_gpu, is_autocast=adapter_is_fp32 and place.width != FP32_BYTES
    )
    cost = layer_cost(config.lora, shape, arithmetic)
    return cost, config.memory.num_checkpointed(shape.num_layers)


def _step_terms(config: TrainConfig, shape: Architecture, tokens: int, place: Placement) -> Terms:
    """Return what the training step holds at its peak: in a layer's backward, or in the loss."""
    cost, checkpointed = _layers(config, shape, place)
    width = place.width
    one_input = float(tokens * shape.hidden_size * width)
    inputs_here = checkpointed
    if config.memory.offload_checkpoints and place.is_gpu:
        inputs_here = min(checkpointed, OFFLOAD_BUFFERS)
    rest = shape.num_layers - checkpointed
    kept = {
        "checkpoints": inputs_here * one_input,
        "kept_activations": rest * (cost.kept(tokens) + one_input),
        "final_norm": float(tokens * (shape.hidden_size * FP32_BYTES + FP32_BYTES)),
    }
    recomputed = cost.kept(tokens) if checkpointed else 0.0
    backward = {
        "layer_activations": recomputed,
        "layer_gradients": cost.backward * tokens,
        "dequantisation": _dequantisation_bytes(config, shape, width),
        "logits": 0.0,
    }
    logits = _logits_bytes(config, shape, tokens, place, train=True)
    loss = {**dict.fromkeys(backward, 0.0), "logits": logits}
    larger = backward if sum(backward.values()) >= logits else loss
    return {**kept, **larger}


def _validation_terms(
    config: TrainConfig, shape: Architecture, tokens: int, place: Placement
) -> Terms:
    """Return what the validation step holds at its peak: in a layer, or in the loss."""
    cost, _checkpointed = _layers(config, shape, place)
    layer = {
        "layer_activations": cost.forward * tokens,
        "dequantisation": _dequantisation_bytes(config, shape, place.width),
    }
    logits = _logits_bytes(config, shape, tokens, place, train=False)
    return layer if sum(layer.values()) >= logits else {"logits": logits}


def with_slack(terms: Terms, place: Placement) -> Terms:
    """Add what the CUDA allocator holds beside the terms of a step (bytes); none on a CPU."""
    if not place.is_gpu:
        return terms
    slack = ALLOCATOR_SHARE * sum(terms.values()) + ALLOCATOR_GIB * GIB
    return {**terms, "allocator_slack": slack}


def _host_terms(config: TrainConfig, shape: Architecture, tokens: int, place: Placement) -> Terms:
    """Return what a training on a GPU takes of the CPU's memory."""
    if not place.is_gpu:
        return {"process": PROCESS_GIB * GIB}
    checkpoints = config.memory.num_checkpointed(shape.num_layers)
    one_input = tokens * shape.hidden_size * place.width
    offloaded = checkpoints * one_input if config.memory.offload_checkpoints else 0
    table = shape.num_embedding_parameters * place.width
    return {
        "process": PROCESS_GIB * GIB,
        "embedding": float(table if config.memory.embedding_on_cpu else 0),
        "offloaded_checkpoints": float(offloaded),
    }


def gib(terms: Terms) -> dict[str, float]:
    """Return terms in GiB."""
    return {name: value / GIB for name, value in terms.items()}


def plan_json(
    plan: MemoryPlan, plain: MemoryPlan, changes: list[dict[str, Any]], measured: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``plan.json``."""
    return {
        "fits": plan.fits,
        "usable_gib": plan.usable_gib,
        "peak_gib": plan.peak_gib,
        "terms_gib": gib(plan.terms),
        "phases": {
            "training_gib": plan.peak_gib,
            "validation_gib": plan.validation_gib,
            "merge_host_gib": sum(plan.merge.values()) / GIB,
            "serving_gib": sum(plan.serving.values()) / GIB,
            "host_gib": sum(plan.host.values()) / GIB,
        },
        "validation_terms_gib": gib({**plan.static, **plan.validation}),
        "serving_terms_gib": gib(plan.serving),
        "host_terms_gib": gib(plan.host),
        "changes": changes,
        "plain": {
            "fits": plain.fits,
            "peak_gib": plain.peak_gib,
            "terms_gib": gib(plain.terms),
        },
        "measured": measured,
    }
