"""The pipeline's job: every stage in turn, and what became of it."""

import dataclasses
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from evqa.config import PipelineConfig, TrainConfig, run_job
from evqa.config.jobs import Stage
from evqa.errors import EvqaError
from evqa.files import folder_lock
from evqa.pipeline.stages import Progress, Step, steps
from evqa.pipeline.watch import LOG, Watch
from evqa.pipeline.webhook import tell


def pipeline(config: PipelineConfig, folder: Path) -> None:
    """Do what is left to do; a refusal is exit code 4 and releases nothing."""
    every = steps(config)
    watch = Watch(folder, [step.stage for step in every])
    at = Progress(config, training_words(), folder / LOG)
    outputs = Path(config.paths.outputs_dir)
    with folder_lock(outputs / "pipelines"), watch.shown():
        _run(every, at, watch)
    watch.event("finished")
    watch.summary(run=at.run, evaluation=at.evaluation, version=at.version, failed=None)
    _say(at, watch)


def _run(every: list[Step], at: Progress, watch: Watch) -> None:
    config: PipelineConfig = at.config
    again = config.force
    for step in every:
        again = again or step.stage is config.from_stage
        try:
            with watch.running(step.stage) as row:
                found = step.find(at)
                if not found or again:
                    step.make(at)
                row.state = "cached" if found and not again else "done"
                row.figure = step.figure(at)
        except EvqaError as error:
            _failed(step.stage, error, at, watch)
            raise


def _failed(stage: Stage, error: EvqaError, at: Progress, watch: Watch) -> None:
    line = " ".join(str(error).split())
    watch.event("failed", stage=stage, error=line, exit_code=error.exit_code)
    watch.summary(run=at.run, evaluation=at.evaluation, version=None, failed=stage)
    told = {"event": "failed", "stage": stage.value, "error": line, "folder": str(watch.folder)}
    config: PipelineConfig = at.config
    tell(config.webhook_env, told)


def training_words() -> list[str]:
    """Return those words of the command line that train.py understands too."""
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    words = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return [word for word in words if word.lstrip("+~").partition("=")[0].split(".")[0] in fields]


def _say(at: Progress, watch: Watch) -> None:
    lines = [f"{row.stage:<9} {row.figure}" for row in watch.rows.values()]
    sys.stdout.write("\n".join([*lines, f"\n{watch.folder}", ""]))
    if at.evaluation is not None:
        sys.stdout.write(f"report   {at.evaluation / 'report.html'}\n")
    if at.version is not None:
        sys.stdout.write("next: python serve.py\n")


if __name__ == "__main__":
    run_job("pipeline", PipelineConfig, pipeline)
