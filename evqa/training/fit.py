"""One training: trainer, callbacks, checkpoints, and the adapter folder at its end."""

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from evqa.config.jobs import TrainConfig
from evqa.config.training import AdapterFrom, Precision, TrainerConfig
from evqa.data.datamodule import QADataModule
from evqa.data.dataset import Samples
from evqa.files import atomic_folder
from evqa.tracking import Tracker
from evqa.training.callbacks import (
    FlightRecorder,
    GracefulStop,
    RandomState,
    StepProgress,
)
from evqa.training.module import VALIDATION_LOSS, QLoRAModule

LAST = "last.ckpt"
BEST = "best.ckpt"
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
        peak_memory_gib: Reserved on a GPU, resident on a CPU.
    """

    checkpoint: Path
    num_steps: int
    validation_loss: float | None
    seconds: float
    peak_memory_gib: float


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, written so that a kill leaves the old one or the new one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside the file, sync, and move into place."""
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as stream:
                torch.save(checkpoint, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, final)  # noqa: PTH105  tests hook it to simulate a crash
        finally:
            temporary.unlink(missing_ok=True)


def fit(
    config: TrainConfig,
    model: Any,
    tokenizer: Any,
    samples: Samples,
    folder: Path,
    tracker: Tracker,
) -> FitResult:
    """Train the adapter and write ``checkpoints/``, ``steps.jsonl`` and ``adapter/``.

    A ``checkpoints/last.ckpt`` in the folder is gone on from.

    Args:
        config: The run's config.
        model: A peft model with a fresh adapter.
        tokenizer: Saved beside the adapter, with the training system prompt in its template.
        samples: What to train and validate on.
        folder: The run folder.
        tracker: Gets every figure.

    Raises:
        InterruptedRunError: a signal came; the last step is in ``last.ckpt``.
        UserError: the loss became NaN.
    """
    if config.memory.gradient_checkpointing:
        model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    num_steps = count_steps(config.trainer, samples.num_train)
    module = QLoRAModule(model, config.optimizer, config.lr_scheduler, num_steps)
    has_validation = len(samples.validation) > 0
    recorder = FlightRecorder(folder / "steps.jsonl", tracker, config.callbacks.log_every_n_steps)
    trainer = build_trainer(
        config, folder, [recorder, *_callbacks(config, folder, has_validation)]
    )
    data = QADataModule(samples, config.trainer, tokenizer.pad_token_id, config.seed)
    last = folder / "checkpoints" / LAST
    started = time.perf_counter()
    with _known_warnings():
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None)
        trainer.save_checkpoint(last)
        if has_validation and VALIDATION_LOSS not in trainer.callback_metrics:
            # max_steps ended the run inside an epoch, before its first validation.
            trainer.validate(module, data, verbose=False)
    best = folder / "checkpoints" / BEST
    use_best = config.callbacks.adapter_from is AdapterFrom.best and best.exists()
    chosen = best if use_best else last
    loss = trainer.callback_metrics.get(VALIDATION_LOSS)
    state = torch.load(chosen, map_location="cpu", weights_only=False)  # nosec B614  written by this run
    module.load_trainable(state["state_dict"])
    save_adapter(model, tokenizer, folder / "adapter")
    return FitResult(
        checkpoint=chosen,
        num_steps=trainer.global_step,
        validation_loss=_best_loss(trainer) if use_best else _optional(loss),
        seconds=time.perf_counter() - started,
        peak_memory_gib=recorder.peak_gib,
    )


def count_steps(trainer: TrainerConfig, num_samples: int) -> int:
    """Return the optimiser steps of a whole run."""
    steps = trainer.num_epochs * -(-num_samples // trainer.effective_batch_size)
    return min(steps, trainer.max_steps) if trainer.max_steps > 0 else steps


def _optional(value: torch.Tensor | None) -> float | None:
    return None if value is None else float(value)


def _best_loss(trainer: lightning.Trainer) -> float:
    callbacks = trainer.checkpoint_callbacks
    scores = [getattr(callback, "best_model_score", None) for callback in callbacks]
    return float(next(score for score in scores if score is not None))


def build_trainer(
    config: TrainConfig, folder: Path, callbacks: list[Callback]
) -> lightning.Trainer:
    """Return Lightning's trainer for a config."""
    plan = config.trainer
    # Lightning sets its own level when it is imported.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return lightning.Trainer(
        accelerator=plan.accelerator,
        devices=plan.devices,
        strategy=plan.strategy,
        precision=_precision(config),
        max_epochs=plan.num_epochs,
        max_steps=plan.max_steps,
        accumulate_grad_batches=plan.accumulation,
        gradient_clip_val=plan.gradient_clip_norm or None,
        check_val_every_n_epoch=plan.validate_every_n_epochs,
        num_sanity_val_steps=0,
        deterministic="warn" if plan.deterministic else False,
        logger=False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
    )


def _precision(config: TrainConfig) -> Any:
    from evqa.models.load import pick_device, pick_dtype

    if config.trainer.precision is not Precision.auto:
        return LIGHTNING_PRECISION[CONFIG_DTYPES[config.trainer.precision]]
    device = pick_device(config.trainer.accelerator)
    return LIGHTNING_PRECISION[pick_dtype(config.model.dtype, device)]


def _callbacks(config: TrainConfig, folder: Path, has_validation: bool) -> list[Callback]:
    checkpoints = folder / "checkpoints"
    last = ModelCheckpoint(
        dirpath=checkpoints,
        filename=LAST.removesuffix(".ckpt"),
        every_n_train_steps=config.callbacks.checkpoint_every_n_steps,
        save_top_k=1,
        enable_version_counter=False,
    )
    hint = f"go on with: python train.py 'resume=\"{folder}\"'"
    chosen: list[Callback] = [RandomState(), last, GracefulStop(checkpoints / LAST, hint)]
    if has_validation:
        chosen.append(_best_checkpoint(checkpoints))
        if config.callbacks.early_stopping_patience:
            patience = config.callbacks.early_stopping_patience
            chosen.append(EarlyStopping(VALIDATION_LOSS, patience=patience))
    if config.callbacks.progress_bar:
        chosen.append(StepProgress())
    return chosen


def _best_checkpoint(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder,
        filename=BEST.removesuffix(".ckpt"),
        monitor=VALIDATION_LOSS,
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )


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


def save_adapter(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the adapter in peft's format with its tokenizer and chat template, atomically."""
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
