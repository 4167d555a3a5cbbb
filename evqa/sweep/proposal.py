"""Which point comes next: a function of the study's finished trials and the trial's number alone.

The sampler is made anew for each trial, seeded by the sweep's seed plus the number, and asked in
a copy of the study in memory. A sweep that was killed and continued therefore proposes what an
uninterrupted one would have.
"""

import importlib.util
import itertools
import warnings
from collections.abc import Sequence

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from evqa.config.sweep import Pruner, Sampler, SweeperConfig
from evqa.errors import ConfigError, UserError
from evqa.sweep.space import Params, Space

NEEDED_PACKAGE = {Sampler.cmaes: "cmaes", Sampler.gp: "torch"}


def check_sampler(sampler: Sampler, space: Space, num_objectives: int = 1) -> None:
    """Refuse a sampler that cannot work here.

    Raises:
        UserError: its package is not installed.
        ConfigError: a grid over a continuous range, or several objectives for a sampler of one.
    """
    if num_objectives > 1 and sampler is Sampler.cmaes:
        raise ConfigError(
            "hydra.sweeper.sampler=cmaes: it knows one objective; leave second_objective out, or "
            "choose hydra.sweeper.sampler=tpe"
        )
    package = NEEDED_PACKAGE.get(sampler)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(
            f"hydra.sweeper.sampler={sampler}: the package {package} is not installed; "
            f"pip install {package}, or choose hydra.sweeper.sampler=tpe"
        )
    if sampler is Sampler.grid and not space.is_finite:
        key = next(dimension.key for dimension in space.dimensions if not dimension.values)
        raise ConfigError(
            f"hydra.sweeper.sampler=grid: {key} is a continuous range; write choice(…) or "
            "range(…), or choose hydra.sweeper.sampler=tpe"
        )


def build_sampler(sampler: Sampler, seed: int) -> BaseSampler:
    """Return a fresh Optuna sampler."""
    if sampler is Sampler.random:
        return RandomSampler(seed=seed)
    if sampler is Sampler.gp:  # imports torch, for its optimiser, on the CPU
        return optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)
    if sampler is Sampler.cmaes:
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return TPESampler(seed=seed)


def build_pruner(settings: SweeperConfig) -> BasePruner:
    """Return a fresh Optuna pruner; steps are optimiser steps."""
    startup, warmup = settings.pruner_startup_trials, settings.pruner_warmup_steps
    median = MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
    if settings.pruner is Pruner.median:
        return median
    if settings.pruner is Pruner.patient:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return PatientPruner(median, patience=1)
    if settings.pruner is Pruner.hyperband:
        return HyperbandPruner(min_resource=max(1, warmup))
    return NopPruner()


def propose(
    sampler: BaseSampler, space: Space, trials: list[FrozenTrial], minimise: Sequence[bool]
) -> FrozenTrial:
    """Return the next point as a trial: its parameters and what the sampler notes about it."""
    directions = [StudyDirection.MINIMIZE if low else StudyDirection.MAXIMIZE for low in minimise]
    study = optuna.create_study(sampler=sampler, directions=directions)
    study.add_trials(trials)
    number = study.ask(space.distributions).number
    return study.get_trials(deepcopy=False)[number]


def combination(space: Space, number: int) -> Params | None:
    """Return the combination of the lists with this number, None past the last."""
    return next(itertools.islice(space.combinations(), number, None), None)
