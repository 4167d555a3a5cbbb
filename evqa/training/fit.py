"""One training: trainer, callbacks, checkpoints, and the adapter folder at its end."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from evqa.config.jobs import TrainConfig
from evqa.config.model import Dtype
from evqa.config.training import AdapterFrom, Precision, TrainerConfig
from evqa.data.datamodule import QADataModule
from evqa.data.dataset import Samples
from evqa.files import atomic_folder
from evqa.models.attention import attention_within_samples
from evqa.models.initialise import Start, difference_to_start
from evqa.tracking import Tracker
from evqa.training.callbacks import GracefulStop, RandomState, StepProgress
from evqa.training.checkpointing import apply_checkpointing
from evqa.training.checkpoints import (
    LAST,
    AtomicCheckpointIO,
    best_checkpoints,
    check_disk,
    last_checkpoint,
    read_checkpoint,
)
from evqa.training.module import VALIDATION_LOSS, QLoRAModule
from evqa.training.out_of_memory import (
    SaveOnOutOfMemory,
    halve,
    is_out_of_memory,
    restored_plan,
)
from evqa.training.recorder import FlightRecorder
from evqa.training.strategy import build_strategy, is_follower

LIGHTNING_PRECISION = {
    torch.float32: "32-true",
    torch.bfloat16: "bf16-mixed",
    torch.float16: "16-mixed",  # with loss scaling, for cards without bf16
}
CONFIG_DTYPES = {
    Precision.fp32: torch.float32,
    Precision.bf16: torch.bfloat16,
    Precision.fp16: torch.float16,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What a training ended with.

    Attributes:
        checkpoint: The one that the adapter folder holds.
        validation_loss: Of that checkpoint, nats a token; None without validation documents.
        tokens_per_s: Real tokens (no padding) a second of training.
        peak_memory_gib: Reserved on a GPU, resident on a CPU.
        micro_batch_size: Of the last step; smaller than asked for when memory ran out.
    """

    checkpoint: Path
    num_steps: int
    validation_loss: float | None
    seconds: float
    tokens_per_s: float
    peak_memory_gib: float
    micro_batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a training works on.

    Attributes:
        config: The run's config.
        model: A peft model with a fresh adapter.
        tokenizer: Saved beside the adapter, with the training system prompt in its template.
        samples: What to train and validate on.
        folder: The run folder.
        tracker: Gets every figure.
        start: Where the adapter started from, with lora.init=pissa or loftq.
        extra_callbacks: More to watch the training with (a sweep's pruning).
    """

    config: TrainConfig
    model: Any
    tokenizer: Any
    samples: Samples
    folder: Path
    tracker: Tracker
    start: Start | None = None
    extra_callbacks: tuple[Callback, ...] = ()


def fit(
    config: TrainConfig,
    model: Any,
    tokenizer: Any,
    samples: Samples,
    folder: Path,
    tracker: Tracker,
    **more: Any,
) -> FitResult:
    """Train the adapter and write ``checkpoints/``, ``steps.jsonl`` and ``adapter/``.

    A ``checkpoints/last.ckpt`` in the folder is gone on from. The arguments are those of
    `Training`.

    Raises:
        InterruptedRunError: a signal came; the last step is in ``last.ckpt``.
        UserError: the loss became NaN.
        MemoryExhaustedError: memory ran out, and the micro-batch cannot or must not be halved.
        DiskFullError: checkpoints would not find room.
    """
    task = Training(
        config=config, model=model, tokenizer=tokenizer, samples=samples, folder=folder,
        tracker=tracker, **more,
    )  # fmt: skip
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    check_disk(folder, trainable, config.callbacks)
    restored_plan(folder, config.trainer)
    base = model.get_base_model()
    apply_checkpointing(base, config.memory)
    with attention_within_samples(base):
        while True:
            try:
                return _attempt(task)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                halve(config, model, folder, error)


def _attempt(task: Training) -> FitResult:
    config, folder, samples = task.config, task.folder, task.samples
    num_steps = count_steps(config.trainer, samples.num_train)
    module = QLoRAModule(
        task.model,
        config.optimizer,
        config.lr_scheduler,
        num_steps,
        config.memory.vocabulary_tile_tokens,
        folder,
    )
    has_validation = len(samples.validation) > 0
    recorder = FlightRecorder(folder, task.tracker, config.callbacks)
    others = [*_callbacks(config, folder, has_validation), *task.extra_callbacks]
    trainer = build_trainer(config, folder, [recorder, *others], task.model)
    data = QADataModule(
        samples,
        config.trainer,
        task.tokenizer.pad_token_id,
        config.seed,
        config.model.max_length_tokens,
    )
    last = folder / "checkpoints" / LAST
    started = time.perf_counter()
    with _known_warnings():
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None)
        trainer.save_checkpoint(last)
        if has_validation and VALIDATION_LOSS not in trainer.callback_metrics:
            # max_steps ended the run inside an epoch, before its first validation.
            trainer.validate(module, data, verbose=False)
    chosen, loss = _chosen(config, folder, trainer)
    module.load_trainable(read_checkpoint(chosen)["state_dict"])
    if trainer.is_global_zero:
        save_adapter(task.model, task.tokenizer, folder / "adapter", task.start)
    return FitResult(
        checkpoint=chosen,
        num_steps=trainer.global_step,
        validation_loss=loss,
        seconds=time.perf_counter() - started,
        tokens_per_s=recorder.tokens_per_s,
        peak_memory_gib=recorder.peak_gib,
        micro_batch_size=config.trainer.micro_batch_size,
    )


def _chosen(
    config: TrainConfig, folder: Path, trainer: lightning.Trainer
) -> tuple[Path, float | None]:
    """Return the checkpoint that becomes the adapter, and its validation loss."""
    if config.callbacks.adapter_from is AdapterFrom.best:
        for callback in trainer.checkpoint_callbacks:
            path = Path(getattr(callback, "best_model_path", ""))
            score = getattr(callback, "best_model_score", None)
            if score is not None and path.is_file():
                return path, float(score)
    loss = trainer.callback_metrics.get(VALIDATION_LOSS)
    return folder / "checkpoints" / LAST, None if loss is None else float(loss)


def count_steps(trainer: TrainerConfig, num_samples: int) -> int:
    """Return the optimiser steps of a whole run."""
    steps = trainer.num_epochs * -(-num_samples // trainer.effective_batch_size)
    return min(steps, trainer.max_steps) if trainer.max_steps > 0 else steps


def build_trainer(
    config: TrainConfig, folder: Path, callbacks: list[Callback], model: Any = None
) -> lightning.Trainer:
    """Return Lightning's trainer for a config; ``model`` is needed for strategy=fsdp only."""
    plan = config.trainer
    # Lightning sets its own level when it is imported.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return lightning.Trainer(
        accelerator=plan.accelerator,
        devices=plan.devices,
        num_nodes=plan.num_nodes,
        strategy=build_strategy(plan, model),
        precision=pick_precision(config),
        max_epochs=plan.num_epochs,
        max_steps=plan.max_steps,
        accumulate_grad_batches=plan.accumulation,
        gradient_clip_val=plan.gradient_clip_norm or None,
        check_val_every_n_epoch=plan.validate_every_n_epochs,
        num_sanity_val_steps=0,
        deterministic="warn" if plan.deterministic else False,
        use_distributed_sampler=False,  # the loader gives each device its share
        logger=False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
    )


def pick_precision(config: TrainConfig) -> Any:
    """Return Lightning's precision: that of the model on its device.

    A bf16 adapter on a bf16 base needs no autocast: everything has that type already.
    """
    from evqa.models.load import pick_device, pick_dtype

    if config.trainer.precision is not Precision.auto:
        return LIGHTNING_PRECISION[CONFIG_DTYPES[config.trainer.precision]]
    dtype = pick_dtype(config.model.dtype, pick_device(config.trainer.accelerator))
    if dtype is torch.bfloat16 and config.lora.dtype is Dtype.bf16:
        return "32-true"
    return LIGHTNING_PRECISION[dtype]


def _callbacks(config: TrainConfig, folder: Path, has_validation: bool) -> list[Callback]:
    checkpoints = folder / "checkpoints"
    last = last_checkpoint(checkpoints, config.callbacks.checkpoint_every_n_steps)
    hint = f"go on with: python train.py 'resume=\"{folder}\"'"
    stop = GracefulStop(checkpoints / LAST, hint)
    chosen: list[Callback] = [RandomState(), last, stop, SaveOnOutOfMemory(checkpoints / LAST)]
    if has_validation:
        chosen.append(best_checkpoints(checkpoints, config.callbacks.keep_best_checkpoints))
        if config.callbacks.early_stopping_patience:
            patience = config.callbacks.early_stopping_patience
            chosen.append(EarlyStopping(VALIDATION_LOSS, patience=patience))
    if config.callbacks.progress_bar and not is_follower():
        chosen.append(StepProgress())
    return chosen


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Silence the advice of Lightning that does not fit here, and nothing else."""
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",
            ".*Found .* module.s. in eval mode.*",
            ".*Checkpoint directory .* exists and is not empty.*",
            ".*You're resuming from a checkpoint that ended before the epoch ended.*",
            ".*GPU available but not used.*",
            ".*isinstance.treespec, LeafSpec.. is deprecated.*",
            ".*is_gradient_checkpointing. is deprecated.*",
            ".*Total length of .list. across ranks is zero.*",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield


def save_adapter(model: Any, tokenizer: Any, folder: Path, start: Start | None = None) -> None:
    """Write the adapter in peft's format with its tokenizer and chat template, atomically."""
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
        if start:
            _save_difference(model, temporary, start)
        tokenizer.save_pretrained(temporary)


def _save_difference(model: Any, folder: Path, start: Start) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    tensors, peft_config = difference_to_start(
        load_file(file), model.peft_config[model.active_adapter], start
    )
    save_file(tensors, file, metadata={"format": "pt"})
    peft_config.save_pretrained(folder)
