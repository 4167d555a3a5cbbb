"""Compare a run's adapter with its base, or any systems, on the benchmark; write a report.

usage: python evaluate.py [run=latest] [systems=[base,tuned,…]] [key=value ...]
(--help lists everything)
"""

from pathlib import Path

from evqa.config import EvaluateConfig, run_job


def evaluate(config: EvaluateConfig, folder: Path) -> None:
    """Compare the systems into ``folder``; a verdict other than SHIP is exit code 4."""
    from evqa import scoring

    evaluation = scoring.evaluate_systems(config, folder)
    scoring.say_verdict(config, evaluation, folder)


if __name__ == "__main__":
    run_job("evaluate", EvaluateConfig, evaluate)
