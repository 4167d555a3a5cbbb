"""The study on disk: every change is one transaction, so that a kill leaves a state to go on from.

A trial enters the study with its parameters and its overrides in one step; nothing is ever seen
half asked. Attributes of a trial: ``overrides``, ``predicted_gib``, ``infeasible`` (why it was not
launched), ``reason`` (why it failed), ``pruned`` (why it was stopped early), ``seconds``,
``measured_gib``, ``retry_of`` and ``retried_as`` (shared studies: numbers).
"""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import text
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from evqa.config.sweep import SweeperConfig
from evqa.errors import ConfigError, OutsideError, UserError
from evqa.files import folder_lock, sha256_bytes
from evqa.sweep.admission import Admission
from evqa.sweep.outcome import Outcome
from evqa.sweep.space import Params

FILE_NAME = "study.db"
MEMORY_CONSTRAINT = "predicted_memory_gib"
OBJECTIVE = "objective"
FINGERPRINT = "search"
CORRECTION = "memory_correction"
RETRIED_AS = "retried_as"
STALE = "its worker died"
LIVES = 2  # heartbeats that may be missed
ATTEMPTS = 10
PAUSE_S = 0.5


class SweepStudy:
    """One Optuna study, in ``<folder>/study.db`` or in a database that several sweepers share.

    Args:
        folder: The sweep's folder; its name is the study's.
        settings: Objectives and storage.
        fingerprint: Hash of the search; another search must not continue this study.
        pruner: Stops trials; none for None.

    Raises:
        ConfigError: the study in this place was made by another search.
        OutsideError: the database cannot be reached.
    """

    def __init__(
        self,
        folder: Path,
        settings: SweeperConfig,
        fingerprint: str,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.minimise = settings.minimise
        self.is_shared = settings.storage is not None
        self.heartbeat_s = settings.heartbeat_s
        self.storage = _storage(folder, settings)
        self.study = optuna.create_study(
            storage=self.storage,
            study_name=folder.name,
            directions=["minimize" if low else "maximize" for low in self.minimise],
            pruner=pruner or optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        with self.claimed():
            self._claim(", ".join(settings.objectives), fingerprint)

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

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the shared study alone, so that counting and adding a trial are one step.

        An advisory lock of PostgreSQL (https://www.postgresql.org/docs, Advisory Locks), else one
        on the study's folder: both end with their holder, so a killed worker leaves none behind.
        """
        if not self.is_shared:
            yield
            return
        if self.storage.engine.dialect.name != "postgresql":
            with folder_lock(self.folder):
                yield
            return
        key = int(sha256_bytes(self.folder.name.encode())[:15], 16)
        with self.storage.engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    def correct_memory(self, factor: float) -> float:
        """Return the factor on predicted memory: that of the study's first start, for ever."""
        with self.claimed():
            if CORRECTION not in self.study.user_attrs:
                self.study.set_user_attr(CORRECTION, factor)
            return float(self.study.user_attrs[CORRECTION])

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by number."""
        return self.study.get_trials(deepcopy=False)

    def running(self) -> list[FrozenTrial]:
        """Return the trials that run now, or that a killed sweep left."""
        return [trial for trial in self.trials() if trial.state is TrialState.RUNNING]

    def paid(self) -> list[FrozenTrial]:
        """Return the finished trials that were launched; one that is retried does not count."""
        return [t for t in self.trials() if t.state.is_finished() and _counts(t)]

    def counted(self) -> int:
        """Return how many trials stand against n_trials: launched ones, running ones included."""
        return sum(_counts(trial) for trial in self.trials())

    def completed(self) -> list[FrozenTrial]:
        """Return the trials with a value, the best first."""
        done = [trial for trial in self.trials() if trial.state is TrialState.COMPLETE]
        sign = 1.0 if self.minimise[0] else -1.0
        return sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))

    def pareto(self) -> list[FrozenTrial]:
        """Return the trials that no other one beats in every objective, the best first."""
        signs = [1.0 if low else -1.0 for low in self.minimise]

        def scores(trial: FrozenTrial) -> list[float]:
            return [sign * value for sign, value in zip(signs, trial.values, strict=True)]

        def beaten(trial: FrozenTrial) -> bool:
            mine = scores(trial)
            return any(
                other != mine and all(a <= b for a, b in zip(other, mine, strict=True))
                for other in map(scores, self.completed())
            )

        return [trial for trial in self.completed() if not beaten(trial)]

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
        **attrs: Any,
    ) -> FrozenTrial:
        """Add a point: RUNNING when it may run, else PRUNED with the reason, at no cost."""
        attrs["overrides"] = list(verdict.words)
        if verdict.predicted_gib is not None:
            attrs["predicted_gib"] = verdict.predicted_gib
        if verdict.reason is not None:
            attrs["infeasible"] = verdict.reason
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
        trial = self.trials()[-1]
        if self.is_shared and trial.state is TrialState.RUNNING:
            self.storage.record_heartbeat(trial._trial_id)  # without one it would never be stale
        return trial

    def retry_stale(self) -> FrozenTrial | None:
        """Add the trial of a dead worker again, fail the old one, and return the new one.

        Call it with the study `claimed`. Only for shared studies, whose workers give signs. The
        new one is added first: a worker that dies in between leaves one trial too many, none lost.
        """
        stale = self.storage._get_stale_trial_ids(self.study._study_id)
        if not stale:
            return None
        trial = self.storage.get_trial(min(stale))
        verdict = Admission(
            tuple(trial.user_attrs["overrides"]),
            predicted_gib=trial.user_attrs.get("predicted_gib"),
            excess_gib=trial.constraints.get(MEMORY_CONSTRAINT, 0.0),
        )
        attrs = {"retry_of": trial.number}
        again = self.add(trial.params, trial.distributions, verdict, {}, **attrs)
        with contextlib.suppress(UpdateFinishedTrialError):  # it came to its end just now
            self._note(trial, {RETRIED_AS: again.number, "reason": STALE})
            self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return again

    @contextlib.contextmanager
    def alive(self, trial: FrozenTrial) -> Iterator[None]:
        """Give a sign of life for a running trial of a shared study while the block runs."""
        if not self.is_shared:
            yield
            return
        from optuna.storages._heartbeat import get_heartbeat_thread

        with get_heartbeat_thread(trial._trial_id, self.storage):
            yield

    def should_prune(self, trial: FrozenTrial, validations: list[tuple[int, float]]) -> str | None:
        """Report validations in their order; return why the trial is to be stopped.

        The answer depends on the losses alone, not on how far the trial has come meanwhile.
        """
        live = optuna.trial.Trial(self.study, trial._trial_id)
        reported = self.storage.get_trial(trial._trial_id).intermediate_values
        for step, loss in validations:
            if step not in reported:
                live.report(loss, step)
            if live.should_prune():
                return f"stopped at step {step}: validation loss {loss:.4g} looks bad"
        return None

    def finish(self, trial: FrozenTrial, outcome: Outcome) -> None:
        """Record how a launched trial ended."""
        notes = {
            "seconds": round(outcome.seconds, 3),
            "reason": outcome.reason,
            "pruned": outcome.pruned,
            "measured_gib": outcome.measured_gib,
        }
        state, values = TrialState.COMPLETE, outcome.values
        if values is None:
            state = TrialState.FAIL if outcome.pruned is None else TrialState.PRUNED
        with contextlib.suppress(UpdateFinishedTrialError):  # taken for dead, and retried
            self._note(trial, {name: value for name, value in notes.items() if value is not None})
            self.storage.set_trial_state_values(trial._trial_id, state, values)

    def _note(self, trial: FrozenTrial, notes: dict[str, Any]) -> None:
        for name, value in notes.items():
            self.storage.set_trial_user_attr(trial._trial_id, name, value)

    def close(self) -> None:
        """Let go of the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()


def _storage(folder: Path, settings: SweeperConfig) -> optuna.storages.RDBStorage:
    if settings.storage is None:
        return optuna.storages.RDBStorage(f"sqlite:///{folder / FILE_NAME}")
    for attempt in range(ATTEMPTS):
        try:
            return optuna.storages.RDBStorage(
                settings.storage,
                heartbeat_interval=settings.heartbeat_s,
                grace_period=LIVES * settings.heartbeat_s,
            )
        except ImportError as error:
            line = f"hydra.sweeper.storage: {error}; pip install evqa[postgresql]"
            raise UserError(line) from None
        except SQLAlchemyError as error:
            line = " ".join(str(error).splitlines()[0].split())
            hopeless = isinstance(error, OperationalError | ArgumentError)
            if attempt + 1 == ATTEMPTS or (hopeless and "already exists" not in line):
                message = f"hydra.sweeper.storage: the database says no: {line}"
                raise OutsideError(message) from None
            time.sleep(PAUSE_S)  # another sweeper is making the tables just now
    raise AssertionError


def _counts(trial: FrozenTrial) -> bool:
    return infeasible_reason(trial) is None and RETRIED_AS not in trial.user_attrs


def infeasible_reason(trial: FrozenTrial) -> str | None:
    """Return why a point was not launched, None for a launched trial."""
    reason = trial.user_attrs.get("infeasible")
    return None if reason is None else str(reason)
