"""What a decoder layer keeps for its backward pass, and what forward and backward need at once.

Symbols: T tokens of a forward pass, H hidden, I intermediate, Q and K query and key width, r rank.
The lists below name what autograd saves in a layer of the Llama kind with NF4 projections: an NF4
projection keeps nothing of its input (its weight is frozen), an adapter keeps its input and the
r-wide product, a norm keeps its input in fp32, attention keeps query, key, value and its output.
Tests compare the lists with saved-tensor hooks.
"""

from dataclasses import dataclass

from evqa.architectures import ATTENTION_MODULES, MLP_MODULES, Architecture, target_modules
from evqa.config.model import Family, LoraConfig

FP32_BYTES = 4
QKV = ATTENTION_MODULES[:3]
GATE_UP = MLP_MODULES[:2]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How numbers are stored during a step.

    Attributes:
        width: Bytes of an element of the arithmetic type.
        is_gpu: Whether the step runs on a GPU.
        is_autocast: Whether an fp32 adapter is cast to a 16-bit type at each use.
    """

    width: int
    is_gpu: bool
    is_autocast: bool

    @property
    def mask_width(self) -> int:
        """Bytes of an element of a dropout mask: a bool on a GPU, a factor on a CPU."""
        if self.is_gpu:
            return 1
        return FP32_BYTES if self.is_autocast else self.width

    @property
    def shares_inputs(self) -> bool:
        """Whether adapters with the same input keep it once (peft casts it anew on a CPU)."""
        return self.is_gpu or not self.is_autocast


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Bytes of one layer.

    Attributes:
        saved: Kept from forward to backward a token, the input of the layer not counted.
        constant: Kept from forward to backward whatever the number of tokens.
        forward: Held at most at once in a forward pass without gradients, a token.
        backward: Held at most on top of ``saved`` while gradients are made, a token.
    """

    saved: float
    constant: float
    forward: float
    backward: float

    def kept(self, num_tokens: int) -> float:
        """Return the bytes kept for the backward pass of so many tokens."""
        return self.saved * num_tokens + self.constant


def layer_cost(lora: LoraConfig, shape: Architecture, arithmetic: Arithmetic) -> LayerCost:
    """Return what one layer costs.

    Args:
        lora: Which projections carry an adapter, its rank and dropout.
        shape: The model's numbers.
        arithmetic: Type and device.
    """
    width = arithmetic.width
    hidden, inner = shape.hidden_size, shape.intermediate_size
    query = shape.num_attention_heads * shape.head_dim
    key = shape.num_key_value_heads * shape.head_dim
    saved = (
        _norms(shape, width)
        + _adapters(lora, shape, arithmetic)
        + _attention(shape, arithmetic)
        + 3 * inner * width  # gate, its activation, up
    )
    forward = (2 * hidden + max(3 * query + 2 * key, 3 * inner)) * width
    # Gradients of the MLP's three inner tensors and of its input, beside what is saved.
    backward = (3 * inner + 3 * hidden) * width
    constant = _constant(lora, shape, arithmetic)
    return LayerCost(float(saved), float(constant), float(forward), float(backward))


def _norms(shape: Architecture, width: int) -> float:
    """Two norms: the input in fp32 (in fp32 training that is the residual itself), its scale."""
    in_fp32 = shape.hidden_size * FP32_BYTES
    total = 2 * (in_fp32 + FP32_BYTES)
    if width == FP32_BYTES:
        total -= in_fp32  # the first norm's input is the layer's, counted as its checkpoint
    if shape.family is Family.qwen3:
        heads = shape.num_attention_heads + shape.num_key_value_heads
        total += heads * (shape.head_dim * FP32_BYTES + FP32_BYTES)
    return float(total)


def _adapters(lora: LoraConfig, shape: Architecture, arithmetic: Arithmetic) -> float:
    """Inputs of the adapted projections (shared where two have the same) and r-wide products."""
    shapes = shape.linear_shapes()
    adapted = set(target_modules(lora.targets, lora.target_modules))
    width = arithmetic.width
    total = 0.0
    for group in (QKV, ("o_proj",), GATE_UP, ("down_proj",)):
        here = [name for name in group if name in adapted]
        if not here:
            continue
        inputs = shapes[here[0]][0]
        if lora.dropout:  # gives each adapter an input of its own, and keeps its mask
            total += len(here) * inputs * (width + arithmetic.mask_width)
        else:
            total += (1 if arithmetic.shares_inputs else len(here)) * inputs * width
        total += len(here) * lora.r * width
        if lora.use_dora:  # the base's and the adapter's output are scaled
            total += sum(2 * shapes[name][1] for name in here) * width
    return total


def _constant(lora: LoraConfig, shape: Architecture, arithmetic: Arithmetic) -> float:
    """The adapter in the 16-bit type; what DoRA keeps to find B·A (it applies it to a unit)."""
    shapes = shape.linear_shapes()
    total = 0.0
    for name in target_modules(lora.targets, lora.target_modules):
        inputs, outputs = shapes[name]
        if arithmetic.is_autocast:
            total += lora.r * (inputs + outputs) * arithmetic.width
        if lora.use_dora:
            total += (inputs * inputs + inputs * lora.r) * arithmetic.width
            total += 4 * outputs * FP32_BYTES  # norms and magnitudes
    return total


def _attention(shape: Architecture, arithmetic: Arithmetic) -> float:
    """Query, key, value, output; and the log of the sums, fp32 a head.

    On a CPU key and value are repeated to the query heads, on a GPU the kernel does it.
    """
    query = shape.num_attention_heads * shape.head_dim
    key = shape.num_key_value_heads * shape.head_dim if arithmetic.is_gpu else query
    elements = 2 * query + 2 * key
    return float(elements * arithmetic.width + shape.num_attention_heads * FP32_BYTES)
