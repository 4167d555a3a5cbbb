"""The LightningModule: a frozen base in NF4 with a trainable adapter.

Shapes: B × T token ids; see `losses`.
"""

from typing import Any

import lightning
import torch
from torch import Tensor

from evqa.config.training import LrSchedulerConfig, OptimizerConfig
from evqa.errors import UserError
from evqa.training.losses import label_loss_sum
from evqa.training.optim import build_optimizer, build_scheduler

VALIDATION_LOSS = "val/loss"
TRAIN_LOSS = "train/loss"


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
    """

    def __init__(
        self,
        model: Any,
        optimizer: OptimizerConfig,
        lr_scheduler: LrSchedulerConfig,
        num_steps: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer_config = optimizer
        self.lr_scheduler_config = lr_scheduler
        self.num_steps = num_steps
        self.strict_loading = False  # checkpoints hold the adapter only
        self.step_loss_sum = 0.0
        self.last_step_loss = float("nan")
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
        loss_sum, num_tokens = label_loss_sum(self.base, batch)
        share = loss_sum / max(1, batch["num_window_label_tokens"])
        self._count(share, num_tokens, batch_idx, batch["sample_ids"])
        # Lightning divides by accumulate_grad_batches, and DDP by the number of devices.
        scale: int = self.trainer.accumulate_grad_batches * self.trainer.world_size
        scaled: Tensor = share * scale
        return scaled

    def _count(self, share: Tensor, num_tokens: int, batch_idx: int, ids: list[str]) -> None:
        value = float(share.detach())
        if value != value:  # NaN is the one number that differs from itself
            named = ", ".join(ids[:8])
            raise UserError(
                f"the loss is NaN at step {self.global_step} (samples {named}); lower "
                f"optimizer.lr={self.optimizer_config.lr}, or check these samples"
            )
        accumulation = self.trainer.accumulate_grad_batches
        if batch_idx % accumulation == 0:
            self.step_loss_sum = 0.0
        self.step_loss_sum += value
        self.last_step_loss = self.step_loss_sum
        self.num_label_tokens += num_tokens

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the validation before."""
        self._validation = []

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Add a batch to the validation loss."""
        loss_sum, num_tokens = label_loss_sum(self.base, batch)
        self._validation.append((float(loss_sum), num_tokens))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all validation label tokens, of all devices."""
        sums = torch.tensor(
            [sum(s for s, _ in self._validation), sum(n for _, n in self._validation)],
            device=self.device,
            dtype=torch.float64 if self.device.type == "cpu" else torch.float32,
        )
        if self.trainer.world_size > 1:
            sums = self.all_gather(sums).sum(dim=0)
        if sums[1] > 0:
            self.log(VALIDATION_LOSS, (sums[0] / sums[1]).float(), prog_bar=True, sync_dist=False)

    def configure_optimizers(self) -> Any:
        """Return optimiser and per-step schedule over the whole run."""
        optimizer = build_optimizer(self.optimizer_config, self.trainable().values())
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
