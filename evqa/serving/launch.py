"""From the config to a running server: model, keys, engine, proxy; and down again in order."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evqa.errors import UserError
from evqa.registry import Registry
from evqa.serving.auth import KeyRing, create_key
from evqa.serving.engine import (
    EngineCommand,
    EngineProcess,
    context_tokens,
    find_vllm,
    transformers_engine,
    vllm_engine,
)
from evqa.serving.metrics import ServerMetrics
from evqa.serving.protocol import Limits
from evqa.serving.relay import Proxy
from evqa.serving.server import bind, serve_until_stopped
from evqa.serving.upstream import UpstreamPool
from evqa.serving.usage import RequestLog

if TYPE_CHECKING:
    from evqa.config import ServeConfig
    from evqa.config.serving import ServerConfig


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What is served.

    Attributes:
        folder: Null when engines elsewhere serve it.
        version: ``name/version``, or the folder's name, or ``external``.
    """

    folder: Path | None
    version: str


def serve(config: "ServeConfig", project_dir: Path) -> None:
    """Serve until a signal comes; the mistakes of a user are found before anything starts.

    Raises:
        UserError: no version to serve, no such folder, a broken keys file.
        OutsideError: no vLLM, the port is taken, the engine does not start or ends by itself.
    """
    server = config.server
    serving_dir = Path(config.paths.outputs_dir) / "serving"
    served = choose_model(config)
    command = engine_command(server, served, serving_dir, project_dir)
    with contextlib.closing(bind(server.host, server.port)) as listener:
        keys = open_keys(Path(server.keys_file or serving_dir / "keys.json"))
        address = f"http://{server.host}:{listener.getsockname()[1]}"
        with running_engine(command, serving_dir / "engine.log", server) as engine:
            proxy = make_proxy(server, served, command, keys, serving_dir)
            _say(f"serving {served.version} as {server.model_name} on {address}/v1")
            asyncio.run(serve_until_stopped(proxy, listener, server, engine))
    _say("stopped")


def choose_model(config: "ServeConfig") -> ServedModel:
    """Return what to serve: as configured, else the champion, else the candidate (and say so).

    Raises:
        UserError: when there is nothing; says what to run.
    """
    server = config.server
    if server.engine == "external":
        return ServedModel(None, "external")
    if server.model_dir:
        folder = Path(server.model_dir)
        if not (folder / "config.json").is_file():
            raise UserError(f"server.model_dir: no model in {folder} (config.json is missing)")
        return ServedModel(folder, folder.resolve().name)
    folder = Path(config.registry.folder or Path(config.paths.outputs_dir) / "registry")
    registry = Registry(folder, config.registry.name)
    version = _choose_version(registry, server.version)
    return ServedModel(registry.folder(version), f"{registry.name}/{version}")


def _choose_version(registry: Registry, wanted: str | None) -> int:
    if wanted:
        return registry.resolve(wanted)
    aliases = registry.aliases()
    if aliases.champion is not None:
        return aliases.champion
    if aliases.candidate is None:
        raise UserError(
            f"no version of {registry.name!r} is registered in {registry.root.parent}; run "
            "`python train.py` and `python -m evqa.release` first, or set server.model_dir=…"
        )
    _say(
        f"warning: {registry.name} has no champion, serving the candidate; after a look: "
        f"evqa registry promote {registry.name}/{aliases.candidate}"
    )
    return aliases.candidate


def engine_command(
    server: "ServerConfig", served: ServedModel, serving_dir: Path, project_dir: Path
) -> EngineCommand | None:
    """Return how to start the engine; null when engines run elsewhere.

    Raises:
        OutsideError: when it is not installed.
    """
    if served.folder is None:
        return None
    if server.engine == "transformers":
        _say("warning: server.engine=transformers is for demonstrations: slow, one user at a time")
        return transformers_engine(server, served.folder, serving_dir / "transformers")
    return vllm_engine(server, find_vllm(server, project_dir), served.folder)


def open_keys(path: Path) -> KeyRing:
    """Return the keys; where there has never been one, make the first and print it once.

    Raises:
        UserError: when the file is broken.
    """
    if not path.exists():
        plain = create_key(path, "first")
        _say(f"made the first API key (shown once, hash kept in {path}):\n{plain}")
    keys = KeyRing(path)
    if not len(keys):
        _say(f"warning: no good key in {path}; make one: evqa keys create NAME")
    return keys


@contextlib.contextmanager
def running_engine(
    command: EngineCommand | None, log_path: Path, server: "ServerConfig"
) -> Iterator[EngineProcess | None]:
    """Run the engine while the block runs, from its first answer to its drained end.

    Raises:
        OutsideError: when it does not start.
    """
    if command is None:
        yield None
        return
    engine = EngineProcess(command, log_path)
    engine.start()
    try:
        engine.wait_until_ready(server.start_timeout_s, sys.stderr)
        yield engine
    finally:
        engine.stop(server.timeouts.drain_s)


def make_proxy(
    server: "ServerConfig",
    served: ServedModel,
    command: EngineCommand | None,
    keys: KeyRing,
    serving_dir: Path,
) -> Proxy:
    """Wire what the endpoints share."""
    external = command is None
    tokens = (
        server.max_model_len if served.folder is None else context_tokens(server, served.folder)
    )
    pool = UpstreamPool(
        server.upstreams if command is None else [command.url],
        os.environ.get(server.upstream_key_env) if command is None else command.key,
        health_path="/v1/models" if external else "/health",
        connect_s=server.timeouts.connect_s,
    )
    return Proxy(
        keys=keys,
        pool=pool,
        limits=Limits(
            model_name=server.model_name,
            max_tokens=tokens,
            max_choices=server.max_choices,
            unsupported=frozenset() if command is None else command.unsupported,
        ),
        timeouts=server.timeouts,
        metrics=ServerMetrics(served.version),
        requests=RequestLog(serving_dir / "requests", record_text=server.record_text),
        version=served.version,
        max_body_bytes=server.max_body_kib << 10,
        max_in_flight=server.max_in_flight,
        says_done=command is None or command.says_done,
    )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
