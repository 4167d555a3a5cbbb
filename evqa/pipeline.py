"""python -m evqa.pipeline: prepare, plan, train, compare with the base, release what is better.

Each stage finds what it needs when it is there already (dataset, base model); a run that was
interrupted is gone on with by ``python train.py resume=unfinished``.
"""

from pathlib import Path

from evqa.config import PipelineConfig, ReleaseConfig, run_job
from evqa.errors import GateError


def pipeline(config: PipelineConfig, folder: Path) -> None:
    """Train in ``folder``; release the adapter when it is better than its base.

    Raises:
        GateError: the verdict is not SHIP; nothing is registered.
    """
    from evqa.evaluation.verdict import decide
    from evqa.stages import run_training

    _result, comparison = run_training(config, folder)
    if decide(comparison).word != "SHIP":
        raise GateError(f"{decide(comparison).word}: nothing was released; the run is in {folder}")

    from evqa.release import release

    order = ReleaseConfig(
        paths=config.paths,
        seed=config.seed,
        output=config.output,
        run=str(folder),
        export=config.export,
        registry=config.registry,
    )
    release(order, folder)


if __name__ == "__main__":
    run_job("pipeline", PipelineConfig, pipeline)
