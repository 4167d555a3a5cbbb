"""Train an adapter: prepare the data, check the memory, train, compare with the base.

usage: python train.py [group=option ...] [key=value ...] [-m]     (--help lists everything)
"""

from pathlib import Path

from evqa.config import TrainConfig, run_job
from evqa.sweep.plugin import register_sweeper


def train(config: TrainConfig, folder: Path) -> float | None:
    """Run one training in ``folder`` and return its validation loss (nats a token)."""
    from evqa import stages

    result, _comparison = stages.run_training(config, folder)
    return result.validation_loss


if __name__ == "__main__":
    register_sweeper()
    run_job("train", TrainConfig, train)
