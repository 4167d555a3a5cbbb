"""From the config to a running server: model, keys, engine, proxy; and down again in order."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import uvloop

from evqa.errors import UserError
from evqa.registry import Registry
from evqa.serving.accounts import Accounts
from evqa.serving.auth import KeyRing
from evqa.serving.canary import Rollbacks
from evqa.serving.deployment import Deployment
from evqa.serving.engine import uses_gpu
from evqa.serving.fleet import Engines, Fleet, Target
from evqa.serving.gate import Gate
from evqa.serving.jsonlog import JsonLog, JsonLogHandler
from evqa.serving.keys import create_key
from evqa.serving.launcher import EngineLauncher, open_registry
from evqa.serving.limits import KeyLimiter, this_month
from evqa.serving.metrics import ServerMetrics
from evqa.serving.protocol import Limits
from evqa.serving.relay import Proxy
from evqa.serving.server import bind, raise_open_files_limit, serve_until_stopped
from evqa.serving.settings import dump_settings
from evqa.serving.tracing import Tracer
from evqa.serving.upstream import UpstreamPool
from evqa.serving.usage import RequestLog, UsageJournal

if TYPE_CHECKING:
    from evqa.config import ServeConfig
    from evqa.config.serving import CanaryConfig

ENTRY = "import sys; sys.path.insert(0, {root!r}); from evqa.serving.daemon import main; main()"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What is served at first.

    Attributes:
        folder: Null when engines elsewhere serve it.
        version: ``name/version``, or the folder's name, or ``external``.
        follows: The registry decides what is served next.
    """

    folder: Path | None
    version: str
    follows: bool = False


def serve(config: "ServeConfig", project_dir: Path) -> NoReturn:
    """Become the server: replace this process by one that holds neither Hydra nor its memory.

    The process keeps its id, so signals, supervisors and shells see one and the same.
    """
    reader, writer = os.pipe()
    os.write(writer, dump_settings(config, project_dir).encode())  # fits the pipe's 64 KiB
    os.close(writer)
    os.set_inheritable(reader, True)
    root = str(Path(__file__).resolve().parents[2])
    words = [sys.executable, "-c", ENTRY.format(root=root), str(reader), *sys.argv]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, words)  # noqa: S606  ourselves


def run(config: "ServeConfig", project_dir: Path) -> None:
    """Serve until a signal comes; the mistakes of a user are found before anything starts.

    Raises:
        UserError: no version to serve, no such folder, a broken keys file.
        OutsideError: no vLLM, the port is taken, the engine does not start.
    """
    server = config.server
    serving_dir = Path(config.paths.outputs_dir) / "serving"
    raise_open_files_limit()
    served = choose_model(config)
    launcher = EngineLauncher(config, project_dir, serving_dir)
    if served.folder is not None:
        launcher.check(served.folder)
    with contextlib.ExitStack() as held:
        listener = held.enter_context(contextlib.closing(bind(server.host, server.port)))
        keys = open_keys(Path(server.keys_file or serving_dir / "keys.json"))
        log = held.enter_context(opened_log(None if server.log == "stdout" else serving_dir))
        held.callback(launcher.close)
        primary = first_deployment(config, served, launcher)
        proxy = make_proxy(config, primary, keys, log, launcher if served.folder else None, served)
        held.callback(proxy.accounts.stop)
        address = f"http://{_spelled(server.host)}:{listener.getsockname()[1]}"
        _say(f"serving {served.version} as {server.model_name} on {address}/v1")
        uvloop.run(serve_until_stopped(proxy, listener, server))
    _say("stopped")


def choose_model(config: "ServeConfig", say: Callable[[str], None] | None = None) -> ServedModel:
    """Return what to serve: as configured, else the champion, else the candidate (and say so).

    Raises:
        UserError: when there is nothing; says what to run.
    """
    server = config.server
    if server.engine == "external":
        return ServedModel(None, server.version or "external")
    if server.model_dir:
        folder = Path(server.model_dir)
        if not (folder / "config.json").is_file():
            raise UserError(f"server.model_dir: no model in {folder} (config.json is missing)")
        return ServedModel(folder, folder.resolve().name)
    registry = open_registry(config)
    version = _choose_version(registry, server.version, say or _say)
    follows = not (server.version or "").isdecimal()
    return ServedModel(registry.folder(version), f"{registry.name}/{version}", follows)


def _choose_version(registry: Registry, wanted: str | None, say: Callable[[str], None]) -> int:
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
    say(
        f"warning: {registry.name} has no champion, serving the candidate; after a look: "
        f"evqa registry promote {registry.name}/{aliases.candidate}"
    )
    return aliases.candidate


def target_reader(config: "ServeConfig", first: str) -> Callable[[], Target]:
    """Return what reads from the registry which versions should be served.

    While there is no champion, the version served at first stays: a candidate is not yet meant
    for everybody.
    """
    server = config.server
    registry = open_registry(config)
    path = registry.root / "aliases.json"
    stamp: tuple[int, int] | None = None
    target = Target(first)

    def read() -> Target:
        """Return the target; the file is read when it has changed."""
        nonlocal stamp, target
        found = path.stat()
        now = (found.st_mtime_ns, found.st_ino)
        if now != stamp:
            target = _target(registry, server.version, first, server.canary)
            stamp = now
        return target

    return read


def _target(registry: Registry, wanted: str | None, first: str, canary: "CanaryConfig") -> Target:
    name = registry.name
    champion = registry.aliases().champion
    if wanted:
        primary = f"{name}/{registry.resolve(wanted)}"
    else:
        primary = f"{name}/{champion}" if champion is not None else first
    if not canary.percent:
        return Target(primary)
    try:
        return Target(primary, f"{name}/{registry.resolve(canary.version)}")
    except UserError:  # no version has the alias at the moment
        return Target(primary)


def first_deployment(
    config: "ServeConfig", served: ServedModel, launcher: EngineLauncher
) -> Deployment:
    """Start the engine and wait for it; engines elsewhere are only named.

    Raises:
        OutsideError: when it does not start.
    """
    server = config.server
    if served.folder is None:
        pool = UpstreamPool(
            server.upstreams, os.environ.get(server.upstream_key_env), health_path="/v1/models"
        )
        limits = Limits(
            model_name=server.model_name,
            max_tokens=server.max_model_len,
            max_choices=server.max_choices,
        )
        return Deployment(version=served.version, limits=limits, pool=pool)
    if server.engine == "transformers":
        _say("warning: server.engine=transformers is for demonstrations: slow, one user at a time")
    return launcher.launch_folder(served.version, served.folder)


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
def opened_log(serving_dir: Path | None) -> Iterator[JsonLog]:
    """Hold the log, and send Python's logging there, while the block runs."""
    log = JsonLog(serving_dir / "server.log" if serving_dir else None)
    handler = JsonLogHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    try:
        yield log
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        log.close()


def make_proxy(
    config: "ServeConfig",
    primary: Deployment,
    keys: KeyRing,
    log: JsonLog,
    launcher: EngineLauncher | None,
    served: ServedModel,
) -> Proxy:
    """Wire what the endpoints share."""
    server = config.server
    serving_dir = Path(config.paths.outputs_dir) / "serving"
    journal = UsageJournal(serving_dir / "usage")
    metrics = ServerMetrics()
    accounts = Accounts(
        metrics,
        RequestLog(serving_dir / "requests", record_text=server.record_text),
        journal,
        log,
        server.model_name,
        Tracer(server.otlp_endpoint) if server.otlp_endpoint else None,
    )
    gate = Gate(server.max_in_flight, server.max_queue, server.timeouts.queue_s)
    fleet = Fleet(
        primary,
        gate,
        server,
        metrics,
        engines=make_engines(config, launcher, served) if launcher else None,
        say=_say,
    )
    accounts.fleet = fleet
    return Proxy(
        keys=keys,
        limiter=KeyLimiter(journal.month_tokens(this_month())),
        gate=gate,
        fleet=fleet,
        accounts=accounts,
        model_name=server.model_name,
        timeouts=server.timeouts,
        max_body_bytes=server.max_body_kib << 10,
        max_connections=server.max_in_flight,
    )


def make_engines(config: "ServeConfig", launcher: EngineLauncher, served: ServedModel) -> Engines:
    """Say how engines are started, and which."""
    server = config.server
    return Engines(
        launcher=launcher,
        target=target_reader(config, served.version) if served.follows else None,
        rollbacks=Rollbacks(Path(config.paths.outputs_dir) / "serving" / "rollbacks.jsonl"),
        in_place=server.swap == "restart" or (server.swap == "auto" and uses_gpu(server)),
    )


def _spelled(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a closed terminal stops no server
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
