"""The root config of each job. Groups are shared; a job has those that it reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from evqa.config.data import DataConfig, DocumentsConfig, QAConfig, SourcesConfig
from evqa.config.evaluation import (
    BenchmarkConfig,
    EndpointConfig,
    GenerationConfig,
    MetricsConfig,
    PerformanceConfig,
)
from evqa.config.fields import group, number, setting
from evqa.config.model import LoraConfig, ModelConfig, QuantizationConfig
from evqa.config.serving import ExportConfig, RegistryConfig, ServerConfig
from evqa.config.training import (
    CallbacksConfig,
    LoggerConfig,
    LrSchedulerConfig,
    MemoryConfig,
    OptimizerConfig,
    TrainerConfig,
)


class Output(StrEnum):
    """What a job prints."""

    table = "table"
    json = "json"


@dataclass(kw_only=True, slots=True)
class PathsConfig:
    """Where things are written. Relative paths count from the current folder."""

    outputs_dir: str = setting("outputs", "runs, sweeps, evaluations, registry, caches, Aim")
    prepared_dir: str = setting("data/prepared", "prepared datasets")


@dataclass(kw_only=True, slots=True)
class JobConfig:
    """What every job has."""

    paths: PathsConfig = group(PathsConfig, "folders")
    seed: int = number(42, ge=0, le=2**32 - 1, doc="seed of everything random")
    output: Output = setting(Output.table, "table for people, json for programs")


@dataclass(kw_only=True, slots=True)
class PrepareConfig(JobConfig):
    """python -m evqa.prepare: sources to chunks and pairs."""

    data: DataConfig = group(DataConfig, "the dataset")
    sources: SourcesConfig = group(SourcesConfig, "where documents come from")
    documents: DocumentsConfig = group(DocumentsConfig, "cleaning, splitting, chunking")
    qa: QAConfig = group(QAConfig, "question-answer pairs")
    benchmark: BenchmarkConfig = group(
        BenchmarkConfig, "its held-out documents are never trained on"
    )


@dataclass(kw_only=True, slots=True)
class TrainConfig(PrepareConfig):
    """python train.py: prepare, plan, train, compare with the base."""

    name: str = setting("run", "part of the run folder's name")
    resume: str | None = setting(None, "run folder to go on with, or 'unfinished' for the newest")
    best: str | None = setting(None, "study whose best trial's overrides are taken")
    model: ModelConfig = group(ModelConfig, "the base model")
    quantization: QuantizationConfig = group(QuantizationConfig, "storage of the frozen base")
    lora: LoraConfig = group(LoraConfig, "the adapter")
    optimizer: OptimizerConfig = group(OptimizerConfig, "the optimiser")
    lr_scheduler: LrSchedulerConfig = group(LrSchedulerConfig, "learning rate over the run")
    trainer: TrainerConfig = group(TrainerConfig, "Lightning's trainer")
    memory: MemoryConfig = group(MemoryConfig, "the memory budget")
    logger: LoggerConfig = group(LoggerConfig, "the experiment tracker")
    callbacks: CallbacksConfig = group(CallbacksConfig, "what watches the training")
    generation: GenerationConfig = group(GenerationConfig, "how answers are generated")
    metrics: MetricsConfig = group(MetricsConfig, "how systems are compared")


@dataclass(kw_only=True, slots=True)
class PlanConfig(TrainConfig):
    """python -m evqa.plan: what a training will take, before it runs."""


class Stage(StrEnum):
    """The pipeline's stages, in their order."""

    prepare = "prepare"
    plan = "plan"
    train = "train"
    evaluate = "evaluate"
    gate = "gate"
    release = "release"
    promote = "promote"


@dataclass(kw_only=True, slots=True)
class ShowBatchConfig(TrainConfig):
    """python -m evqa.show_batch: the tokens of a step, and which of them are labels."""

    run: str | None = setting(None, "run folder or 'latest'; null: the first step of this config")
    step: int = number(1, ge=1, doc="optimiser step whose samples are shown")
    samples: list[str] = setting([], "ids of samples, instead of a step")
    max_samples: int = number(4, ge=1, le=10_000, doc="samples shown at most")


@dataclass(kw_only=True, slots=True)
class PipelineConfig(TrainConfig):
    """python -m evqa.pipeline: from documents to a registered version; what is done is kept."""

    from_stage: Stage | None = setting(
        None, "do this stage and those after it again (null: only what is not done yet)"
    )
    until_stage: Stage = setting(Stage.release, "last stage; promote makes it the champion")
    force: bool = setting(False, "do every stage again")
    require_ship: bool = setting(True, "release nothing whose verdict is not SHIP")
    sweep: str | None = setting(
        None, "train by this search (an option of hparams_search), and take its best trial"
    )
    webhook_env: str | None = setting(
        None, "NAME of the variable with a URL that is told of failures and refusals"
    )
    retention: BenchmarkConfig = group(BenchmarkConfig, "general questions")
    performance: PerformanceConfig = group(PerformanceConfig, "speed and memory")
    export: ExportConfig = group(ExportConfig, "merging")
    registry: RegistryConfig = group(RegistryConfig, "where versions are published")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield stages that are in the wrong order."""
        order = list(Stage)
        if self.from_stage and order.index(self.from_stage) > order.index(self.until_stage):
            yield "from_stage", f"{self.from_stage} comes after until_stage={self.until_stage}"


@dataclass(kw_only=True, slots=True)
class EvaluateConfig(JobConfig):
    """python evaluate.py: two or more systems on the benchmark; the verdict is on the second."""

    run: str = setting("latest", "run folder, or 'latest' for the newest finished run")
    systems: list[str] = setting(
        ["base", "tuned"],
        "what is compared, the first being the baseline: base and tuned (of run=), run:NAME, "
        "version:NAME/VERSION, endpoint:URL, endpoint:MODEL@URL",
    )
    benchmark: BenchmarkConfig = group(BenchmarkConfig, "the questions")
    retention: BenchmarkConfig = group(
        BenchmarkConfig, "general questions, to see what was forgotten (retention=none: not asked)"
    )
    generation: GenerationConfig = group(GenerationConfig, "how answers are generated")
    metrics: MetricsConfig = group(MetricsConfig, "how systems are compared")
    performance: PerformanceConfig = group(PerformanceConfig, "speed and memory")
    endpoint: EndpointConfig = group(EndpointConfig, "how served systems are asked")
    registry: RegistryConfig = group(RegistryConfig, "where version: systems are looked up")
    logger: LoggerConfig = group(LoggerConfig, "the experiment tracker")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield lists of systems that cannot be compared."""
        if len(self.systems) < 2:
            yield "systems", f"needs two or more to compare, but got {len(self.systems)}"
        if len(set(self.systems)) < len(self.systems):
            yield "systems", "names one system twice"


@dataclass(kw_only=True, slots=True)
class ReleaseConfig(JobConfig):
    """python -m evqa.release: merge the best checkpoint and register a version."""

    run: str = setting("latest", "run folder, or 'latest' for the newest finished run")
    export: ExportConfig = group(ExportConfig, "merging")
    registry: RegistryConfig = group(RegistryConfig, "where versions are published")
    server: ServerConfig = group(ServerConfig, "the engine that parity is proved behind")


@dataclass(kw_only=True, slots=True)
class ServeConfig(JobConfig):
    """python serve.py: the engine behind the authenticating proxy."""

    server: ServerConfig = group(ServerConfig, "proxy and engine")
    registry: RegistryConfig = group(RegistryConfig, "where versions are published")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.server.version and self.server.model_dir:
            yield "server.model_dir", "cannot be set together with server.version"
