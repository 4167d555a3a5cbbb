"""The engine as a child process: vLLM, or transformers' own server as a demonstration.

What each flag and variable is for was measured on vLLM 0.32 and 0.33; see `docs/decisions`.
"""

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from evqa.errors import OutsideError, UserError

if TYPE_CHECKING:
    from evqa.config.serving import ServerConfig

GUARDIAN = Path(__file__).with_name("guardian.py")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
POLL_S = 0.25
REPORT_EVERY_S = 10.0
CPU_KV_CACHE_GIB = 0.25
LOG_TAIL_BYTES = 1 << 15
LOG_KEEP_BYTES = 16 << 20
# it takes frequency_penalty, but for another penalty
UNSUPPORTED_BY_TRANSFORMERS = frozenset(
    {"n", "logprobs", "top_logprobs", "response_format", "echo", "stop", "seed"}
    | {"presence_penalty", "frequency_penalty"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCommand:
    """How to start an engine.

    Attributes:
        environment: Set on top of this process's own; null removes a variable.
        key: The engine's bearer token; empty when it takes none.
        says_done: It ends a stream with ``[DONE]``.
        bounds_prompts: It refuses prompts over the context.
        unsupported: Request fields that it would ignore.
    """

    arguments: list[str]
    environment: dict[str, str | None]
    port: int
    cwd: Path
    key: str = ""
    health_path: str = "/health"
    says_done: bool = True
    bounds_prompts: bool = True
    unsupported: frozenset[str] = field(default_factory=frozenset)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def find_vllm(config: "ServerConfig", project_dir: Path) -> list[str]:
    """Return the command that starts vLLM.

    Raises:
        UserError: when ``server.vllm_command`` is not a program.
        OutsideError: when no vLLM is installed.
    """
    if config.vllm_command:
        words = shlex.split(config.vllm_command)
        if not words or shutil.which(words[0]) is None:
            raise UserError(f"server.vllm_command: no such program: {config.vllm_command!r}")
        return words
    local = project_dir / ".venv-vllm" / "bin" / "vllm"
    found = shutil.which("vllm") or (str(local) if local.is_file() else None)
    if found is None:
        raise OutsideError(
            "no vllm on PATH and none in .venv-vllm; install it with `make serve-env`, or name it "
            "with server.vllm_command=…"
        )
    return [found]


def uses_gpu(config: "ServerConfig") -> bool:
    """Tell whether the engine computes on a GPU, without loading any driver."""
    return NVIDIA_DRIVER.is_file() if config.device == "auto" else config.device == "gpu"


def context_tokens(config: "ServerConfig", model_dir: Path) -> int:
    """Return the longest context that can be served, tokens: the config's, or the model's.

    Raises:
        UserError: when the folder is not a model.
    """
    path = model_dir / "config.json"
    if not path.is_file():
        raise UserError(f"{model_dir}: not a model folder (config.json is missing)")
    own = json.loads(path.read_text(encoding="utf-8")).get("max_position_embeddings")
    return min(config.max_model_len, int(own)) if own else config.max_model_len


def vllm_engine(config: "ServerConfig", program: list[str], model_dir: Path) -> EngineCommand:
    """Return how to start vLLM for a model folder, with a random key on a free loopback port."""
    port, key = free_port(), secrets.token_urlsafe(32)
    arguments = [
        *program, "serve", str(model_dir.resolve()),
        "--host", "127.0.0.1",
        "--port", str(port),
        "--served-model-name", config.model_name,
        "--dtype", config.dtype,
        "--max-model-len", str(context_tokens(config, model_dir)),
        "--max-num-seqs", str(config.max_num_seqs),
        "--shutdown-timeout", str(max(1, round(config.timeouts.drain_s))),
        "--uvicorn-log-level", "warning",
        *_kv_cache_arguments(config),
    ]  # fmt: skip
    environment: dict[str, str | None] = {
        "VLLM_API_KEY": key,  # in the environment, not in the arguments that `ps` shows
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        **_OFFLINE,
    }
    if not uses_gpu(config):
        arguments.append("--enforce-eager")
        environment |= {
            "OMP_NUM_THREADS": str(config.num_threads),
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_KVCACHE_SPACE": None,
            # The first request for logprobs would compile C++: 16 s, and an engine that dies where
            # the environment's path has a space (torch 2.13 does not quote include folders).
            "TORCHDYNAMO_DISABLE": "1",
        }
    return EngineCommand(
        arguments=[*arguments, *config.vllm_args],
        environment=environment,
        port=port,
        cwd=model_dir,
        key=key,
    )


_OFFLINE: dict[str, str | None] = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _kv_cache_arguments(config: "ServerConfig") -> list[str]:
    size_gib = config.kv_cache_gib or (None if uses_gpu(config) else CPU_KV_CACHE_GIB)
    return ["--kv-cache-memory-bytes", str(int(size_gib * 2**30))] if size_gib else []


def transformers_engine(config: "ServerConfig", model_dir: Path, folder: Path) -> EngineCommand:
    """Return how to start ``transformers serve``: slow, for one user, where vLLM cannot be had.

    It names a model by the path it was started with, so it runs beside a link that has the
    model's name.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / config.model_name
    link.unlink(missing_ok=True)
    link.symlink_to(model_dir.resolve())
    program = Path(sys.executable).with_name("transformers")
    if not program.is_file():
        raise OutsideError(f"{program} is missing; install evqa's environment with `make env`")
    device = "auto" if uses_gpu(config) else "cpu"
    arguments = [str(program), "serve", config.model_name, "--host", "127.0.0.1"]
    return EngineCommand(
        arguments=[*arguments, "--port", str(port), "--device", device, "--dtype", config.dtype],
        environment={"OMP_NUM_THREADS": str(config.num_threads), **_OFFLINE},
        port=port,
        cwd=folder,
        says_done=False,
        bounds_prompts=False,
        unsupported=UNSUPPORTED_BY_TRANSFORMERS,
    )


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EngineProcess:
    """An engine that runs, in a process group of its own, behind a guardian.

    Args:
        command: How to start it.
        log_path: What it prints is added here.
        model_dir: The model that it serves.
    """

    def __init__(self, command: EngineCommand, log_path: Path, model_dir: Path) -> None:
        self.command = command
        self.log_path = log_path
        self.model_dir = model_dir
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it dies with this process, however this process dies."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **self.command.environment}
        if self.log_path.is_file() and self.log_path.stat().st_size > LOG_KEEP_BYTES:
            self.log_path.replace(self.log_path.with_name(self.log_path.name + ".1"))
        with self.log_path.open("ab") as log_file:
            self._log_start = log_file.tell()
            self._process = subprocess.Popen(  # noqa: S603  the user's own engine
                [sys.executable, "-ES", str(GUARDIAN), *self.command.arguments],
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in environment.items() if value is not None},
                cwd=self.command.cwd,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def wait_until_ready(self, timeout_s: float, report: IO[str]) -> None:
        """Wait until it answers, and say so every now and then.

        Raises:
            OutsideError: when it ends, or takes too long; names the log.
        """
        started = time.monotonic()
        said_at = started
        while not self._answers():
            now = time.monotonic()
            if not self.running:
                raise OutsideError(f"the engine did not start: {self.last_error()}")
            if now - started > timeout_s:
                raise OutsideError(
                    f"the engine did not answer within server.start_timeout_s={timeout_s:g} "
                    f"(log: {self.log_path})"
                )
            if now - said_at >= REPORT_EVERY_S:
                said_at = now
                report.write(f"loading the engine: {now - started:.0f} s ({self.log_path})\n")
            time.sleep(POLL_S)
        report.write(f"the engine answers after {time.monotonic() - started:.0f} s\n")

    def last_error(self) -> str:
        """Return the last line of its log that tells of an error, and where the log is."""
        with self.log_path.open("rb") as stream:
            stream.seek(max(self._log_start, self.log_path.stat().st_size - LOG_TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
        wrong = [line.strip() for line in lines if "Error" in line] or lines or ["it said nothing"]
        return f"{wrong[-1][-300:].strip()} (log: {self.log_path})"

    def stop(self, drain_s: float) -> None:
        """Ask it to finish what it answers, wait, then kill its whole group."""
        process = self._process
        if process is None:
            return
        try:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):  # it had its time
                    process.wait(drain_s)
        finally:
            self._kill_group(process)

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    def _answers(self) -> bool:
        url = f"{self.command.url}{self.command.health_path}"
        try:
            with _OPENER.open(url, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


# never through a proxy that the environment names: the engine is on this machine
_OPENER: Any = urllib.request.build_opener(urllib.request.ProxyHandler({}))
