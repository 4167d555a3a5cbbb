"""How every job starts: ``run_job`` wraps ``hydra.main`` and owns the exit code.

Bare Hydra exits 1 with a traceback, swallows return codes, and starts a multirun before it has
looked at its last combination. Here the whole command line is checked before anything starts, and
what a job raises becomes one line on stderr and the exit code of its class in `evqa.errors`.
"""

import logging
import os
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from evqa.config.best import with_best
from evqa.config.compose import (
    VERSION_BASE,
    compose_config,
    one_line,
    parse_overrides,
    to_plain,
)
from evqa.config.help import help_text
from evqa.config.jobs import JobConfig
from evqa.config.register import config_dir, register_configs
from evqa.config.resume import resumed
from evqa.errors import (
    ConfigError,
    EvqaError,
    InterruptedRunError,
    UserError,
    as_disk_full,
    from_os_error,
)

C = TypeVar("C", bound=JobConfig)
Job = Callable[[C, Path], Any]
SEARCH_KEYS = {"hparams_search", "hydra.sweeper.n_trials", "hydra.sweeper.timeout_s"}
log = logging.getLogger(__name__)


def run_job(name: str, schema: type[C], job: Job[C]) -> NoReturn:
    """Run ``job(config, folder)`` with the config that the command line asks for, and exit.

    Args:
        name: The job's primary YAML in ``conf/``, without suffix.
        schema: Its root dataclass; the job gets an instance, checked.
        job: The work. ``folder`` is Hydra's run folder; what it returns is the objective of a
            sweep. What it raises decides the exit code (see `evqa.errors`).
    """
    register_configs()
    signal.signal(signal.SIGTERM, _raise_interrupted)
    # Hydra then lets exceptions through to us, instead of printing them and exiting 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Idle OpenMP threads that spin for long slow a shared machine down, and those that sleep at
    # once double the time of small layers; 20,000 turns (some 20 µs) are the best of both.
    os.environ.setdefault("OMP_WAIT_POLICY", "ACTIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        sys.stdout.write(help_text(name, schema))
        sys.exit(0)
    sys.exit(_guarded(lambda: _start(name, schema, job, arguments)))


def _raise_interrupted(signum: int, _frame: FrameType | None) -> None:
    raise InterruptedRunError("stopped; run the same command again", signum)


def _guarded(work: Callable[[], int]) -> int:
    """Run ``work`` and translate what it raises into one line and an exit code."""
    try:
        return work()
    except EvqaError as error:
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say("interrupted; run the same command again", 128 + signal.SIGINT)
    except MemoryError:
        return _say("out of memory on this machine; try a smaller trainer.micro_batch_size", 3)
    except OSError as error:
        translated = from_os_error(error)
        log.debug("%s", traceback.format_exc())
        return _say(str(translated), translated.exit_code)
    except Exception as error:  # noqa: BLE001  the last line of defence: anything else is a bug
        return _report_bug(error)


def _say(message: str, exit_code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return exit_code


def _report_bug(error: Exception) -> int:
    if type(error).__name__ == "OutOfMemoryError":
        return _say(f"out of memory on the device: {str(error).splitlines()[0]}", 3)
    if full := as_disk_full(error):
        return _say(str(full), full.exit_code)
    log.error("%s", traceback.format_exc())
    line = str(error).splitlines()[0] if str(error) else ""
    return _say(f"a bug in evqa, please report it: {type(error).__name__}: {line}", 1)


def _start(name: str, schema: type[C], job: Job[C], arguments: Sequence[str]) -> int:
    known = get_args_parser().parse_args(list(arguments))
    chosen = with_best(name, known.overrides)
    if chosen != known.overrides:  # Hydra reads the command line itself
        options = [word for word in arguments if word not in known.overrides]
        sys.argv[1:] = [*options, *chosen]
        known.overrides = chosen
    if known.hydra_help or known.shell_completion:
        return _through_hydra(name, lambda _config: None)
    if known.multirun and known.cfg:
        raise ConfigError("--cfg prints one config; leave -m out, and one value for each key")
    combinations = to_check(known.overrides) if known.multirun else [list(known.overrides)]
    configs = [to_plain(compose_config(name, words), schema) for words in combinations]
    if not known.multirun and getattr(configs[0], "resume", None):
        config, folder = resumed(configs[0], schema, known.overrides)
        return _run_one(job, config, folder)
    return _hydra_codes(name, schema, job)


def _hydra_codes(name: str, schema: type[C], job: Job[C]) -> int:
    """Let Hydra run the job once, or once a combination; return the first non-zero exit code."""
    codes: list[int] = []

    def task(config: DictConfig) -> Any:
        results: list[Any] = []
        folder = Path(HydraConfig.get().runtime.output_dir)
        plain = to_plain(config, schema)
        quiet_libraries()

        def work() -> int:
            results.append(job(plain, folder))
            return 0

        codes.append(_guarded(work))
        if codes[-1] == UserError.exit_code:
            _leave_nothing(folder)
        if codes[-1] > 128:
            raise SystemExit(codes[-1])
        return results[0] if results else None

    _through_hydra(name, task)
    return next((code for code in codes if code), 0)


def _leave_nothing(folder: Path) -> None:
    """Remove the folder of a run that the user's input ended before it had anything to keep.

    Otherwise it would stand there as an unfinished run that nobody can resume. A folder that holds
    anything but a run's first files (someone's own, given as hydra.run.dir) is left alone.
    """
    first_files = {".hydra", "manifest.json", "plan.json", f"{HydraConfig.get().job.name}.log"}
    found = {entry.name for entry in folder.iterdir()}
    if ".hydra" in found and found <= first_files and folder.resolve() != Path.cwd():
        shutil.rmtree(folder)


def _through_hydra(name: str, task: Callable[[DictConfig], Any]) -> int:
    start = hydra.main(version_base=VERSION_BASE, config_path=str(config_dir()), config_name=name)
    try:
        start(task)()
    except HydraException as error:
        raise ConfigError(one_line(error)) from None
    return 0


def _run_one(job: Job[C], config: C, folder: Path) -> int:
    handler = logging.FileHandler(folder / "resume.log")
    logging.basicConfig(level=logging.INFO, handlers=[handler, logging.StreamHandler()])
    quiet_libraries()
    job(config, folder)
    return 0


def quiet_libraries() -> None:
    """Leave the console to evqa: libraries speak when something is wrong."""
    for name in ("absl", "httpx", "datasets", "aim", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # peft 0.21 asks transformers 5.23 by old names; nobody here can mend that.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    # It says on every CPU that an optional package is absent.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def to_check(words: Sequence[str]) -> list[list[str]]:
    """Return the combinations that must be valid before a multirun starts.

    Finite lists are all run, so each combination counts. A search samples its space and may meet
    combinations that cannot run (it passes over them): there each value is checked once.
    """
    overrides = parse_overrides(words)
    keys = {override.key_or_group for override in overrides}
    intervals = any(override.is_interval_sweep() for override in overrides)
    if not intervals and not keys & SEARCH_KEYS:
        return expand(words)
    values = [_values(override) for override in overrides]
    longest = max(map(len, values), default=1)
    return [[value[min(i, len(value) - 1)] for value in values] for i in range(longest)]


def expand(words: Sequence[str]) -> list[list[str]]:
    """Return every combination of a multirun's finite lists, in Hydra's order.

    Continuous ranges (``interval``) have no finite list: their lower bound stands for them, so
    that the rest of the combination is checked.
    """
    combinations: list[list[str]] = [[]]
    for override in parse_overrides(words):
        values = _values(override)
        combinations = [[*done, value] for done in combinations for value in values]
    return combinations


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line or ""]
    key = (override.input_line or "").partition("=")[0]
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}"]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]
