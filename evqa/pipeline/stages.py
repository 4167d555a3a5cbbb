"""The stages: what each needs, where its finished work is found, and how it is made."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evqa.architectures import Architecture
from evqa.config import EvaluateConfig, PipelineConfig, ReleaseConfig, TrainConfig, to_dict
from evqa.config.jobs import Stage
from evqa.errors import GateError, OutsideError
from evqa.files import read_json, sha256_file, sha256_json
from evqa.provenance import code_sha256
from evqa.registry import Registry
from evqa.runs import find_run

if TYPE_CHECKING:
    from evqa.prepare import PreparedDataset
    from evqa.stages import Base

KEY = "pipeline_key"
TRAINING_CODE = (
    "models", "data", "training", "memory", "architectures.py", "records.py", "stages.py",
)  # fmt: skip
EVALUATION_CODE = ("evaluation", "models", "scoring.py", "records.py")
RELEASE_CODE = ("export", "registry", "models", "release.py")
NOT_TRAINED_WITH = ("paths", "logger", "output", "name", "resume")


@dataclass(slots=True)
class Progress:
    """What the stages so far have made."""

    config: PipelineConfig
    words: list[str]
    log: Path
    dataset: "PreparedDataset | None" = None
    base: "Base | None" = None
    run: Path | None = None
    evaluation: Path | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One stage.

    Attributes:
        find: Notes finished work in the progress and returns True, or returns False.
        make: Does the work and notes it.
        figure: What is worth telling of it, in a few words.
    """

    stage: Stage
    find: Callable[[Progress], bool]
    make: Callable[[Progress], None]
    figure: Callable[[Progress], str]


def steps(config: PipelineConfig) -> list[Step]:
    """Return the stages up to ``until_stage``, in their order."""
    every = [
        Step(Stage.prepare, _found_dataset, _prepare, _dataset_figure),
        Step(Stage.plan, lambda _at: False, _plan, _plan_figure),
        Step(Stage.train, _found_run, _train, _run_figure),
        Step(Stage.evaluate, _found_evaluation, _evaluate, _evaluation_figure),
        Step(Stage.gate, lambda _at: False, _gate, _gate_figure),
        Step(Stage.release, _found_version, _release, _version_figure),
        Step(Stage.promote, lambda _at: False, _promote, _version_figure),
    ]
    order = list(Stage)
    return every[: order.index(config.until_stage) + 1]


# prepare


def _found_dataset(at: Progress) -> bool:
    from evqa.prepare import find_dataset

    at.dataset = find_dataset(at.config)
    return at.dataset is not None


def _prepare(at: Progress) -> None:
    from evqa.prepare import prepare_dataset

    if at.dataset is not None:  # to be done again
        shutil.rmtree(at.dataset.folder)
    at.dataset = prepare_dataset(at.config)


def _dataset_figure(at: Progress) -> str:
    assert at.dataset is not None
    counts = at.dataset.manifest["counts"]
    return f"{counts['documents']} documents, {counts['pairs']} pairs"


# plan


def _plan(at: Progress) -> None:
    """Refuse what does not fit before anything is trained; a sweep asks for each trial."""
    from evqa import stages
    from evqa.memory.budget import fitting_changes, require_fit
    from evqa.memory.planner import plan_training

    assert at.dataset is not None
    at.base = stages.base(at.config, at.dataset)
    if at.config.sweep is None:
        shape = Architecture.from_folder(at.base.folder)
        made = plan_training(at.config, shape)
        require_fit(made, [] if made.fits else fitting_changes(at.config, shape))


def _plan_figure(at: Progress) -> str:
    budget = at.config.memory.budget_gib
    return "no budget" if budget is None else f"fits {budget:g} GiB"


# train


def training_key(at: Progress) -> str:
    """Return the hash of what decides a trained adapter: data, base, config, code."""
    assert at.dataset is not None
    assert at.base is not None
    values = to_dict(at.config)
    fields = {field.name for field in dataclasses.fields(TrainConfig)} - set(NOT_TRAINED_WITH)
    return sha256_json(
        {
            "dataset": at.dataset.manifest,
            "base": at.base.sha256,
            "config": {name: values[name] for name in sorted(fields)},
            "sweep": at.config.sweep,
            "code": code_sha256(*TRAINING_CODE),
        }
    )


def _runs(at: Progress, key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield this pipeline's runs and their manifests, newest first."""
    root = Path(at.config.paths.outputs_dir) / "runs"
    for file in sorted(root.glob(f"*/{KEY}"), reverse=True):
        if not file.parent.is_symlink() and file.read_text(encoding="utf-8") == key:
            manifest = file.parent / "manifest.json"
            yield file.parent, read_json(manifest) if manifest.is_file() else {}


def _found_run(at: Progress) -> bool:
    if at.config.sweep is not None:
        return False  # the study itself knows what is left to do
    finished = [folder for folder, m in _runs(at, training_key(at)) if m.get("finished")]
    at.run = finished[0] if finished else None
    return at.run is not None


def _train(at: Progress) -> None:
    if at.config.sweep is not None:
        at.run = _swept(at)
        return
    from evqa.stages import run_training

    key = training_key(at)
    begun = [(folder, m) for folder, m in _runs(at, key) if not m.get("finished")]
    config: TrainConfig = at.config
    if begun:
        at.run, manifest = begun[0]
        config = dataclasses.replace(at.config, resume=str(at.run)) if manifest else config
    else:
        at.run = _new_run(at, key)
    run_training(config, at.run)


def _new_run(at: Progress, key: str) -> Path:
    moment = datetime.now(UTC).astimezone().strftime("%Y-%m-%d_%H-%M-%S-%f")
    root = Path(at.config.paths.outputs_dir).absolute() / "runs"
    folder = root / f"{moment}_{at.config.name}"
    folder.mkdir(parents=True)
    (folder / KEY).write_text(key, encoding="utf-8")
    return folder


def _swept(at: Progress) -> Path:
    """Run or continue the search in a process of its own, and return its best trial."""
    config: PipelineConfig = at.config
    search = config.sweep
    outputs = Path(at.config.paths.outputs_dir).absolute()
    study = f"pipeline_{search}_{training_key(at)[:8]}"
    command = [
        sys.executable, "train.py", "-m", f"hparams_search={search}",
        f"hydra.sweeper.study_name={study}", *at.words,
    ]  # fmt: skip
    from evqa.config import project_dir

    with at.log.open("a", encoding="utf-8") as log:
        done = subprocess.run(  # noqa: S603  our own train.py
            command, cwd=project_dir(), stdout=log, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode == GateError.exit_code:
        raise GateError(f"the sweep {study} found nothing that can be trained; see {at.log}")
    if done.returncode:
        raise OutsideError(f"the sweep {study} ended with {done.returncode}; see {at.log}")
    return find_run(outputs, str(outputs / "sweeps" / study))


def _run_figure(at: Progress) -> str:
    assert at.run is not None
    loss = (read_json(at.run / "manifest.json").get("training") or {}).get("validation_loss")
    return f"{at.run.name}" + ("" if loss is None else f", validation loss {loss:.3f}")


# evaluate and gate


def evaluation_config(at: Progress) -> EvaluateConfig:
    """Return what evaluate.py would be told for the run."""
    config = at.config
    generation = dataclasses.replace(config.generation)
    return EvaluateConfig(
        paths=config.paths,
        seed=config.seed,
        output=config.output,
        run=str(at.run),
        benchmark=config.benchmark,
        retention=config.retention,
        generation=generation,
        metrics=config.metrics,
        performance=config.performance,
        registry=config.registry,
        logger=config.logger,
    )


def evaluation_key(at: Progress) -> str:
    """Return the hash of what decides an evaluation: answers asked for, rule, code."""
    from evqa.scoring import asked, request_key

    config = evaluation_config(at)
    return sha256_json(
        {
            "request": request_key(asked(config)),
            "metrics": to_dict(config.metrics),
            "performance": to_dict(config.performance),
            "code": code_sha256(*EVALUATION_CODE),
        }
    )


def _found_evaluation(at: Progress) -> bool:
    key = evaluation_key(at)
    root = Path(at.config.paths.outputs_dir) / "evaluations"
    for file in sorted(root.glob(f"*/{KEY}"), reverse=True):
        done = (file.parent / "results.json").is_file()
        if done and file.read_text(encoding="utf-8") == key:
            at.evaluation = file.parent
            return True
    return False


def _evaluate(at: Progress) -> None:
    from evqa.scoring import evaluate_systems

    moment = datetime.now(UTC).astimezone().strftime("%Y-%m-%d_%H-%M-%S-%f")
    folder = Path(at.config.paths.outputs_dir).absolute() / "evaluations" / moment
    folder.mkdir(parents=True)
    (folder / KEY).write_text(evaluation_key(at), encoding="utf-8")
    evaluate_systems(evaluation_config(at), folder)
    at.evaluation = folder


def results(at: Progress) -> dict[str, Any]:
    """Return the evaluation's ``results.json``."""
    assert at.evaluation is not None
    return dict(read_json(at.evaluation / "results.json"))


def _evaluation_figure(at: Progress) -> str:
    decision = results(at)["decision"]
    gain = 100 * decision["difference"]["value"]
    return f"{decision['deciding_metric']} {gain:+.1f} points"


def _gate(at: Progress) -> None:
    made = results(at)
    config: PipelineConfig = at.config
    if made["verdict"] != "SHIP" and config.require_ship:
        reason = made["decision"]["reasons"][-1]
        raise GateError(
            f"{made['verdict']}: {reason}; nothing was released; the report is in {at.evaluation}"
        )


def _gate_figure(at: Progress) -> str:
    return str(results(at)["verdict"])


# release and promote


def release_config(at: Progress) -> ReleaseConfig:
    """Return what ``python -m evqa.release`` would be told for the run."""
    config = at.config
    return ReleaseConfig(
        paths=config.paths,
        seed=config.seed,
        output=config.output,
        run=str(at.run),
        export=config.export,
        registry=config.registry,
    )


def release_key(at: Progress) -> str:
    """Return the hash of what decides a version: run, evaluation, export, code."""
    assert at.run is not None
    assert at.evaluation is not None
    return sha256_json(
        {
            "run": sha256_file(at.run / "manifest.json"),
            "evaluation": sha256_file(at.evaluation / "results.json"),
            "export": to_dict(at.config.export),
            "code": code_sha256(*RELEASE_CODE),
        }
    )


def _registry(at: Progress) -> Registry:
    from evqa.release import registry_folder

    return Registry(registry_folder(release_config(at)), at.config.registry.name)


def _found_version(at: Progress) -> bool:
    registry, key = _registry(at), release_key(at)
    for version in reversed(registry.versions()):
        if registry.manifest(version).lineage.get(KEY) == key:
            at.version = version
            return True
    return False


def _release(at: Progress) -> None:
    from evqa.release import release_run

    at.version = release_run(release_config(at), {KEY: release_key(at)})


def _promote(at: Progress) -> None:
    assert at.version is not None
    _registry(at).promote(at.version)


def _version_figure(at: Progress) -> str:
    registry = _registry(at)
    names = dataclasses.asdict(registry.aliases())
    held = [alias for alias, version in names.items() if version == at.version]
    return f"{registry.name}/{at.version}" + (f" ({', '.join(held)})" if held else "")
