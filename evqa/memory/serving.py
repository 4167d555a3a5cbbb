"""What a version takes behind vLLM, by how its linear layers are stored, and whether it fits.

Embedding and head stay in bf16 in all forms (see `evqa.export.quantize`), which keeps an 8B
model of 128,256 words out of 6 GiB: they alone take 1.96 GiB.
"""

from dataclasses import dataclass

from evqa.architectures import Architecture
from evqa.config.serving import ExportQuantization
from evqa.errors import GateError
from evqa.memory.phases import ENGINE_GIB, kv_cache_bytes
from evqa.memory.terms import GIB

BF16_BYTES = 2
INT4_GROUP = 128  # weights a bf16 scale
CONTEXT_GIB = 0.5  # of a card's nominal size, held by the driver


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """GiB behind the engine.

    Attributes:
        weights_gib: As the version stores them.
        kv_cache_gib: Keys and values of one request of full length: without them nothing runs.
        engine_gib: Sampler, activations of a step, graphs.
        budget_gib: What may be taken, the driver's context deducted; null for no limit.
    """

    weights_gib: float
    kv_cache_gib: float
    engine_gib: float
    budget_gib: float | None

    @property
    def peak_gib(self) -> float:
        """The sum of the terms."""
        return self.weights_gib + self.kv_cache_gib + self.engine_gib

    @property
    def fits(self) -> bool:
        """Whether one request of full length can be answered."""
        return self.budget_gib is None or self.peak_gib <= self.budget_gib

    @property
    def spare_kv_gib(self) -> float | None:
        """What is left for keys and values of further requests; null without a budget."""
        if self.budget_gib is None:
            return None
        return self.budget_gib - self.weights_gib - self.engine_gib


def weight_bytes(shape: Architecture, quantization: ExportQuantization) -> float:
    """Return the bytes of a version's weights."""
    linears = shape.num_linear_parameters
    rest = shape.num_parameters - linears
    if quantization is ExportQuantization.none:
        return float(BF16_BYTES * (linears + rest))
    if quantization is ExportQuantization.fp8:
        rows = shape.num_layers * sum(out for _, out in shape.linear_shapes().values())
        return float(linears + BF16_BYTES * (rows + rest))
    return linears * (0.5 + BF16_BYTES / INT4_GROUP) + BF16_BYTES * rest


def plan_serving(
    shape: Architecture, stored_bytes: float, context_tokens: int, card_gib: float | None
) -> ServingPlan:
    """Return what serving takes.

    Args:
        shape: The model's numbers.
        stored_bytes: Of the weights: a version's files, or `weight_bytes`.
        context_tokens: Longest prompt and answer together.
        card_gib: Nominal size of the card; null for no limit.
    """
    return ServingPlan(
        weights_gib=stored_bytes / GIB,
        kv_cache_gib=kv_cache_bytes(shape, context_tokens) / GIB,
        engine_gib=ENGINE_GIB,
        budget_gib=None if card_gib is None else card_gib - CONTEXT_GIB,
    )


def fitting_forms(shape: Architecture, context_tokens: int, card_gib: float) -> list[str]:
    """Return the values of ``export.quantization`` with which a version fits, best first."""
    forms = (ExportQuantization.none, ExportQuantization.fp8, ExportQuantization.w4a16)
    return [
        form.value
        for form in forms
        if plan_serving(shape, weight_bytes(shape, form), context_tokens, card_gib).fits
    ]


def require_serving_fit(
    plan: ServingPlan, shape: Architecture, context_tokens: int, card_gib: float
) -> None:
    """Refuse to start an engine that cannot answer one request.

    Raises:
        GateError: with what would fit.
    """
    if plan.fits:
        return
    forms = fitting_forms(shape, context_tokens, card_gib)
    change = (
        f"release it with export.quantization={' or '.join(forms)}"
        if forms
        else "no form of it fits: use a smaller model, a larger card, vLLM's CPU offload "
        "(server.vllm_args=[--cpu-offload-gb,2]), or llama.cpp with export.gguf=q8_0 as an "
        "external engine"
    )
    raise GateError(
        f"server.memory_gib={card_gib:g}: serving takes {plan.peak_gib:.2f} GiB (weights "
        f"{plan.weights_gib:.2f}, keys and values of {context_tokens} tokens "
        f"{plan.kv_cache_gib:.2f}, engine {plan.engine_gib:.2f}), usable are "
        f"{plan.budget_gib:.2f}; {change}"
    )
