"""Structured configs of the model: architecture, loading, quantisation, LoRA."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from evqa.config.fields import group, number, setting


class Family(StrEnum):
    """Model families whose shapes and module names evqa knows."""

    llama = "llama"
    mistral = "mistral"
    qwen2 = "qwen2"
    qwen3 = "qwen3"
    gemma = "gemma"


class Dtype(StrEnum):
    """Arithmetic type. auto: bf16 where the GPU has it, else fp16; fp32 on CPU."""

    auto = "auto"
    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"


class Attention(StrEnum):
    """Attention implementation, by transformers' names."""

    sdpa = "sdpa"
    eager = "eager"
    flash_attention_2 = "flash_attention_2"


@dataclass(kw_only=True, slots=True)
class ArchitectureConfig:
    """The numbers of a decoder-only transformer, as in a Hugging Face config.json."""

    family: Family = setting(Family.llama, "model family")
    num_layers: int = number(4, ge=1, le=1000, doc="decoder layers")
    hidden_size: int = number(192, ge=8, le=65536, doc="width of the residual stream")
    intermediate_size: int = number(512, ge=8, le=262144, doc="width of the MLP")
    num_attention_heads: int = number(4, ge=1, le=1024, doc="query heads")
    num_key_value_heads: int = number(2, ge=1, le=1024, doc="key and value heads (GQA)")
    head_dim: int = number(48, ge=1, le=1024, doc="width of one head")
    vocab_size: int = number(4096, ge=64, le=2_000_000, doc="tokens in the vocabulary")
    tie_word_embeddings: bool = setting(True, "lm_head shares the embedding's weights")
    attention_bias: bool = setting(False, "query, key and value projections have a bias")
    max_position_embeddings: int = number(1024, ge=16, doc="longest context, tokens")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield numbers that contradict each other."""
        if self.num_attention_heads % self.num_key_value_heads:
            yield (
                "num_key_value_heads",
                f"must divide num_attention_heads={self.num_attention_heads}, "
                f"but got {self.num_key_value_heads}",
            )


@dataclass(kw_only=True, slots=True)
class PretrainConfig:
    """Making a small base model from the training documents (model=tiny)."""

    enabled: bool = setting(False, "build the base model instead of loading one")
    num_epochs: int = number(8, ge=0, le=1000, doc="passes over the training documents")
    lr: float = number(2e-3, gt=0, lt=1, doc="peak learning rate")
    batch_size: int = number(8, ge=1, le=4096, doc="sequences a step")
    sequence_tokens: int = number(128, ge=8, le=8192, doc="tokens a sequence")
    seed: int = number(0, ge=0, doc="seed of the base model (not of the fine-tuning)")


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """The base model."""

    name: str = setting("model", "short name")
    path: str | None = setting(None, "hub id, or a local folder in Hugging Face format")
    revision: str | None = setting(None, "hub revision: branch, tag or commit")
    license: str | None = setting(None, "licence of the weights")
    gated: bool = setting(False, "the hub asks to accept a licence and for a token")
    token_env: str = setting("HF_TOKEN", "NAME of the variable that holds the hub token")
    download_gib: float = number(0.0, ge=0, doc="what a download takes, GiB")
    architecture: ArchitectureConfig = group(ArchitectureConfig, "its numbers, for the planner")
    max_length_tokens: int = number(1024, ge=16, le=1_048_576, doc="longest sample, tokens")
    dtype: Dtype = setting(Dtype.auto, "arithmetic type")
    attention: Attention = setting(Attention.sdpa, "attention implementation")
    system_prompt: str = setting(
        "You are a helpful assistant.", "said first in training, evaluation and serving alike"
    )
    pretrain: PretrainConfig = group(PretrainConfig, "how to build it, for model=tiny")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if not self.path and not self.pretrain.enabled:
            yield "path", "must be a hub id or a local folder (only model=tiny builds its own)"
        if self.max_length_tokens > self.architecture.max_position_embeddings:
            yield (
                "max_length_tokens",
                f"must be <= architecture.max_position_embeddings="
                f"{self.architecture.max_position_embeddings}, but got {self.max_length_tokens}",
            )


class QuantizationKind(StrEnum):
    """How the frozen base weights are stored."""

    nf4 = "nf4"
    none = "none"


@dataclass(kw_only=True, slots=True)
class QuantizationConfig:
    """4-bit storage of the frozen base (QLoRA, https://arxiv.org/abs/2305.14314)."""

    kind: QuantizationKind = setting(QuantizationKind.nf4, "nf4: 4-bit NormalFloat; none: as is")
    double_quant: bool = setting(True, "quantise the block scales too (4.127 bits a parameter)")
    head: bool = setting(
        False, "keep lm_head in NF4 too, dequantised one vocabulary tile at a time"
    )
    cache_min_gib: float = number(
        0.5, ge=0, le=1024, doc="keep the quantised base on disk when its weights take this, GiB"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.head and self.kind is QuantizationKind.none:
            yield "head", "needs quantization.kind=nf4"


class LoraTargets(StrEnum):
    """Which linear layers get an adapter."""

    all_linear = "all_linear"
    attention = "attention"
    mlp = "mlp"
    qv = "qv"


class LoraBias(StrEnum):
    """Which biases are trained."""

    none = "none"
    all = "all"
    lora_only = "lora_only"


class LoraInit(StrEnum):
    """How the adapter starts. The adapter folder holds a plain LoRA for the original base in each.

    default: A is drawn, B is zero. pissa: A and B are the base weights' largest singular vectors
    (https://arxiv.org/abs/2404.02948). loftq: A and B mend the quantisation error
    (https://arxiv.org/abs/2310.08659). Both are saved as the difference to their start, which has
    rank 2r.
    """

    default = "default"
    pissa = "pissa"
    loftq = "loftq"


@dataclass(kw_only=True, slots=True)
class LoraConfig:
    """The adapter (LoRA, https://arxiv.org/abs/2106.09685)."""

    r: int = number(16, ge=1, le=1024, doc="rank")
    alpha: float = number(32.0, gt=0, le=4096, doc="scaling numerator: alpha / r")
    dropout: float = number(0.05, ge=0, lt=1, doc="dropout on the adapter's input")
    targets: LoraTargets = setting(LoraTargets.all_linear, "which linear layers, by role")
    target_modules: list[str] = setting([], "module names, instead of targets")
    use_rslora: bool = setting(
        False, "scale by alpha / sqrt(r) (https://arxiv.org/abs/2312.03732)"
    )
    use_dora: bool = setting(
        False, "weight-decomposed LoRA (https://arxiv.org/abs/2402.09353); must be merged to serve"
    )
    bias: LoraBias = setting(LoraBias.none, "which biases are trained")
    init: LoraInit = setting(LoraInit.default, "how the adapter's matrices start")
    dtype: Dtype = setting(
        Dtype.fp32, "storage of the adapter; bf16 halves weights, gradients and optimiser states"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.init is not LoraInit.default and self.use_dora:
            yield "init", f"must be default with lora.use_dora=true, but got {self.init}"
        if self.init is not LoraInit.default and self.bias is not LoraBias.none:
            yield "init", f"must be default with lora.bias={self.bias}, but got {self.init}"
        if self.dtype in (Dtype.auto, Dtype.fp16):
            yield "dtype", f"must be fp32 or bf16, but got {self.dtype}"
