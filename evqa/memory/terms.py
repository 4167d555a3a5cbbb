"""Bytes of weights, adapter, gradients and optimiser states: exact, tensor by tensor.

NF4 stores 4 bits a weight plus one scale a block of 64; double quantisation stores the scales in 8
bits plus one fp32 a block of 256 and one offset (https://arxiv.org/abs/2305.14314, §3). The 16
values of the code book come on top, once a matrix. Optimisers that keep 8-bit states do so for
tensors of 4096 elements and more, with one fp32 a block of 256 (https://arxiv.org/abs/2110.02861).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from evqa.architectures import Architecture, target_modules
from evqa.config.jobs import TrainConfig
from evqa.config.model import Dtype, LoraBias, LoraConfig

GIB = 2**30
NF4_BLOCK = 64
NESTED_BLOCK = 256
CODE_BOOK_BYTES = 16 * 4
OFFSET_BYTES = 4
FP32_BYTES = 4
STEP_BYTES = 4  # AdamW's step count, a tensor of its own for each parameter
MIN_8BIT_ELEMENTS = 4096
DTYPE_BYTES = {Dtype.bf16: 2, Dtype.fp16: 2, Dtype.fp32: 4}
BIASED_MODULES = ("q_proj", "k_proj", "v_proj")


def nf4_bytes(num_weights: int, double_quant: bool) -> int:
    """Return the bytes that NF4 takes for one matrix of so many weights, scales included."""
    packed = -(-num_weights // 2)
    blocks = -(-num_weights // NF4_BLOCK)
    if not double_quant:
        return packed + blocks * FP32_BYTES + CODE_BOOK_BYTES
    nested = -(-blocks // NESTED_BLOCK)
    return packed + blocks + nested * FP32_BYTES + OFFSET_BYTES + CODE_BOOK_BYTES


def nf4_linear_bytes(shape: Architecture, double_quant: bool) -> int:
    """Return the bytes of all projections of all layers in NF4."""
    matrices = shape.linear_shapes().values()
    return shape.num_layers * sum(nf4_bytes(rows * cols, double_quant) for rows, cols in matrices)


def nf4_head_bytes(shape: Architecture, tile_tokens: int, double_quant: bool) -> int:
    """Return the bytes of lm_head in NF4 tiles of ``tile_tokens`` words."""
    full, rest = divmod(shape.vocab_size, tile_tokens)
    tiles = [tile_tokens] * full + ([rest] if rest else [])
    return sum(nf4_bytes(words * shape.hidden_size, double_quant) for words in tiles)


@dataclass(frozen=True, slots=True)
class Trained:
    """The trained tensors of one layer: their numbers of elements."""

    matrices: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        """Elements of all of them."""
        return sum(self.matrices)


def trained_tensors(lora: LoraConfig, shape: Architecture) -> Trained:
    """Return the tensors that are trained in one layer: A, B, magnitudes, biases."""
    return Trained(tuple(_trained(lora, shape)))


def _trained(lora: LoraConfig, shape: Architecture) -> Iterator[int]:
    shapes = shape.linear_shapes()
    adapted = [n for n in target_modules(lora.targets, lora.target_modules) if n in shapes]
    for name in adapted:
        inputs, outputs = shapes[name]
        yield lora.r * inputs
        yield lora.r * outputs
        if lora.use_dora:
            yield outputs
    if lora.bias is LoraBias.none or not shape.attention_bias:
        return
    for name in BIASED_MODULES:
        if lora.bias is LoraBias.all or name in adapted:
            yield shapes[name][1]


def optimizer_state_bytes(target: str, num_elements: int, width: int) -> int:
    """Return the states that an optimiser keeps for one tensor.

    Args:
        target: The optimiser's class, ``optimizer._target_``.
        num_elements: Of the tensor.
        width: Bytes of one of its elements.
    """
    num_states = 1 if "Lion" in target else 2
    if "8bit" not in target:
        return num_states * num_elements * width + STEP_BYTES
    if num_elements < MIN_8BIT_ELEMENTS:
        return num_states * num_elements * FP32_BYTES
    return num_states * (num_elements + -(-num_elements // NESTED_BLOCK) * FP32_BYTES)


def adapter_terms(config: TrainConfig, shape: Architecture) -> dict[str, float]:
    """Return weights, gradients and optimiser states of what is trained, bytes."""
    layer = trained_tensors(config.lora, shape)
    width = DTYPE_BYTES[config.lora.dtype]
    weights = shape.num_layers * layer.num_elements * width
    target = config.optimizer._target_
    states = sum(optimizer_state_bytes(target, count, width) for count in layer.matrices)
    return {
        "lora_weights": float(weights),
        "lora_gradients": float(weights),
        "optimizer_states": float(shape.num_layers * states),
    }
