"""The application: raw relays on exact paths, FastAPI for the pages around them."""

import contextlib
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from evqa.serving.intake import Receive, Scope, Send
from evqa.serving.protocol import (
    ApiError,
    parse_chat,
    parse_completion,
    parse_predict,
    present_prediction,
)
from evqa.serving.relay import Call, Proxy, RelayEndpoint

LOOPBACK = ("127.0.0.1", "::1")


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
        call = Call(send=send, version=self._proxy.version)
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
        """Hold the connections upstream."""
        async with proxy.pool.opened(max_connections=proxy.max_in_flight):
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
    _add_pages(pages, proxy)
    return Gateway(proxy, pages)


def _add_pages(pages: FastAPI, proxy: Proxy) -> None:
    @pages.get("/health")
    async def health() -> dict[str, str]:
        """Say that the proxy itself is alive."""
        return {"status": "ok"}

    @pages.get("/ready")
    async def ready() -> Response:
        """Say whether a request would be answered now."""
        reason = "draining" if proxy.draining else None if proxy.pool.ready else "engine down"
        body = {"status": reason or "ready", "version": proxy.version}
        headers = {"retry-after": "1"} if reason else None
        return JSONResponse(body, 503 if reason else 200, headers)

    @pages.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Show the metrics to this machine only."""
        client = request.scope.get("client") or ("",)
        if client[0] not in LOOPBACK:
            raise HTTPException(404)
        return Response(proxy.metrics.render(), media_type="text/plain; version=0.0.4")

    @pages.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """List the one model that is served."""
        proxy.authenticate(request.scope)
        model = {
            "id": proxy.limits.model_name,
            "object": "model",
            "created": 0,
            "owned_by": "evqa",
            "version": proxy.version,
            "max_model_len": proxy.limits.max_tokens,
        }
        return {"object": "list", "data": [model]}


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
