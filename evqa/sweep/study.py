"""The study on disk: every change is one transaction, so that a kill leaves a state to go on from.

A trial enters the study with its parameters and its overrides in one step; nothing is ever seen
half asked. Attributes of a trial: ``overrides``, ``predicted_gib``, ``infeasible`` (why it was not
launched), ``reason`` (why it failed), ``seconds``, ``measured_gib``.
"""

import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from evqa.errors import ConfigError
from evqa.sweep.admission import Admission
from evqa.sweep.outcome import Outcome
from evqa.sweep.space import Params

FILE_NAME = "study.db"
MEMORY_CONSTRAINT = "predicted_memory_gib"
OBJECTIVE = "objective"
FINGERPRINT = "search"


class SweepStudy:
    """One Optuna study in ``<folder>/study.db``.

    Args:
        folder: The sweep's folder; its name is the study's.
        objective: The figure that is optimised.
        minimise: Whether lower is better.
        fingerprint: Hash of the search; another search must not continue this study.

    Raises:
        ConfigError: the study in this folder was made by another search.
    """

    def __init__(self, folder: Path, objective: str, fingerprint: str, *, minimise: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.minimise = minimise
        self.storage = optuna.storages.RDBStorage(f"sqlite:///{folder / FILE_NAME}")
        self.study = optuna.create_study(
            storage=self.storage,
            study_name=folder.name,
            direction="minimize" if minimise else "maximize",
            load_if_exists=True,
        )
        self._claim(objective, fingerprint)

    def _claim(self, objective: str, fingerprint: str) -> None:
        marks = self.study.user_attrs
        if FINGERPRINT not in marks:
            self.study.set_user_attr(OBJECTIVE, objective)
            self.study.set_user_attr(FINGERPRINT, fingerprint)
        elif marks[FINGERPRINT] != fingerprint:
            raise ConfigError(
                f"hydra.sweeper.study_name={self.folder.name}: {self.folder} holds a study of "
                "another search (overrides, space or objective differ); give another study_name"
            )

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by number."""
        return self.study.get_trials(deepcopy=False)

    def running(self) -> list[FrozenTrial]:
        """Return the trials that a killed sweep left."""
        return [trial for trial in self.trials() if trial.state is TrialState.RUNNING]

    def paid(self) -> list[FrozenTrial]:
        """Return the finished trials that were launched."""
        return [t for t in self.trials() if t.state.is_finished() and not infeasible_reason(t)]

    def completed(self) -> list[FrozenTrial]:
        """Return the trials with a value, the best first."""
        done = [trial for trial in self.trials() if trial.state is TrialState.COMPLETE]
        sign = 1.0 if self.minimise else -1.0
        return sorted(done, key=lambda trial: (sign * float(trial.value or 0.0), trial.number))

    def infeasible_in_a_row(self) -> int:
        """Return how many points in a row, up to the last, could not run."""
        count = 0
        for trial in reversed(self.trials()):
            if not infeasible_reason(trial):
                break
            count += 1
        return count

    def add(
        self,
        params: Params,
        distributions: dict[str, BaseDistribution],
        verdict: Admission,
        system_attrs: dict[str, Any],
    ) -> None:
        """Add a point: RUNNING when it may run, else PRUNED with the reason, at no cost."""
        attrs = {"overrides": list(verdict.words)}
        if verdict.predicted_gib is not None:
            attrs["predicted_gib"] = verdict.predicted_gib  # type: ignore[assignment]
        if verdict.reason is not None:
            attrs["infeasible"] = verdict.reason  # type: ignore[assignment]
        self.study.add_trial(
            create_trial(
                state=TrialState.RUNNING if verdict.reason is None else TrialState.PRUNED,
                params=params,
                distributions=distributions,
                user_attrs=attrs,
                system_attrs=system_attrs,
                constraints={MEMORY_CONSTRAINT: verdict.excess_gib},
            )
        )

    def finish(self, trial: FrozenTrial, outcome: Outcome) -> None:
        """Record how a launched trial ended."""
        notes = {
            "seconds": round(outcome.seconds, 3),
            "reason": outcome.reason,
            "measured_gib": outcome.measured_gib,
        }
        for name, value in notes.items():
            if value is not None:
                self.storage.set_trial_user_attr(trial._trial_id, name, value)
        if outcome.value is None:
            self.study.tell(trial.number, state=TrialState.FAIL)
        else:
            self.study.tell(trial.number, outcome.value)

    def close(self) -> None:
        """Let go of the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()


def infeasible_reason(trial: FrozenTrial) -> str | None:
    """Return why a point was not launched, None for a launched trial."""
    reason = trial.user_attrs.get("infeasible")
    return None if reason is None else str(reason)
