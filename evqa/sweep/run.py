"""A whole sweep: the space from the command line, the study from its folder, the report."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from evqa.config.compose import compose_config
from evqa.config.fields import problems
from evqa.config.register import JOBS
from evqa.config.sweep import SweeperConfig
from evqa.errors import ConfigError, GateError, UserError
from evqa.files import folder_lock, sha256_json
from evqa.sweep.admission import admit
from evqa.sweep.outcome import Outcome
from evqa.sweep.proposal import check_sampler
from evqa.sweep.report import print_summary, say, write_files
from evqa.sweep.search import Hooks, Search, is_exhaustive
from evqa.sweep.space import Space, parse_space
from evqa.sweep.study import SweepStudy
from evqa.sweep.trial import run_trial

HASH_CHARACTERS = 8
OWN_KEYS = ("hydra.sweeper", "hydra/sweeper", "hydra.sweep.", "hydra.run.", "hydra.mode")


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is to be done.

    Attributes:
        job: The primary YAML, ``train``.
        name: The run's name; begins the name of a study that has none.
        seed: Seed of the proposals.
        words: The overrides of the command line, searched ones among them.
        hydra_words: Its overrides of Hydra's own keys.
        settings: ``hydra.sweeper``.
        folder: Holds the studies' folders.
        command: What starts a single run, before its overrides.
    """

    job: str
    name: str
    seed: int
    words: tuple[str, ...]
    hydra_words: tuple[str, ...]
    settings: SweeperConfig
    folder: Path
    command: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Hash of what makes two searches the same; totals and limits may change."""
        settings = self.settings
        return sha256_json([sorted(self.words), settings.params, settings.objective])

    @property
    def study_folder(self) -> Path:
        """Where the study lives."""
        automatic = f"{self.name}_{self.fingerprint[:HASH_CHARACTERS]}"
        return self.folder / (self.settings.study_name or automatic)


def sweep(task: Sweep) -> None:
    """Run or continue a sweep and report on it.

    Raises:
        ConfigError: the search or ``hydra.sweeper`` is wrong.
        UserError: another process works on this study, or the sampler's package is missing.
        GateError: nothing ran to its end, or a combination of a finite list did not.
    """
    for key, problem in problems(task.settings, "hydra.sweeper."):
        raise ConfigError(f"{key}: {problem}")
    space = searched_space(task)
    check_sampler(task.settings.sampler, space)
    is_exhaustive(space, task.settings)  # refuses a continuous range without a total
    try:
        with folder_lock(task.study_folder, wait=False):
            _sweep_locked(task, space)
    except BlockingIOError:
        raise UserError(f"{task.study_folder}: another sweep is working on this study") from None


def searched_space(task: Sweep) -> Space:
    """Return the space of ``hydra.sweeper.params`` and the command line, which has the last word.

    Every value of ``params`` is composed once, so that a misspelt key or option is found before
    the start; the command line's have been (see `evqa.config.run_job`).

    Raises:
        ConfigError: an unknown key, or a value that does not compose.
    """
    words = [*(f"{key}={value}" for key, value in task.settings.params.items()), *task.words]
    space = parse_space(words, JOBS[task.job])
    if not task.settings.params:
        return space
    longest = max((len(dimension.values) for dimension in space.dimensions), default=0)
    for place in range(max(1, longest)):
        compose_config(task.job, [*space.fixed, *(d.example(place) for d in space.dimensions)])
    return space


def _sweep_locked(task: Sweep, space: Space) -> None:
    settings = task.settings
    study = SweepStudy(
        task.study_folder, settings.objective, task.fingerprint, minimise=settings.minimise
    )
    try:
        search = Search(study, space, settings, task.seed, _hooks(task, space, study))
        _say_where(study, settings)
        stopped = search.run()
        write_files(study, space, settings.objective, _shown_command(task))
        print_summary(study, space, settings.objective)
        _judge(study, stopped, is_exhaustive=search.is_exhaustive)
    finally:
        study.close()


def _hooks(task: Sweep, space: Space, study: SweepStudy) -> Hooks:
    settings = task.settings
    passed_on = [word for word in task.hydra_words if not word.lstrip("+~").startswith(OWN_KEYS)]

    def launch(words: Sequence[str], folder: Path) -> Outcome:
        place = f"hydra.run.dir={quoted(str(folder))}"
        command = [*task.command, *words, *passed_on, place]
        return run_trial(command, folder, settings.objective, settings.trial_timeout_s)

    def report(trial: FrozenTrial) -> None:
        say(study, space, trial, settings.objective)
        write_files(study, space, settings.objective, _shown_command(task))

    return Hooks(lambda words: admit(task.job, words), launch, report)


def quoted(text: str) -> str:
    """Return a text as a quoted value of the override grammar."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shown_command(task: Sweep) -> list[str]:
    return ["python", Path(task.command[-1]).name]


def _say_where(study: SweepStudy, settings: SweeperConfig) -> None:
    done = len(study.paid())
    total = "" if settings.n_trials is None else f" of {settings.n_trials}"
    again = f"{done}{total} trials are there; going on" if done else "new"
    sys.stdout.write(f"study {study.folder.name} ({again}): {shlex.quote(str(study.folder))}\n")
    sys.stdout.flush()


def _judge(study: SweepStudy, stopped: str | None, *, is_exhaustive: bool) -> None:
    if stopped is not None:
        raise GateError(stopped)
    unfinished = [t for t in study.trials() if t.state is not TrialState.COMPLETE]
    if not study.completed():
        reasons = [
            t.user_attrs.get("reason") or t.user_attrs.get("infeasible") for t in unfinished
        ]
        last = f"; the last: {reasons[-1]}" if reasons else ""
        raise GateError(f"study {study.folder.name}: no trial of {len(unfinished)} finished{last}")
    if is_exhaustive and unfinished:
        numbers = ", ".join(str(trial.number) for trial in unfinished)
        raise GateError(
            f"study {study.folder.name}: {len(unfinished)} of {len(study.trials())} combinations "
            f"did not finish (trials {numbers}; reasons in trials.csv)"
        )
