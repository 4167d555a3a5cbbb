"""The application: raw relays on exact paths, FastAPI for the pages around them."""

import contextlib
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from evqa.serving.api_error import ApiError
from evqa.serving.call import Call
from evqa.serving.docs_page import render_docs
from evqa.serving.intake import Receive, Scope, Send, header
from evqa.serving.keys import METRICS_ROUTE
from evqa.serving.openapi import openapi_document
from evqa.serving.protocol import (
    parse_chat,
    parse_completion,
    parse_predict,
    present_prediction,
)
from evqa.serving.relay import Proxy, RelayEndpoint
from evqa.serving.upstream import open_session

LOOPBACK = ("127.0.0.1", "::1")
FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Gateway:
    """Routes by the exact path in the scope; nothing else of the engine can be reached."""

    def __init__(self, proxy: Proxy, pages: FastAPI) -> None:
        self._proxy = proxy
        self._pages = pages
        self._relays = {
            "/v1/chat/completions": self._relay("/v1/chat/completions", parse_chat),
            "/v1/completions": self._relay("/v1/completions", parse_completion),
            "/predict": RelayEndpoint(
                proxy, "/predict", "/v1/chat/completions", parse_predict, present_prediction
            ),
        }

    def _relay(self, path: str, parse: Any) -> RelayEndpoint:
        return RelayEndpoint(self._proxy, path, path, parse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        relay = self._relays.get(scope["path"])
        if relay is not None:
            await relay(scope, receive, send)
            return
        call = Call(
            scope=scope, receive=receive, send=send, version=self._proxy.fleet.primary.version
        )
        scope["evqa.request_id"] = call.id
        await self._pages(scope, receive, _labelled(call))


def _labelled(call: Call) -> Send:
    async def send(message: MutableMapping[str, Any]) -> None:
        """Pass a message on, the head with its labels."""
        if message["type"] == "http.response.start":
            await call.start(message["status"], list(message["headers"]))
        else:
            await call.send(message)

    return send


def create_app(proxy: Proxy) -> Gateway:
    """Return the application of one server; its lifespan holds the connections upstream."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        """Hold the connections upstream and watch over the engines."""
        async with open_session(proxy.max_connections, proxy.timeouts) as session:
            proxy.session = session
            async with proxy.fleet.running(session):
                yield

    pages = FastAPI(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    pages.add_exception_handler(HTTPException, _shape_http_error)
    pages.add_exception_handler(ApiError, _shape_api_error)
    _add_health(pages, proxy)
    _add_pages(pages, proxy)
    return Gateway(proxy, pages)


def _add_health(pages: FastAPI, proxy: Proxy) -> None:
    @pages.get("/health")
    async def health() -> dict[str, str]:
        """Say that the proxy itself is alive."""
        return {"status": "ok"}

    @pages.get("/ready")
    async def ready() -> Response:
        """Say whether a request would be answered now."""
        primary = proxy.fleet.primary
        reason = (
            "draining" if proxy.gate.draining else None if primary.pool.ready else "engine down"
        )
        body = {"status": reason or "ready", "version": primary.version}
        headers = {"retry-after": "1"} if reason else None
        return JSONResponse(body, 503 if reason else 200, headers)

    @pages.get(METRICS_ROUTE)
    async def metrics(request: Request) -> Response:
        """Show the metrics to this machine, and to keys whose scope names them."""
        if not _is_local(request.scope):
            proxy.authenticate(request.scope, METRICS_ROUTE)
        text = proxy.accounts.metrics.render(
            in_flight=proxy.gate.in_flight, waiting=proxy.gate.num_waiting
        )
        return Response(text, headers={"content-type": METRICS_TYPE})


def _add_pages(pages: FastAPI, proxy: Proxy) -> None:
    document = openapi_document(proxy.fleet.primary.limits, proxy.max_body_bytes)

    @pages.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """List the one model that is served."""
        key = proxy.authenticate(request.scope, "/v1/models")
        primary = proxy.fleet.primary
        model = {
            "id": proxy.model_name,
            "object": "model",
            "created": 0,
            "owned_by": "evqa",
            "version": primary.version,
            "max_model_len": primary.limits.max_tokens,
        }
        return {"object": "list", "data": [model] if key.may_ask(proxy.model_name) else []}

    @pages.get("/openapi.json")
    async def openapi() -> dict[str, Any]:
        """Describe every route."""
        return document

    @pages.get("/docs")
    async def docs() -> Response:
        """Describe every route to people."""
        return HTMLResponse(render_docs(document))


def _is_local(scope: Scope) -> bool:
    """Whether a request comes from this machine itself, and not through a proxy on it."""
    client = scope.get("client") or ("",)
    return client[0] in LOOPBACK and not any(header(scope, name) for name in FORWARDED)


async def _shape_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    message = f"{path}: not found" if error.status_code == 404 else f"{path}: {error.detail}"
    shaped = ApiError(error.status_code, message)
    return _response(request, shaped, dict(error.headers or {}))


async def _shape_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    headers = {name.decode(): value.decode() for name, value in error.headers()}
    return _response(request, error, headers)


def _response(request: Request, error: ApiError, headers: dict[str, str]) -> Response:
    body = json.loads(error.body(request.scope["evqa.request_id"]))
    return JSONResponse(body, error.status, headers)
