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
from evqa.sweep.admission import admit, memory_correction
from evqa.sweep.outcome import Outcome
from evqa.sweep.plots import write_plots
from evqa.sweep.proposal import build_pruner, check_sampler
from evqa.sweep.report import print_summary, say, write_files
from evqa.sweep.search import Hooks, Search, is_exhaustive
from evqa.sweep.space import Space, parse_space
from evqa.sweep.study import SweepStudy
from evqa.sweep.trial import (
    ForkedTrial,
    SeparateTrial,
    TrialServer,
    Watch,
    finished_outcome,
    run_trial,
)

HASH_CHARACTERS = 8
SEVERAL_DEVICES = ("trainer=ddp", "trainer=fsdp", "trainer.devices=", "trainer.num_nodes=")
OWN_KEYS = (
    "hydra.sweeper", "hydra/sweeper", "hydra.sweep.", "hydra.run.", "hydra.mode",
    "hydra.launcher", "hydra/launcher",
)  # fmt: skip


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
        command: What starts a single run, before its overrides; its last word is the script.
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
        return sha256_json([sorted(self.words), settings.params, list(settings.objectives)])

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
    check_sampler(task.settings.sampler, space, len(task.settings.objectives))
    is_exhaustive(space, task.settings)  # refuses a continuous range without a total
    if task.settings.storage is not None:
        _sweep_claimed(task, space)
        return
    try:
        with folder_lock(task.study_folder, wait=False):
            _sweep_claimed(task, space)
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


def _sweep_claimed(task: Sweep, space: Space) -> None:
    settings = task.settings
    study = SweepStudy(task.study_folder, settings, task.fingerprint, build_pruner(settings))
    server = TrialServer(task.command[-1], settings.preload)
    try:
        search = Search(study, space, settings, task.seed, _hooks(task, space, study, server))
        _say_where(study, settings)
        stopped = search.run()
        write_files(study, space, settings.objectives, _shown_command(task))
        write_plots(study, space, settings.objectives)
        print_summary(study, space, settings.objectives)
        _judge(study, stopped, is_exhaustive=search.is_exhaustive)
    finally:
        server.close()
        study.close()


def _hooks(task: Sweep, space: Space, study: SweepStudy, server: TrialServer) -> Hooks:
    settings = task.settings
    passed_on = [word for word in task.hydra_words if not word.lstrip("+~").startswith(OWN_KEYS)]
    factor = study.correct_memory(memory_correction(task.folder))

    def launch(words: Sequence[str], folder: Path, watch: Watch) -> Outcome:
        place = f"hydra.run.dir={quoted(str(folder))}"
        arguments = [*_grouped(words, study.folder.name), *words, *passed_on, place]
        command = [*task.command, *arguments]
        several = any(word.startswith(SEVERAL_DEVICES) for word in words)

        def start(log: Path) -> ForkedTrial | SeparateTrial:
            return SeparateTrial(command, log) if several else ForkedTrial(server, arguments, log)

        outcome = run_trial(start, command, folder, settings.trial_timeout_s, watch)
        return finished_outcome(outcome, folder, settings.objectives)

    def report(trial: FrozenTrial) -> None:
        say(study, space, trial, settings.objectives)
        write_files(study, space, settings.objectives, _shown_command(task))

    return Hooks(lambda words: admit(task.job, words, factor), launch, report)


def _grouped(words: Sequence[str], study: str) -> list[str]:
    """Return the override that groups a sweep's runs in the tracker, unless one is given."""
    return (
        []
        if any(w.startswith("logger.experiment=") for w in words)
        else [f"logger.experiment={quoted(study)}"]
    )


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
    unfinished = [
        t for t in study.trials() if t.state is not TrialState.COMPLETE and t in study.paid()
    ] or [t for t in study.trials() if t.state is not TrialState.COMPLETE]
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
