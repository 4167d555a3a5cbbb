"""Structured config of ``hydra.sweeper``: how ``python train.py -m`` searches."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from evqa.config.fields import number, one_of, setting

SWEEPER_TARGET = "hydra_plugins.evqa_optuna.OptunaSweeper"
VALIDATION_LOSS = "validation_loss"
LOWER_IS_BETTER = frozenset({VALIDATION_LOSS, "ter"})
TOKENS_PER_S = "tokens_per_s"
OBJECTIVES = (
    VALIDATION_LOSS, TOKENS_PER_S,
    "bleu", "chrf", "chrf_pp", "ter", "rouge_1", "rouge_2", "rouge_l", "rouge_l_sum",
    "exact_match", "token_f1", "key_fact_recall",
)  # fmt: skip


class Sampler(StrEnum):
    """How the next point is chosen (https://optuna.readthedocs.io, samplers)."""

    tpe = "tpe"
    random = "random"
    grid = "grid"
    gp = "gp"
    cmaes = "cmaes"


class Pruner(StrEnum):
    """When a trial that looks bad is stopped early (https://optuna.readthedocs.io, pruners)."""

    none = "none"
    median = "median"
    hyperband = "hyperband"
    patient = "patient"


@dataclass(kw_only=True, slots=True)
class SweeperConfig:
    """A search over overrides, kept in ``<outputs>/sweeps/<study_name>/study.db``."""

    _target_: str = SWEEPER_TARGET
    study_name: str | None = setting(
        None, "folder of the study; null: the run's name and a hash of the search"
    )
    n_trials: int | None = number(
        None, ge=1, le=1_000_000, doc="finished trials in all (null: every combination of lists)"
    )
    timeout_s: float | None = number(
        None, gt=0, doc="start no trial after so many seconds of trials in all (null: no limit)"
    )
    trial_timeout_s: float | None = number(
        None, gt=0, doc="stop a trial that takes longer, seconds (null: no limit)"
    )
    sampler: Sampler = setting(Sampler.tpe, "how the next point is chosen")
    pruner: Pruner = setting(
        Pruner.none, "stops trials early by their validation losses (objective=validation_loss)"
    )
    pruner_warmup_steps: int = number(
        0, ge=0, doc="optimiser steps before which no trial is stopped"
    )
    pruner_startup_trials: int = number(
        5, ge=0, doc="trials that run to their end before any is stopped"
    )
    objective: str = one_of(VALIDATION_LOSS, OBJECTIVES, "figure of a finished run to optimise")
    second_objective: str = one_of(
        "", ("", *OBJECTIVES), "another figure to trade it off against; '' for none"
    )
    storage: str | None = setting(
        None,
        "database URL that several sweepers share, postgresql+psycopg://user@host/name "
        "(null: study.db in the study's folder, one sweeper at a time)",
    )
    heartbeat_s: int = number(
        30, ge=1, le=3600, doc="a shared study's trial without a sign for twice as long is retried"
    )
    workers: int = number(
        1, ge=1, le=1000, doc="sweepers that hydra/launcher starts on a shared study"
    )
    keep_best: int = number(1, ge=0, doc="best trials that keep checkpoints and adapter")
    max_infeasible: int = number(
        100, ge=1, doc="points in a row that cannot run before the search stops"
    )
    preload: str = setting(
        "evqa.preload", "module that is imported once, before the trials' processes are forked"
    )
    params: dict[str, str] = setting({}, "search space: key to values, in the override grammar")

    @property
    def objectives(self) -> tuple[str, ...]:
        """The figures that are optimised, the first one decides what is best."""
        return tuple(name for name in (self.objective, self.second_objective) if name)

    @property
    def minimise(self) -> tuple[bool, ...]:
        """Whether lower is better, for each objective."""
        return tuple(name in LOWER_IS_BETTER for name in self.objectives)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.second_objective == self.objective:
            yield "second_objective", f"must differ from objective={self.objective}"
        if self.pruner is not Pruner.none and self.objectives != (VALIDATION_LOSS,):
            yield (
                "pruner",
                f"needs objective={VALIDATION_LOSS} alone, but got {', '.join(self.objectives)}",
            )
        if self.workers > 1 and self.storage is None:
            yield "workers", "needs hydra.sweeper.storage, a database that they share"
