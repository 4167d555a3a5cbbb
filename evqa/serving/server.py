"""Running the proxy: uvicorn from code, draining on the first signal."""

import asyncio
import contextlib
import gc
import resource
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

BACKLOG = 2048
KEEP_ALIVE_S = 30
MAX_OPEN_FILES = 65_536


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
    # the protocol is named: asyncio sends small answers at once (TCP_NODELAY) only where it is
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


def raise_open_files_limit() -> None:
    """Allow as many open files as this process may have: a stream takes two.

    Many systems begin with 1,024 and allow far more to whoever asks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def serve_until_stopped(
    proxy: Proxy, listener: socket.socket, config: "ServerConfig"
) -> None:
    """Answer until SIGINT or SIGTERM; then let what is in flight finish, and return.

    A second signal stops at once.
    """
    server = _Server(_uvicorn_config(proxy, config))
    gc.collect()
    gc.freeze()  # what is here now stays: the collector need not look at it again
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, _on_signal, stop, server)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await _drain(proxy, server, config.timeouts.drain_s)
    server.should_exit = True
    await serving
    stopping.cancel()


def _uvicorn_config(proxy: Proxy, config: "ServerConfig") -> uvicorn.Config:
    application: Any = create_app(proxy)
    return uvicorn.Config(
        application,
        http=bounded_protocol(config.timeouts.header_s, lambda: proxy.fleet.primary.version),
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        access_log=False,
        log_config=None,  # what uvicorn has to say goes where all the log goes
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


async def _drain(proxy: Proxy, server: uvicorn.Server, drain_s: float) -> None:
    """Refuse what is new and wait for what is in flight."""
    proxy.gate.draining = True
    loop = asyncio.get_running_loop()
    end = loop.time() + drain_s
    gate = proxy.gate
    while (gate.in_flight or gate.num_waiting) and loop.time() < end and not server.force_exit:
        await asyncio.sleep(0.05)
