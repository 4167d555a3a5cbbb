"""Structured configs of training: optimiser, schedule, trainer, memory, loggers, callbacks."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from omegaconf import MISSING

from evqa.config.fields import number, setting


@dataclass(kw_only=True, slots=True)
class OptimizerConfig:
    """A third-party optimiser, built from ``_target_`` with the other keys as arguments."""

    _target_: str = setting(MISSING, "class of the optimiser; optimizer= sets it")
    lr: float = number(2e-4, gt=0, lt=10, doc="peak learning rate")
    weight_decay: float = number(0.0, ge=0, lt=10, doc="decoupled weight decay")
    betas: list[float] = setting([0.9, 0.999], "decay rates of the moments")
    lora_plus_ratio: float = number(
        1.0,
        ge=1,
        le=1000,
        doc="learning rate of B over that of A (https://arxiv.org/abs/2402.12354)",
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield values that no optimiser takes."""
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            yield "betas", f"must be two numbers >= 0 and < 1, but got {self.betas}"


class Schedule(StrEnum):
    """Shape of the learning rate after warm-up."""

    cosine = "cosine"
    linear = "linear"
    constant = "constant"


@dataclass(kw_only=True, slots=True)
class LrSchedulerConfig:
    """Learning rate over the run."""

    kind: Schedule = setting(Schedule.cosine, "shape after warm-up")
    warmup_fraction: float = number(0.05, ge=0, lt=1, doc="share of the steps spent warming up")


class Precision(StrEnum):
    """Lightning's precision; auto follows model.dtype and the device."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Batching(StrEnum):
    """How samples share a forward pass. All give the same loss.

    padded: drawn at random, filled up to the longest. length_grouped: the same, sorted by length
    inside an optimiser step. padding_free: micro_batch_size samples end to end, attention within
    each sample only. packed: as many samples end to end as micro_batch_size x max_length_tokens
    hold, so that short samples need fewer passes. auto: packed.
    """

    auto = "auto"
    padded = "padded"
    length_grouped = "length_grouped"
    padding_free = "padding_free"
    packed = "packed"


class OnOutOfMemory(StrEnum):
    """What a training does when memory runs out all the same."""

    stop = "stop"
    halve = "halve"


@dataclass(kw_only=True, slots=True)
class TrainerConfig:
    """Lightning's trainer."""

    accelerator: str = setting("auto", "cpu, gpu or auto")
    devices: int = number(1, ge=1, le=1024, doc="devices on this machine")
    num_nodes: int = number(1, ge=1, le=1024, doc="machines that train together")
    strategy: str = setting("auto", "auto, ddp or fsdp")
    precision: Precision = setting(Precision.auto, "arithmetic of the training step")
    num_epochs: int = number(3, ge=1, le=10_000, doc="passes over the training pairs")
    max_steps: int = number(-1, ge=-1, doc="stop after this many optimiser steps (-1: never)")
    effective_batch_size: int = number(16, ge=1, le=65536, doc="samples an optimiser step")
    micro_batch_size: int = number(
        8, ge=0, le=4096, doc="samples a forward pass (0: the most that the memory budget allows)"
    )
    batching: Batching = setting(Batching.auto, "how samples share a forward pass")
    on_out_of_memory: OnOutOfMemory = setting(
        OnOutOfMemory.stop,
        "stop with exit code 3, or halve micro_batch_size and go on from the last step",
    )
    gradient_clip_norm: float = number(1.0, ge=0, doc="largest gradient norm (0: no clipping)")
    validate_every_n_epochs: int = number(1, ge=1, doc="epochs between validations")
    num_threads: int = number(0, ge=0, le=1024, doc="CPU threads (0: PyTorch's choice)")
    deterministic: bool = setting(True, "reproducible operations; those without one warn")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        micro = max(1, self.micro_batch_size)
        if self.effective_batch_size % (micro * self.num_devices):
            yield (
                "effective_batch_size",
                f"must be a multiple of micro_batch_size x devices = {micro} x "
                f"{self.num_devices}, but got {self.effective_batch_size}",
            )
        if self.accelerator not in ("cpu", "gpu", "auto"):
            yield "accelerator", f"must be cpu, gpu or auto, but got {self.accelerator!r}"
        if self.strategy not in ("auto", "ddp", "fsdp"):
            yield "strategy", f"must be auto, ddp or fsdp, but got {self.strategy!r}"
        if self.on_out_of_memory is OnOutOfMemory.halve and self.num_devices > 1:
            yield (
                "on_out_of_memory",
                f"must be stop with {self.num_devices} devices, but got halve",
            )
        if self.strategy == "auto" and self.num_devices > 1:
            yield "strategy", f"must be ddp or fsdp for {self.num_devices} devices, but got auto"

    @property
    def num_devices(self) -> int:
        """Devices of all machines."""
        return self.devices * self.num_nodes

    @property
    def accumulation(self) -> int:
        """Micro-batches an optimiser step, on each device."""
        return self.effective_batch_size // (max(1, self.micro_batch_size) * self.num_devices)


@dataclass(kw_only=True, slots=True)
class MemoryConfig:
    """The memory budget of the device."""

    budget_gib: float | None = number(
        None, gt=0, le=1024, doc="refuse what does not fit in this, GiB (null: no limit)"
    )
    context_gib: float = number(0.5, ge=0, le=8, doc="taken by the CUDA context, GiB")
    gradient_checkpointing: bool = setting(True, "recompute activations in the backward pass")
    checkpointed_share: float = number(
        1.0, ge=0, le=1, doc="share of the layers that are recomputed, counted from the first"
    )
    offload_checkpoints: bool = setting(
        False, "keep what checkpointed layers save in pinned CPU memory"
    )
    embedding_on_cpu: bool = setting(False, "keep the token embedding in CPU memory")
    vocabulary_tile_tokens: int = number(
        8192, ge=64, le=2_000_000, doc="logits exist for so many words of the vocabulary at a time"
    )

    def num_checkpointed(self, num_layers: int) -> int:
        """Return how many layers are recomputed."""
        share = self.checkpointed_share if self.gradient_checkpointing else 0.0
        return round(share * num_layers)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.offload_checkpoints and not self.gradient_checkpointing:
            yield "offload_checkpoints", "needs memory.gradient_checkpointing=true"


class LoggerKind(StrEnum):
    """Where metrics go, beside the run folder."""

    aim = "aim"
    csv = "csv"
    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"
    none = "none"


@dataclass(kw_only=True, slots=True)
class LoggerConfig:
    """The experiment tracker. Logging never fails a run."""

    kind: LoggerKind = setting(LoggerKind.aim, "which tracker")
    experiment: str = setting("evqa", "experiment or project that runs are grouped under")
    tracking_uri: str | None = setting(None, "server of mlflow; null: files in the outputs folder")
    system_interval_s: int = number(10, ge=1, le=3600, doc="seconds between CPU and GPU readings")


class AdapterFrom(StrEnum):
    """Which checkpoint becomes the adapter folder."""

    best = "best"
    last = "last"


@dataclass(kw_only=True, slots=True)
class CallbacksConfig:
    """What watches the training."""

    early_stopping_patience: int = number(
        0, ge=0, doc="validations without improvement before stopping (0: never)"
    )
    checkpoint_every_n_steps: int = number(50, ge=1, doc="steps between 'last' checkpoints")
    adapter_from: AdapterFrom = setting(
        AdapterFrom.best,
        "checkpoint that the adapter is taken from: lowest validation loss, or last",
    )
    keep_best_checkpoints: int = number(
        1, ge=1, le=100, doc="checkpoints of the lowest validation losses that are kept"
    )
    spike_factor: float = number(
        5.0, gt=1, doc="a step's loss over so many times the running mean is reported as a spike"
    )
    log_every_n_steps: int = number(1, ge=1, doc="steps between logged metrics")
    num_sample_answers: int = number(3, ge=0, le=100, doc="answers logged and shown at the end")
    progress_bar: bool = setting(True, "show a progress bar")
