"""Starting and stopping the engines of registered versions."""

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from evqa.errors import OutsideError, UserError
from evqa.registry import Registry, parse_reference
from evqa.serving.context import token_counter
from evqa.serving.deployment import Deployment
from evqa.serving.engine import (
    EngineCommand,
    EngineProcess,
    context_tokens,
    find_vllm,
    transformers_engine,
    vllm_engine,
)
from evqa.serving.protocol import Limits
from evqa.serving.upstream import UpstreamPool

if TYPE_CHECKING:
    from evqa.config import ServeConfig


class EngineLauncher:
    """Starts engines for folders of models; implements `evqa.serving.fleet.Launcher`.

    Args:
        config: The job's config.
        project_dir: Where ``.venv-vllm`` may be.
        serving_dir: Where logs go.
    """

    def __init__(self, config: "ServeConfig", project_dir: Path, serving_dir: Path) -> None:
        self._config = config
        self._project_dir = project_dir
        self._serving_dir = serving_dir
        self._running: set[EngineProcess] = set()
        self._lock = threading.Lock()
        self._closed = False

    def check(self, folder: Path) -> None:
        """Find what an engine for the folder needs, before anything starts.

        Raises:
            UserError: no such command, no such model.
            OutsideError: no engine is installed.
        """
        self._command(folder)

    def launch(self, version: str) -> Deployment:
        """Start a version's engine and wait until it answers.

        Raises:
            UserError: no such version.
            OutsideError: it does not start.
        """
        return self.launch_folder(version, version_folder(self._config, version))

    def launch_folder(self, version: str, folder: Path) -> Deployment:
        """Start an engine for a model folder and wait until it answers.

        Raises:
            OutsideError: it does not start.
        """
        command = self._command(folder)
        server = self._config.server
        deployment = Deployment(
            version=version,
            limits=Limits(
                model_name=server.model_name,
                max_tokens=context_tokens(server, folder),
                max_choices=server.max_choices,
                unsupported=command.unsupported,
                count_tokens=None if command.bounds_prompts else token_counter(folder),
            ),
            pool=UpstreamPool([], None, health_path=command.health_path),
            says_done=command.says_done,
        )
        self._start(deployment, folder, command)
        return deployment

    def relaunch(self, deployment: Deployment) -> None:
        """Start a deployment's engine again and wait until it answers.

        Raises:
            OutsideError: it does not start.
        """
        assert deployment.engine is not None
        self.stop(deployment)
        folder = deployment.engine.model_dir
        self._start(deployment, folder, self._command(folder))

    def stop(self, deployment: Deployment) -> None:
        """Stop a deployment's engine."""
        if deployment.engine is not None:
            deployment.engine.stop(self._config.server.timeouts.drain_s)
            with self._lock:
                self._running.discard(deployment.engine)

    def close(self) -> None:
        """Stop every engine, those that are still starting too; none can be started any more."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        stoppers = [
            threading.Thread(target=engine.stop, args=(self._config.server.timeouts.drain_s,))
            for engine in running
        ]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()

    def _start(self, deployment: Deployment, folder: Path, command: EngineCommand) -> None:
        log_path = self._serving_dir / f"engine-{deployment.version.replace('/', '-')}.log"
        engine = EngineProcess(command, log_path, folder)
        with self._lock:
            if self._closed:
                raise OutsideError("the server is stopping")
            self._running.add(engine)
            engine.start()
        deployment.engine = engine
        started = time.monotonic()
        try:
            engine.wait_until_ready(self._config.server.start_timeout_s, sys.stderr)
        except BaseException:
            engine.stop(0)
            raise
        deployment.start_took_s = time.monotonic() - started
        deployment.ready_at_s = time.monotonic()
        deployment.pool.replace([command.url], command.key, healthy=True)

    def _command(self, folder: Path) -> EngineCommand:
        server = self._config.server
        if server.engine == "transformers":
            return transformers_engine(server, folder, self._serving_dir / "transformers")
        return vllm_engine(server, find_vllm(server, self._project_dir), folder)


def open_registry(config: "ServeConfig") -> Registry:
    """Return the registry that versions are served from."""
    folder = Path(config.registry.folder or Path(config.paths.outputs_dir) / "registry")
    return Registry(folder, config.registry.name)


def version_folder(config: "ServeConfig", version: str) -> Path:
    """Return the folder of ``name/version``.

    Raises:
        UserError: when it is not registered, or not a model.
    """
    _, number = parse_reference(version)
    folder = open_registry(config).folder(int(number))
    if not (folder / "config.json").is_file():
        raise UserError(f"{version}: no model in {folder} (config.json is missing)")
    return folder
