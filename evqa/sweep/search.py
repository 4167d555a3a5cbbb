"""The loop of a sweep: propose, ask the planner, launch, record; until the totals are reached."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from evqa.config.sweep import Pruner, Sampler, SweeperConfig
from evqa.errors import ConfigError
from evqa.sweep.admission import Admission
from evqa.sweep.outcome import (
    Outcome,
    is_finished,
    read_outcome,
    read_validations,
    remove_heavy,
)
from evqa.sweep.proposal import build_sampler, combination, propose
from evqa.sweep.space import Params, Space
from evqa.sweep.study import SweepStudy
from evqa.sweep.trial import Watch

TRIALS = "trials"
Admit = Callable[[Sequence[str]], Admission]
Launch = Callable[[Sequence[str], Path, Watch], Outcome]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the loop is given from outside.

    Attributes:
        admit: Asks the planner about a trial's overrides.
        launch: Runs a trial with these overrides in this folder, asking whether to stop it.
        report: Called after every trial and every refused point.
    """

    admit: Admit
    launch: Launch
    report: Callable[[FrozenTrial], None]


class Search:
    """A sweep over one study.

    With a study of its own, the trial that a killed sweep left is run again under its own number,
    so the table is that of an uninterrupted sweep. A shared study is worked on by any number of
    searches: each claims the study while it counts and adds, and retries the trials of dead ones.

    Args:
        study: Where everything is recorded.
        space: What is searched.
        settings: Totals and limits.
        seed: Seed of the proposals.
        hooks: Planner, launcher, reporting.
    """

    def __init__(
        self, study: SweepStudy, space: Space, settings: SweeperConfig, seed: int, hooks: Hooks
    ) -> None:
        self._study = study
        self._space = space
        self._settings = settings
        self._seed = seed
        self._hooks = hooks
        self.is_exhaustive = is_exhaustive(space, settings)

    def run(self) -> str | None:
        """Work until the totals are reached.

        Returns:
            Why the search had to stop early, None when it did not.
        """
        if not self._study.is_shared:
            for stale in self._study.running():
                self._work(stale)
        while not self._is_done():
            if self._gives_up():
                return self._why_it_gave_up()
            with self._study.claimed():
                trial = self._next()
            if trial is None:
                if self._study.is_shared and self._study.running():
                    time.sleep(self._study.heartbeat_s / 2)  # others may die: theirs are retried
                    continue
                return None
            if trial.state is TrialState.RUNNING:
                self._work(trial)
            else:
                self._hooks.report(trial)
        return None

    def _next(self) -> FrozenTrial | None:
        """Add the next trial, None when there is none to add now. The study is claimed."""
        if self._study.is_shared:
            stale = self._study.retry_stale()
            if stale is not None:
                return stale
            n_trials = self._settings.n_trials
            if n_trials is not None and self._study.counted() >= n_trials:
                return None
        point = self._propose()
        if point is None:
            return None
        params, system_attrs = point
        verdict = self._hooks.admit(self._space.words(params))
        return self._study.add(params, self._space.distributions, verdict, system_attrs)

    def _is_done(self) -> bool:
        paid = self._study.paid()
        n_trials, timeout_s = self._settings.n_trials, self._settings.timeout_s
        if n_trials is not None and len(paid) >= n_trials:
            return True
        spent_s = sum(float(trial.user_attrs.get("seconds", 0.0)) for trial in paid)
        return timeout_s is not None and spent_s >= timeout_s

    def _gives_up(self) -> bool:
        return (
            not self.is_exhaustive
            and self._study.infeasible_in_a_row() >= self._settings.max_infeasible
        )

    def _why_it_gave_up(self) -> str:
        last = self._study.trials()[-1]
        return (
            f"{self._study.infeasible_in_a_row()} points in a row could not run, the last because "
            f"{last.user_attrs['infeasible']}; narrow the search, or raise memory.budget_gib "
            "(python -m evqa.plan shows what fits)"
        )

    def _propose(self) -> tuple[Params, dict[str, object]] | None:
        trials = self._study.trials()
        if self.is_exhaustive:
            taken = sum("retry_of" not in trial.user_attrs for trial in trials)
            params = combination(self._space, taken)
            return None if params is None else (params, {})
        sampler = build_sampler(self._settings.sampler, self._seed + len(trials))
        point = propose(sampler, self._space, trials, self._study.minimise)
        return point.params, point.system_attrs

    def _work(self, trial: FrozenTrial) -> None:
        folder = self._study.folder / TRIALS / str(trial.number)

        def watch() -> str | None:
            if self._settings.pruner is Pruner.none:
                return None
            return self._study.should_prune(trial, read_validations(folder))

        with self._study.alive(trial):
            if is_finished(folder):  # the sweep was killed between the trial's end and its record
                outcome = self._recorded(folder, watch())
            else:
                shutil.rmtree(folder, ignore_errors=True)
                outcome = self._hooks.launch(trial.user_attrs["overrides"], folder, watch)
        self._study.finish(trial, outcome)
        self._keep_best()
        self._hooks.report(self._study.trials()[trial.number])

    def _recorded(self, folder: Path, pruned: str | None) -> Outcome:
        if pruned is not None:
            return Outcome(pruned=pruned)
        return read_outcome(folder, self._settings.objectives, 0.0)

    def _keep_best(self) -> None:
        """Remove what is heavy of all but the best trials; on a Pareto front all are best."""
        ranked = self._study.completed()[: self._settings.keep_best]
        if len(self._study.minimise) > 1 and self._settings.keep_best:
            ranked += self._study.pareto()
        best = {trial.number for trial in ranked}
        for trial in self._study.paid():
            if trial.number not in best:
                remove_heavy(self._study.folder / TRIALS / str(trial.number))


def is_exhaustive(space: Space, settings: SweeperConfig) -> bool:
    """Tell whether every combination is run in order, rather than sampled.

    Raises:
        ConfigError: neither is possible.
    """
    if settings.sampler is Sampler.grid:
        return True
    if settings.n_trials is not None or settings.timeout_s is not None:
        return False
    if space.is_finite:
        return True
    key = next(dimension.key for dimension in space.dimensions if not dimension.values)
    raise ConfigError(
        f"hydra.sweeper.n_trials: must be set, because {key} is a continuous range "
        "(or write a finite list)"
    )
