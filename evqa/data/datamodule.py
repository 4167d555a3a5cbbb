"""The LightningDataModule over the tokenised store."""

from typing import Any

import lightning

from evqa.config.training import TrainerConfig
from evqa.data.batching import BatchLoader, BatchPlan
from evqa.data.dataset import Samples


class QADataModule(lightning.LightningDataModule):
    """Hands Lightning its loaders, one share a device.

    Args:
        samples: The tokenised pairs.
        trainer: Batch sizes, batching and devices.
        pad_token_id: Fills the rows up.
        seed: Of the order of the training samples.
        max_length_tokens: Longest sample.
    """

    def __init__(
        self,
        samples: Samples,
        trainer: TrainerConfig,
        pad_token_id: int,
        seed: int,
        max_length_tokens: int = 0,
    ) -> None:
        super().__init__()
        self.samples = samples
        self.config = trainer
        self.pad_token_id = pad_token_id
        self.seed = seed
        self.max_length_tokens = max_length_tokens

    def _loader(self, store: Any, accumulation: int, seed: int | None) -> BatchLoader:
        rank = self.trainer.global_rank if self.trainer is not None else 0
        plan = BatchPlan(
            self.config.micro_batch_size,
            accumulation,
            self.config.devices * self.config.num_nodes,
            self.config.batching,
            self.max_length_tokens,
        )
        return BatchLoader(store, plan, self.pad_token_id, seed, rank)

    def train_dataloader(self) -> BatchLoader:
        """Return the training batches."""
        return self._loader(self.samples.train, self.config.accumulation, self.seed)

    def val_dataloader(self) -> Any:
        """Return the validation batches, or none when no document is held back for it."""
        if len(self.samples.validation) == 0:
            return []
        return self._loader(self.samples.validation, 1, None)
