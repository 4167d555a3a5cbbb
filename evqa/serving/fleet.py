"""The versions being served: the champion, perhaps a canary, and those that still drain.

The fleet restarts engines that die, follows the registry's aliases without losing a request, and
takes a failing canary back.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evqa.errors import EvqaError
from evqa.serving.canary import Rollbacks, has_canary, verdict
from evqa.serving.deployment import Deployment
from evqa.serving.gate import Gate
from evqa.serving.metrics import ServerMetrics

if TYPE_CHECKING:
    import aiohttp

    from evqa.config.serving import ServerConfig

HEALTH_INTERVAL_S = 1.0
WATCH_INTERVAL_S = 0.25
MAX_BACKOFF_S = 60.0
STEADY_S = 60.0
log = logging.getLogger(__name__)


class Launcher(Protocol):
    """Starts and stops engines; every call blocks until it is done."""

    def launch(self, version: str) -> Deployment:
        """Start a version's engine and wait until it answers."""

    def relaunch(self, deployment: Deployment) -> None:
        """Start a deployment's engine again."""

    def stop(self, deployment: Deployment) -> None:
        """Stop a deployment's engine."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the registry says should be served."""

    primary: str
    canary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """How engines are started, and which.

    Attributes:
        launcher: Starts and stops them.
        target: Reads what should be served; null where that never changes.
        rollbacks: Canaries that failed.
        in_place: Two engines do not fit: the old one stops before the new one starts.
    """

    launcher: Launcher
    target: Callable[[], Target] | None = None
    rollbacks: Rollbacks = field(default_factory=Rollbacks)
    in_place: bool = False


class Fleet:
    """Chooses who answers, and keeps the engines running.

    Args:
        primary: The version served at first.
        gate: Where requests wait while a version is exchanged in place.
        config: The server's settings.
        metrics: Told of restarts, swaps and rollbacks.
        engines: How engines are started; null where they run elsewhere.
        say: Tells the operator, in one line.

    Attributes:
        primary: The version that answers.
        canary: The version that answers some keys.
    """

    def __init__(
        self,
        primary: Deployment,
        gate: Gate,
        config: "ServerConfig",
        metrics: ServerMetrics,
        *,
        engines: Engines | None = None,
        say: Callable[[str], None] = log.warning,
    ) -> None:
        self.primary = primary
        self.canary: Deployment | None = None
        self._gate = gate
        self._config = config
        self._metrics = metrics
        self._engines = engines
        self._say = say
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarting: set[Deployment] = set()
        self._met: Target | None = None
        self._rejected: set[str] = set()  # since the target last changed

    def choose(self, key_id: str) -> Deployment:
        """Return the version that answers a key."""
        canary = self.canary
        percent = self._config.canary.percent
        if canary is None or not canary.pool.ready:
            return self.primary
        return canary if has_canary(key_id, canary.version, percent) else self.primary

    @property
    def deployments(self) -> list[Deployment]:
        """The versions that get requests."""
        return [self.primary, *([self.canary] if self.canary else [])]

    def judge(self, deployment: Deployment) -> None:
        """Take the canary back when its answers are too bad."""
        if deployment is self.canary:
            reason = verdict(deployment.outcomes, self.primary.outcomes, self._config.canary)
            if reason:
                self._roll_back(deployment, reason)

    @contextlib.asynccontextmanager
    async def running(self, session: "aiohttp.ClientSession") -> Any:
        """Watch over the engines while the block runs."""
        self._spawn(self._watch_health(session))
        if self._engines is not None:
            self._spawn(self._watch_engines())
            if self._engines.target is not None:
                self._spawn(self._follow(self._engines.target, self._engines.rollbacks))
        try:
            yield self
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a watcher ended", exc_info=error)

    async def _watch_health(self, session: "aiohttp.ClientSession") -> None:
        while True:
            started = time.monotonic()
            for deployment in self.deployments:
                await deployment.pool.check_health(session)
                self._metrics.engine_up(deployment.version, up=deployment.pool.ready)
            await asyncio.sleep(max(0.0, HEALTH_INTERVAL_S - (time.monotonic() - started)))

    async def _watch_engines(self) -> None:
        """Notice engines that have ended."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            for deployment in self.deployments:
                engine = deployment.engine
                if engine is None or engine.running or deployment in self._restarting:
                    continue
                if deployment is self.canary:
                    self._roll_back(deployment, f"its engine ended: {engine.last_error()}")
                else:
                    self._restarting.add(deployment)
                    self._spawn(self._restart(deployment))

    async def _restart(self, deployment: Deployment) -> None:
        """Start an engine again, waiting longer each time it ends soon."""
        assert self._engines is not None
        assert deployment.engine is not None
        try:
            pause_s = deployment.next_backoff_s(STEADY_S, MAX_BACKOFF_S)
            deployment.pool.replace([], None)
            deployment.pool.retry_after_s = pause_s + deployment.start_took_s
            self._say(
                f"the engine of {deployment.version} ended: {deployment.engine.last_error()}; "
                f"starting it again in {pause_s:g} s"
            )
            await asyncio.sleep(pause_s)
            self._metrics.count_restart(deployment.version)
            await asyncio.to_thread(self._engines.launcher.relaunch, deployment)
            self._say(f"the engine of {deployment.version} answers again")
        except EvqaError as error:
            log.warning("restart of %s: %s", deployment.version, error)
        finally:
            self._restarting.discard(deployment)

    async def _follow(self, read_target: Callable[[], Target], rollbacks: Rollbacks) -> None:
        """Serve what the registry names."""
        while True:
            try:
                target = read_target()
            except (EvqaError, OSError, ValueError) as error:
                log.warning("the registry cannot be read: %s", error)
            else:
                await self._meet(target, rollbacks)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _meet(self, target: Target, rollbacks: Rollbacks) -> None:
        if target != self._met:
            self._met = target
            self._rejected.clear()
        if target.primary not in (self.primary.version, *self._rejected):
            await self._swap(target.primary)
        wanted = target.canary
        if wanted in (self.primary.version, *self._rejected) or wanted in rollbacks:
            wanted = None
        if self.canary is not None and self.canary.version != wanted:
            self._retire_canary()
        if self.canary is None and wanted is not None:
            await self._start_canary(wanted)

    async def _swap(self, version: str) -> None:
        old = self.primary
        self._say(f"{version} was promoted: taking over from {old.version}")
        try:
            if self.canary is not None and self.canary.version == version:
                self.primary, self.canary = self.canary, None
            elif self._engines is not None and self._engines.in_place:
                await self._swap_in_place(version)
                return
            else:
                self.primary = await self._launch(version)
        except EvqaError as error:
            self._reject(version, f"{error}; {old.version} is served on")
            return
        self._swapped(version)
        self._spawn(self._retire(old))

    async def _swap_in_place(self, version: str) -> None:
        """Exchange the engine where two do not fit: everybody waits meanwhile."""
        old = self.primary
        self._say(f"requests wait while {old.version} stops and {version} starts")
        self._restarting.add(old)
        self._gate.pause()
        try:
            await self._gate.wait_idle(self._config.timeouts.total_s)
            await self._stop(old)
            try:
                self.primary = await self._launch(version)
            except EvqaError as error:
                self._reject(version, f"{error}; starting {old.version} again")
                self.primary = await self._launch(old.version)
            else:
                self._swapped(version)
        except EvqaError as error:  # the watcher goes on trying
            log.warning("%s did not come back: %s", old.version, error)
        finally:
            self._restarting.discard(old)
            self._gate.resume()

    async def _start_canary(self, version: str) -> None:
        percent = self._config.canary.percent
        try:
            self.canary = await self._launch(version)
        except EvqaError as error:
            self._reject(version, str(error))
            return
        self._say(f"{version} is the canary: it answers {percent:g} % of the keys")

    def _roll_back(self, canary: Deployment, reason: str) -> None:
        self._say(f"the canary {canary.version} was rolled back: {reason}")
        self._metrics.count_rollback(canary.version)
        self._rejected.add(canary.version)
        if self._engines is not None:
            self._engines.rollbacks.add(canary.version, reason)
        self._retire_canary()

    def _retire_canary(self) -> None:
        canary, self.canary = self.canary, None
        if canary is not None:
            self._spawn(self._retire(canary))

    async def _retire(self, deployment: Deployment) -> None:
        await self._stop(deployment)
        self._metrics.forget(deployment.version)

    async def _stop(self, deployment: Deployment) -> None:
        assert self._engines is not None
        await deployment.wait_idle(self._config.timeouts.total_s)
        await asyncio.to_thread(self._engines.launcher.stop, deployment)

    async def _launch(self, version: str) -> Deployment:
        assert self._engines is not None
        return await asyncio.to_thread(self._engines.launcher.launch, version)

    def _swapped(self, version: str) -> None:
        self._metrics.count_swap("done")
        self._say(f"serving {version}")

    def _reject(self, version: str, why: str) -> None:
        self._rejected.add(version)
        self._metrics.count_swap("failed")
        self._say(f"{version} cannot be served: {why}")
