"""Train an adapter: prepare the data, check the memory, train, compare with the base.

usage: python train.py [group=option ...] [key=value ...] [-m]     (--help lists everything)
"""

from pathlib import Path

from evqa.config import TrainConfig, run_job
from evqa.sweep.plugin import register_sweeper


def train(config: TrainConfig, folder: Path) -> float | None:
    """Run one training in ``folder`` and return its validation loss (nats a token)."""
    from evqa import stages
    from evqa.evaluation.benchmark import load_benchmark
    from evqa.tracking import require
    from evqa.training.run import open_run

    require(config.logger.kind)
    questions = load_benchmark(config.benchmark)
    with open_run(config, folder):
        dataset = stages.dataset(config)
        base = stages.base(config, dataset)
        stages.plan(config, base, folder)
        with stages.tracked(config, folder) as tracker:
            session = stages.load_session(config, base)
            result = stages.fit(config, session, dataset, folder, tracker)
            comparison = stages.compare(config, session, questions, folder, tracker)
        stages.finish(config, folder, base, dataset, result)
        stages.say_what_next(config, folder, comparison)
    return result.validation_loss


if __name__ == "__main__":
    register_sweeper()
    run_job("train", TrainConfig, train)
