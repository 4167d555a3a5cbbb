"""Which way of keeping inside a memory budget finds the better trial: a simulation.

usage: python benchmarks/search_simulation.py [--seeds 100] [--trials 30]

Each trial is a lookup in a made-up response surface of an adapter's rank, learning rate, effective
batch and context; memory comes from the planner's own formulas for Llama-3.1-8B, and a third of
all points does not fit. Compared are

- ``ours``: the search samples the effective batch, the planner picks the largest micro-batch that
  fits, and a point that cannot fit at all is refused before launch (TPE);
- ``oom_is_fail``: the search samples the micro-batch too, and a trial that runs out of memory is
  one FAIL, paid for (TPE), as sweepers do that know no planner.

Regret is the true loss of the trial chosen in the end (observations are noisy) minus the best
feasible one's. Writes benchmarks/results/search_simulation.json: mean regrets, their ratio with a
paired bootstrap interval, and how many out-of-memory trials were paid for.
"""

import argparse
import itertools
import json
import math
import random
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import optuna
from optuna.trial import TrialState

from evqa.architectures import Architecture
from evqa.config import TrainConfig, load_config, project_dir
from evqa.files import write_json
from evqa.memory.planner import plan_training
from evqa.progress import progress
from evqa.provenance import git_commit

RANKS = (8, 16, 32, 64, 128)
BATCHES = (8, 16, 32, 64)
MICRO_BATCHES = (1, 2, 4, 8)
LENGTHS = (256, 512, 1024)
RATES = (1e-5, 5e-3)
BUDGET_GIB = 6.0
NOISE = 0.004
RESAMPLES = 10_000
WORDS = (
    "model=llama3_1_8b", "trainer=gpu", "memory=6gib", "quantization.head=true",
    "lora.dtype=bf16", "lora.dropout=0", "optimizer=paged_adamw8bit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One setting."""

    rank: int
    rate: float
    batch: int
    micro: int
    length: int


@lru_cache(maxsize=1)
def base_config() -> TrainConfig:
    """Return the config that the memory formulas start from."""
    config = load_config("train", WORDS)
    assert isinstance(config, TrainConfig)
    return config


@cache
def peak_gib(rank: int, micro: int, length: int) -> float:
    """Return the planner's peak."""
    config = base_config()
    config.lora.r = rank
    config.model.max_length_tokens = length
    config.trainer.micro_batch_size = micro
    return plan_training(config, Architecture.from_config(config.model.architecture)).peak_gib


def fits(point: Point) -> bool:
    """Tell whether the point stays inside the budget."""
    return peak_gib(point.rank, point.micro, point.length) <= BUDGET_GIB


def true_loss(point: Point) -> float:
    """Return a loss as adapters show it: a valley in the learning rate that moves with the batch.

    Rank and length help with diminishing returns; the micro-batch changes nothing.
    """
    best_rate = (
        math.log10(2e-4) + 0.35 * math.log2(point.batch / 16) - 0.1 * math.log2(point.rank / 16)
    )
    off = math.log10(point.rate) - best_rate
    valley = 0.18 * off**2 + 0.10 * max(0.0, off - 0.6) ** 2
    rank = 0.05 * 2 ** (-math.log2(point.rank / 8) / 1.6)
    length = 0.04 * 2 ** (-math.log2(point.length / 512) / 1.2)
    batch = 0.012 * (math.log2(point.batch / 24)) ** 2
    return 1.0 + valley + rank + length + batch


def grid() -> Iterator[Point]:
    """Yield every combination of the lists with a fine grid of learning rates."""
    low, high = (math.log10(rate) for rate in RATES)
    rates = [10 ** (low + (high - low) * place / 80) for place in range(81)]
    yield from itertools.starmap(
        Point, itertools.product(RANKS, rates, BATCHES, MICRO_BATCHES, LENGTHS)
    )


def best_loss() -> float:
    """Return the lowest true loss of all that fits."""
    return min(true_loss(point) for point in grid() if fits(point))


def share_over_budget() -> float:
    """Return which share of the points with a valid micro-batch does not fit."""
    cells = [
        Point(rank, 1e-4, batch, micro, length)
        for rank, batch, micro, length in itertools.product(RANKS, BATCHES, MICRO_BATCHES, LENGTHS)
        if batch % micro == 0
    ]
    return statistics.mean(not fits(point) for point in cells)


def _suggest(trial: optuna.Trial, name: str, values: tuple[int, ...]) -> int:
    return values[trial.suggest_int(name, 0, len(values) - 1)]  # ordinal


def _ask(study: optuna.Study) -> tuple[optuna.Trial, int, float, int, int]:
    trial = study.ask()
    return (
        trial,
        _suggest(trial, "rank", RANKS),
        trial.suggest_float("rate", *RATES, log=True),
        _suggest(trial, "batch", BATCHES),
        _suggest(trial, "length", LENGTHS),
    )


def search(seed: int, num_trials: int, *, planned: bool) -> tuple[float, int]:
    """Run one search; return its choice's true loss and the memory failures paid for."""
    noise = random.Random(f"{seed}")  # noqa: S311  nothing secret
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    chosen: list[tuple[float, Point]] = []
    failures = paid = 0
    while paid < num_trials:
        trial, rank, rate, batch, length = _ask(study)
        if planned:
            sizes = [m for m in sorted(MICRO_BATCHES, reverse=True) if batch % m == 0]
            points = [Point(rank, rate, batch, micro, length) for micro in sizes]
            point = next((p for p in points if fits(p)), None)
            if point is None:  # refused: nothing is paid
                trial.set_constraint("memory", peak_gib(rank, 1, length) - BUDGET_GIB)
                study.tell(trial, state=TrialState.PRUNED)
                continue
            trial.set_constraint("memory", peak_gib(rank, point.micro, length) - BUDGET_GIB)
        else:
            point = Point(rank, rate, batch, _suggest(trial, "micro", MICRO_BATCHES), length)
            if point.batch % point.micro or not fits(point):
                failures += 1
                paid += 1
                study.tell(trial, state=TrialState.FAIL)
                continue
        paid += 1
        observed = true_loss(point) + noise.gauss(0.0, NOISE)
        study.tell(trial, observed)
        chosen.append((observed, point))
    if not chosen:
        return math.inf, failures
    return true_loss(min(chosen, key=lambda pair: pair[0])[1]), failures


def interval(
    ratio: Callable[[list[int]], float], count: int, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a paired ratio: seeds are resampled, both sides together."""
    rng = random.Random(seed)  # noqa: S311  nothing secret
    draws = sorted(ratio(rng.choices(range(count), k=count)) for _ in range(RESAMPLES))
    return draws[int(0.025 * RESAMPLES)], draws[int(0.975 * RESAMPLES)]


def simulate(num_seeds: int, num_trials: int) -> dict[str, Any]:
    """Run both searches on all seeds and return the figures."""
    best = best_loss()
    regrets: dict[str, list[float]] = {"ours": [], "oom_is_fail": []}
    failures = dict.fromkeys(regrets, 0)
    with progress("simulating", num_seeds) as bar:
        for seed in range(num_seeds):
            for name, planned in (("ours", True), ("oom_is_fail", False)):
                loss, failed = search(seed, num_trials, planned=planned)
                regrets[name].append(loss - best)
                failures[name] += failed
            bar.add(1)
    ours, theirs = regrets["ours"], regrets["oom_is_fail"]

    def ratio(places: list[int]) -> float:
        return sum(ours[p] for p in places) / sum(theirs[p] for p in places)

    low, high = interval(ratio, num_seeds)
    return {
        "seeds": num_seeds,
        "paid_trials": num_trials,
        "share_over_budget": round(share_over_budget(), 3),
        "mean_regret": {name: statistics.mean(values) for name, values in regrets.items()},
        "regret_ratio": ratio(list(range(num_seeds))),
        "regret_ratio_95_interval": [low, high],
        "paid_out_of_memory_trials": failures,
        "git_commit": git_commit(project_dir()),
    }


def main() -> None:
    """Simulate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trials", type=int, default=30)
    options = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    result = simulate(options.seeds, options.trials)
    write_json(project_dir() / "benchmarks" / "results" / "search_simulation.json", result)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
