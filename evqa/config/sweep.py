"""Structured config of ``hydra.sweeper``: how ``python train.py -m`` searches."""

from dataclasses import dataclass
from enum import StrEnum

from evqa.config.fields import number, one_of, setting

SWEEPER_TARGET = "hydra_plugins.evqa_optuna.OptunaSweeper"
VALIDATION_LOSS = "validation_loss"
LOWER_IS_BETTER = frozenset({VALIDATION_LOSS, "ter"})
OBJECTIVES = (
    VALIDATION_LOSS,
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
    objective: str = one_of(VALIDATION_LOSS, OBJECTIVES, "figure of a finished run to optimise")
    keep_best: int = number(1, ge=0, doc="best trials that keep checkpoints and adapter")
    max_infeasible: int = number(
        100, ge=1, doc="points in a row that cannot run before the search stops"
    )
    params: dict[str, str] = setting({}, "search space: key to values, in the override grammar")

    @property
    def minimise(self) -> bool:
        """Whether a lower objective is better."""
        return self.objective in LOWER_IS_BETTER
