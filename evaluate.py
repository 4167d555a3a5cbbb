"""Compare a run's adapter with its base on the benchmark and write a report.

usage: python evaluate.py [run=latest] [key=value ...]     (--help lists everything)
"""

from pathlib import Path

from evqa.config import EvaluateConfig, run_job


def evaluate(config: EvaluateConfig, folder: Path) -> None:
    """Score a run into ``folder``; a NO_SHIP verdict is exit code 4."""
    from evqa.evaluation.benchmark import load_benchmark
    from evqa.runs import find_run

    questions = load_benchmark(config.benchmark)
    run = find_run(Path(config.paths.outputs_dir), config.run)

    from evqa import scoring

    comparison = scoring.score_run(config, scoring.open_scored_run(run), questions)
    scoring.write_report(config, run, comparison, folder)
    scoring.say_verdict(config, comparison, folder)


if __name__ == "__main__":
    run_job("evaluate", EvaluateConfig, evaluate)
