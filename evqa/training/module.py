"""The LightningModule: a frozen base in NF4 with a trainable adapter.

Shapes: B × T token ids; see `losses`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from evqa.config.training import LrSchedulerConfig, OptimizerConfig
from evqa.errors import UserError
from evqa.training.losses import BatchLoss, batch_loss
from evqa.training.optim import build_optimizer, build_scheduler

VALIDATION_LOSS = "val/loss"
TRAIN_LOSS = "train/loss"
MAX_NAMED_SAMPLES = 8


@dataclass(slots=True)
class StepTally:
    """What one optimiser step has seen so far.

    Attributes:
        loss: Mean over the label tokens of the step, nats.
        sample_ids: Samples of this device, in the order seen.
        sample_losses: Their own means, nats a token.
        num_tokens: Tokens that went through the model, padding not counted.
        num_slots: Places that went through the model, padding counted.
        num_label_tokens: Tokens that the loss was made of.
    """

    loss: float = 0.0
    sample_ids: list[str] = field(default_factory=list)
    sample_losses: list[float] = field(default_factory=list)
    num_tokens: int = 0
    num_slots: int = 0
    num_label_tokens: int = 0

    def add(self, share: float, batch: dict[str, Any], loss: BatchLoss) -> None:
        """Count one micro-batch."""
        mask = batch.get("attention_mask")
        self.loss += share
        self.sample_ids.extend(batch["sample_ids"])
        means = (loss.by_sample / loss.counts.clamp(min=1)).tolist()
        self.sample_losses.extend(means[: len(batch["sample_ids"])])
        self.num_slots += batch["input_ids"].numel()
        self.num_tokens += batch["input_ids"].numel() if mask is None else int(mask.sum())
        self.num_label_tokens += loss.num_label_tokens


def of_all_devices(tally: StepTally) -> StepTally:
    """Return what all devices have seen of a step; every device must call it."""
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, tally)
    return StepTally(
        loss=sum(part.loss for part in parts),
        sample_ids=[name for part in parts for name in part.sample_ids],
        sample_losses=[loss for part in parts for loss in part.sample_losses],
        num_tokens=sum(part.num_tokens for part in parts),
        num_slots=sum(part.num_slots for part in parts),
        num_label_tokens=sum(part.num_label_tokens for part in parts),
    )


class QLoRAModule(lightning.LightningModule):
    """Trains the adapter of a peft model on assistant tokens.

    A step's loss is the mean over all label tokens of its effective batch, however it is cut into
    micro-batches. Checkpoints hold the trainable parameters only.

    Args:
        model: A peft model around a frozen causal language model.
        optimizer: Its config.
        lr_scheduler: Its config.
        num_steps: Optimiser steps of the whole run. (Asking Lightning for them would build the
            loader before a checkpoint is restored, and its position would be lost.)
        vocabulary_tile_tokens: Words of the vocabulary that have logits at a time.
        run_folder: Named in messages.
    """

    def __init__(
        self,
        model: Any,
        optimizer: OptimizerConfig,
        lr_scheduler: LrSchedulerConfig,
        num_steps: int,
        vocabulary_tile_tokens: int = 8192,
        run_folder: Path = Path("latest"),
    ) -> None:
        super().__init__()
        self.model = model
        self.run_folder = run_folder
        self.optimizer_config = optimizer
        self.lr_scheduler_config = lr_scheduler
        self.num_steps = num_steps
        self.vocabulary_tile_tokens = vocabulary_tile_tokens
        self.strict_loading = False  # checkpoints hold the adapter only
        self.tally = StepTally()
        self.num_label_tokens = 0
        self._validation: list[tuple[float, int]] = []
        model.train()  # from_pretrained returns it in eval mode

    @property
    def base(self) -> Any:
        """The transformers model with the adapter layers in place."""
        return self.model.get_base_model()

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Return the adapter's parameters by name."""
        return {n: p for n, p in self.named_parameters() if p.requires_grad}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Return this micro-batch's share of the step's loss, scaled as Lightning expects."""
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.tally = StepTally()
        is_last = (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0
        if not batch["sample_ids"] and not (is_last and self.trainer.world_size > 1):
            # A packed step that needs fewer passes. Devices that share a step meet in its last
            # pass, so there even an empty one goes through the model.
            return torch.zeros((), device=self.device, requires_grad=True)
        loss = batch_loss(self.base, batch, self.vocabulary_tile_tokens)
        share = loss.total / max(1, batch["num_window_label_tokens"])
        self._count(float(share.detach()), batch, loss)
        # Lightning divides by accumulate_grad_batches, and DDP by the number of devices.
        scale: int = self.trainer.accumulate_grad_batches * self.trainer.world_size
        scaled: Tensor = share * scale
        return scaled

    def _count(self, share: float, batch: dict[str, Any], loss: BatchLoss) -> None:
        self.tally.add(share, batch, loss)
        self.num_label_tokens += loss.num_label_tokens
        if share != share:  # NaN is the one number that differs from itself
            raise self._nan_error(batch["sample_ids"], loss)

    def _nan_error(self, ids: list[str], loss: BatchLoss) -> UserError:
        broken = first_broken_weight(self.model)
        if broken is not None:
            return UserError(
                f"the loss is NaN at step {self.global_step} because a weight is: {broken}; where "
                "it is the base model's, get its files again; where it is the adapter's, lower "
                f"optimizer.lr={self.optimizer_config.lr:g}"
            )
        bad = [n for n, v in zip(ids, loss.by_sample.tolist(), strict=False) if v != v]
        named = ", ".join((bad or ids)[:MAX_NAMED_SAMPLES])
        return UserError(
            f"the loss is NaN at step {self.global_step} (samples {named}); lower "
            f"optimizer.lr={self.optimizer_config.lr:g}, or look at them: "
            f"{show_command(self.run_folder, self.global_step + 1)}"
        )

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the validation before."""
        self._validation = []

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Add a batch to the validation loss."""
        if batch["sample_ids"]:
            loss = batch_loss(self.base, batch, self.vocabulary_tile_tokens)
            self._validation.append((float(loss.total), loss.num_label_tokens))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all validation label tokens, of all devices."""
        sums = torch.tensor(
            [sum(s for s, _ in self._validation), sum(n for _, n in self._validation)],
            device=self.device,
            dtype=torch.float64 if self.device.type == "cpu" else torch.float32,
        )
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(sums)
        if sums[1] > 0:
            self.log(VALIDATION_LOSS, (sums[0] / sums[1]).float(), prog_bar=True, sync_dist=False)

    def configure_optimizers(self) -> Any:
        """Return optimiser and per-step schedule over the whole run."""
        optimizer = build_optimizer(self.optimizer_config, self.trainable())
        scheduler = build_scheduler(self.lr_scheduler_config, optimizer, self.num_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the trainable parameters only."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in self.trainable()}

    def load_trainable(self, state: dict[str, Tensor]) -> None:
        """Copy a checkpoint's adapter into the model; names and shapes must match exactly."""
        own = self.trainable()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())
            raise UserError(f"the checkpoint does not fit this adapter: {odd[0]} is in one only")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])


def show_command(folder: Path, step: int) -> str:
    """Return the command that shows the samples of a step."""
    return f"python -m evqa.show_batch run={folder} step={step}"


def first_broken_weight(model: Any) -> str | None:
    """Return the name of the first weight that holds NaN or infinity, None when all are finite.

    Of a quantised layer the block scales are looked at, where a NaN of the original ends up.
    """
    for name, parameter in model.named_parameters():
        state = getattr(parameter, "quant_state", None)
        values = [parameter] if state is None else [state.absmax, getattr(state, "offset", None)]
        if state is not None and state.nested:
            values.append(state.state2.absmax)
        for value in values:
            if value is not None and value.is_floating_point() and not value.isfinite().all():
                return str(name)
    return None
