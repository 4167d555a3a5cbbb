"""Structured configs of release and serving: export, registry, server."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from evqa.config.fields import group, number, one_of, setting


class ExportDtype(StrEnum):
    """Arithmetic type that merged weights are stored in."""

    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"


class BaseWeights(StrEnum):
    """Which weights an adapter is merged into."""

    best = "best"
    trained = "trained"
    original = "original"


class ExportQuantization(StrEnum):
    """How the linear layers of a version are stored."""

    none = "none"
    fp8 = "fp8"
    w4a16 = "w4a16"


@dataclass(kw_only=True, slots=True)
class ThresholdsConfig:
    """How far a model may be from the adapter on its base."""

    min_top1_agreement: float = number(
        0.98, ge=0, le=1, doc="share of answer tokens where both models' first choice is the same"
    )
    max_kl_nats: float = number(
        0.01, ge=0, le=100, doc="mean KL(adapter on base || model) over answer tokens, nats"
    )
    max_perplexity_ratio: float = number(
        1.05, ge=1, le=100, doc="perplexity of the adapter's answers: model / adapter on base"
    )


@dataclass(kw_only=True, slots=True)
class ParityConfig(ThresholdsConfig):
    """What the merged model must show before it is registered."""

    questions: str | None = setting(
        None, "JSONL file with a `question` a line (null: the run's benchmark, else its pairs)"
    )
    num_questions: int = number(8, ge=1, le=1000, doc="questions compared")
    max_new_tokens: int = number(16, ge=1, le=512, doc="tokens of each answer compared")


@dataclass(kw_only=True, slots=True)
class QuantizedParityConfig(ThresholdsConfig):
    """What a quantised version must show: rounding to fewer bits changes more."""

    min_top1_agreement: float = number(0.9, ge=0, le=1, doc="as in export.parity")
    max_kl_nats: float = number(0.1, ge=0, le=100, doc="as in export.parity, nats")
    max_perplexity_ratio: float = number(1.2, ge=1, le=100, doc="as in export.parity")


@dataclass(kw_only=True, slots=True)
class ServedParityConfig(ThresholdsConfig):
    """What the version must show behind the engine, whose kernels round in another order."""

    min_top1_agreement: float = number(0.95, ge=0, le=1, doc="as in export.parity")
    max_kl_nats: float = number(0.05, ge=0, le=100, doc="as in export.parity, nats")
    max_perplexity_ratio: float = number(1.1, ge=1, le=100, doc="as in export.parity")


class WhenServed(StrEnum):
    """Whether parity is proved behind the engine too."""

    auto = "auto"
    always = "always"
    never = "never"


class Gguf(StrEnum):
    """Types that llama.cpp's converter writes."""

    none = "none"
    f16 = "f16"
    bf16 = "bf16"
    q8_0 = "q8_0"


@dataclass(kw_only=True, slots=True)
class ExportConfig:
    """Merging the adapter into its base."""

    dtype: ExportDtype = setting(ExportDtype.bf16, "type of the merged weights")
    base_weights: BaseWeights = setting(
        BaseWeights.best,
        "trained: as the adapter saw them (NF4 values where it was NF4); original: unquantised; "
        "best: both, and the one nearer to the adapter on its base is kept",
    )
    quantization: ExportQuantization = setting(
        ExportQuantization.none, "store the linear layers in fewer bits, in vLLM's format"
    )
    max_shard_gib: float = number(4.0, gt=0, le=50, doc="largest safetensors file, GiB")
    parity: ParityConfig = group(ParityConfig, "the gate before registering")
    quantized_parity: QuantizedParityConfig = group(
        QuantizedParityConfig, "the gate of a quantised version"
    )
    served: WhenServed = setting(
        WhenServed.auto,
        "ask the version behind the engine too; auto: where vLLM is installed",
    )
    served_parity: ServedParityConfig = group(
        ServedParityConfig, "the gate behind the engine; an fp32 version may be held to 0 nats"
    )
    gguf: Gguf = setting(Gguf.none, "write a GGUF file into the version too, for llama.cpp")
    gguf_converter: str | None = setting(
        None, "llama.cpp's convert_hf_to_gguf.py (null: found on PATH)"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.gguf is not Gguf.none and self.quantization is not ExportQuantization.none:
            yield "gguf", f"is made from unquantised weights, but got {self.quantization}"


@dataclass(kw_only=True, slots=True)
class RegistryConfig:
    """Where versions are published."""

    name: str = setting("evqa", "name that versions are registered under")
    folder: str | None = setting(None, "registry folder (null: <outputs_dir>/registry)")
    push_to_hub: str | None = setting(
        None, "Hugging Face repository (user/name) that a new version is uploaded to, privately"
    )
    mlflow_uri: str | None = setting(
        None, "MLflow tracking server in whose model registry a new version is entered"
    )


class Engine(StrEnum):
    """What generates answers behind the proxy."""

    vllm = "vllm"
    external = "external"
    transformers = "transformers"


class Device(StrEnum):
    """Where the engine computes. auto: the GPU where NVIDIA's driver is loaded."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


@dataclass(kw_only=True, slots=True)
class TimeoutsConfig:
    """How long the proxy waits, in seconds."""

    connect_s: float = number(5.0, gt=0, le=600, doc="for the engine to accept a connection")
    first_byte_s: float = number(60.0, gt=0, le=3600, doc="for the first byte of a stream")
    idle_s: float = number(60.0, gt=0, le=3600, doc="between two pieces of a stream")
    total_s: float = number(600.0, gt=0, le=86400, doc="for a whole answer")
    header_s: float = number(10.0, gt=0, le=600, doc="for a client to send its headers")
    body_s: float = number(15.0, gt=0, le=600, doc="for a client to send its request")
    queue_s: float = number(60.0, gt=0, le=3600, doc="for a place when the server is full")
    drain_s: float = number(30.0, ge=0, le=3600, doc="for answers to finish after Ctrl-C")


class Swap(StrEnum):
    """How a newly promoted version takes over.

    parallel: its engine starts beside the old one, which then drains. restart: requests wait in
    the queue while the old engine stops and the new one starts. auto: restart on a GPU, where two
    engines rarely fit, else parallel.
    """

    auto = "auto"
    parallel = "parallel"
    restart = "restart"


class LogTarget(StrEnum):
    """Where the JSON lines of the log go. file: <outputs_dir>/serving/server.log."""

    file = "file"
    stdout = "stdout"


@dataclass(kw_only=True, slots=True)
class CanaryConfig:
    """A second version that answers a share of the keys, until it is promoted or fails."""

    percent: float = number(0.0, ge=0, le=100, doc="keys that get the canary, % (0: no canary)")
    version: str = setting("candidate", "version that is tried, a number or an alias")
    min_requests: int = number(20, ge=1, le=1_000_000, doc="answers before it is judged")
    max_error_rate: float = number(
        0.05, ge=0, le=1, doc="rolled back when a larger share of its answers fails"
    )
    max_latency_ratio: float = number(
        2.0, ge=1, le=100, doc="rolled back when its median time a token is so many champion's"
    )


@dataclass(kw_only=True, slots=True)
class ServerConfig:
    """The authenticating proxy and the engine behind it."""

    host: str = setting("127.0.0.1", "address to listen on")
    port: int = number(8000, ge=0, le=65535, doc="port to listen on (0: any free one)")
    engine: Engine = setting(Engine.vllm, "what generates the answers")
    upstreams: list[str] = setting([], "addresses of engines run elsewhere (engine=external)")
    upstream_key_env: str = setting(
        "EVQA_UPSTREAM_KEY", "NAME of the variable that holds the upstreams' key"
    )
    keys_file: str | None = setting(None, "API keys (null: <outputs_dir>/serving/keys.json)")
    model_name: str = setting("evqa", "model name that clients ask for")
    version: str | None = setting(
        None,
        "registered version, a number or an alias (null: champion, else candidate); with "
        "engine=external what its answers are labelled with",
    )
    model_dir: str | None = setting(None, "serve this folder instead of a registered version")
    vllm_command: str | None = setting(
        None, "the engine's command (null: vllm on PATH, else .venv-vllm/bin/vllm)"
    )
    vllm_args: list[str] = setting([], "further arguments of `vllm serve`")
    device: Device = setting(Device.auto, "where the engine computes")
    dtype: str = one_of(
        "auto", ("auto", "bfloat16", "float16", "float32"), "arithmetic of the engine"
    )
    max_model_len: int = number(1024, ge=16, le=1_048_576, doc="longest context served, tokens")
    max_num_seqs: int = number(32, ge=1, le=4096, doc="answers the engine generates at once")
    kv_cache_gib: float | None = number(
        None, gt=0, le=1024, doc="the engine's KV cache, GiB (null: 0.25 on CPU, its own on GPU)"
    )
    memory_gib: float | None = number(
        None, gt=0, le=4096, doc="size of the card that must hold it, GiB (null: not checked)"
    )
    num_threads: int = number(1, ge=1, le=1024, doc="the engine's CPU threads (device=cpu)")
    start_timeout_s: float = number(300.0, gt=0, le=7200, doc="for the engine to load the model")
    max_body_kib: int = number(1024, ge=1, le=65536, doc="largest request body, KiB")
    max_choices: int = number(4, ge=1, le=128, doc="largest `n` of a request")
    max_in_flight: int = number(1024, ge=1, le=65536, doc="requests relayed at once")
    max_queue: int = number(1024, ge=0, le=65536, doc="requests that wait when it is full")
    swap: Swap = setting(Swap.auto, "how a newly promoted version takes over")
    record_text: bool = setting(False, "keep questions and answers in the request records")
    log: LogTarget = setting(LogTarget.file, "where the log's JSON lines go")
    otlp_endpoint: str | None = setting(
        None, "send OpenTelemetry spans there, http://host:4318/v1/traces (needs evqa[otel])"
    )
    timeouts: TimeoutsConfig = group(TimeoutsConfig, "time-outs")
    canary: CanaryConfig = group(CanaryConfig, "trying a version on a share of the keys")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.engine is Engine.external and not self.upstreams:
            yield "upstreams", "must name at least one engine when server.engine=external"
        if self.engine is not Engine.external and self.upstreams:
            yield "upstreams", f"needs server.engine=external, but got engine={self.engine}"
        for url in self.upstreams:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                yield "upstreams", f"must be http://host:port or https://…, but got {url!r}"
            elif parts.path.strip("/") or parts.query:
                yield "upstreams", f"must end after the port (no /v1), but got {url!r}"
        if self.canary.percent and (self.engine is Engine.external or self.model_dir):
            yield "canary.percent", "needs a registered version (not model_dir, not external)"
