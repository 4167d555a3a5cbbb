"""Running the proxy: uvicorn from code, draining on the first signal."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

from evqa.errors import OutsideError
from evqa.serving.app import create_app
from evqa.serving.connection import bounded_protocol
from evqa.serving.relay import Proxy

if TYPE_CHECKING:
    from evqa.config.serving import ServerConfig
    from evqa.serving.engine import EngineProcess

BACKLOG = 2048
KEEP_ALIVE_S = 30
WATCH_S = 0.25


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would stop listening before the drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve_until_stopped`."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; nobody is answered before the proxy listens.

    Raises:
        OutsideError: when the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OutsideError(
            f"cannot listen on {host}:{port} ({error.strerror}); stop what does, or take another "
            "server.port"
        ) from None
    listener.set_inheritable(False)
    return listener


async def serve_until_stopped(
    proxy: Proxy, listener: socket.socket, config: "ServerConfig", engine: "EngineProcess | None"
) -> None:
    """Answer until SIGINT or SIGTERM; then let what is in flight finish, and return.

    A second signal stops at once.

    Raises:
        OutsideError: when the engine ends by itself.
    """
    server = _Server(_uvicorn_config(proxy, config))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, _on_signal, stop, server)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    watching = asyncio.create_task(_watch(stop, engine))
    await asyncio.wait({serving, watching}, return_when=asyncio.FIRST_COMPLETED)
    await _drain(proxy, server, config.timeouts.drain_s)
    server.should_exit = True
    await serving
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    if not stop.is_set() and engine is not None:
        raise OutsideError(f"the engine ended by itself: {engine.last_error()}")


def _uvicorn_config(proxy: Proxy, config: "ServerConfig") -> uvicorn.Config:
    application: Any = create_app(proxy)
    return uvicorn.Config(
        application,
        http=bounded_protocol(config.timeouts.header_s),
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,  # what is in flight has had its drain_s before
    )


def _on_signal(stop: asyncio.Event, server: uvicorn.Server) -> None:
    if stop.is_set():
        server.should_exit = server.force_exit = True
    stop.set()


async def _watch(stop: asyncio.Event, engine: "EngineProcess | None") -> None:
    """Return when a signal came, or the engine has ended."""
    while not stop.is_set() and (engine is None or engine.running):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_S)


async def _drain(proxy: Proxy, server: uvicorn.Server, drain_s: float) -> None:
    """Refuse what is new and wait for what is in flight."""
    proxy.draining = True
    loop = asyncio.get_running_loop()
    end = loop.time() + drain_s
    while proxy.in_flight and loop.time() < end and not server.force_exit:
        await asyncio.sleep(0.05)
