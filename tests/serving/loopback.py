"""A mock engine that misbehaves on request, and a proxy to put in front of it, both in threads."""

import asyncio
import json
import threading
import time
from pathlib import Path

import httpx
from aiohttp import web

from evqa.serving.fleet import Fleet
from evqa.serving.jsonlog import JsonLog
from evqa.serving.keys import create_key
from evqa.serving.launch import choose_model, first_deployment, make_proxy, open_keys
from evqa.serving.server import _Server, _uvicorn_config, bind

UPSTREAM_KEY = "upstream-key"


def event(payload):
    return f"data: {json.dumps(payload, separators=(',', ':'))}\n\n".encode()


def chunk(text="", **extra):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "evqa",
        "choices": [choice],
        **extra,
    }


LAST = chunk()
LAST["choices"][0]["finish_reason"] = "stop"
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "evqa",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "one two three"},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}


class MockEngine:
    """Speaks OpenAI's protocol on a free port; the last message names how it is to misbehave.

    Attributes:
        seen: Bodies of the requests, in order.
        cancelled: How often a client hung up before the answer was over.
        sick: Whether it says that it is not healthy.
        always: How it misbehaves, whatever the message says.
        polite: Answer well whatever the message says.
        broken: Whether "engine's own" is answered by an error.
        delay_s: How long "engine's own" takes.
    """

    def __init__(self):
        self.seen = []
        self.headers = []
        self.cancelled = 0
        self.broken = False
        self.polite = False
        self.sick = False
        self.always = None
        self.delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_exc):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self):
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"

    async def _models(self, _request):
        if self.sick:
            return web.Response(status=503)
        return web.json_response({"object": "list", "data": []})

    async def _answer(self, request):
        body = await request.json()
        self.seen.append(body)
        self.headers.append(dict(request.headers))
        how = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        how = "ok" if self.polite else self.always or how
        handler = self._stream if body.get("stream") else self._whole
        try:
            return await handler(request, how, body)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled += 1
            raise

    async def _whole(self, request, how, body):
        if how == "hang":
            await asyncio.sleep(60)
        if how == "hang up":
            request.transport.abort()
            return web.Response()
        if how in ("cut", "cut at once"):
            return await self._cut(request)
        if how.startswith("delay "):
            await asyncio.sleep(float(how.split()[1]))
        if how == "engine's own":
            await asyncio.sleep(self.delay_s)
            how = "500" if self.broken else how
        return self._plain(how)

    def _plain(self, how):
        if how.isdecimal():
            error = {"message": f"mock error {how}", "type": "x"}
            return web.json_response({"error": error}, status=int(how))
        if how == "too long":
            error = {"message": "This model's maximum context length is 16 tokens."}
            return web.json_response({"error": error}, status=400)
        if how in ("not json", "[]", "{}") or how.startswith('{"choices'):
            return web.Response(body=how.encode(), content_type="application/json")
        return web.json_response(ANSWER)

    async def _cut(self, request):
        response = web.StreamResponse(headers={"content-length": "1000"})
        await response.prepare(request)
        await response.write(b'{"choices": ')
        request.transport.abort()
        return response

    async def _stream(self, request, how, body):
        if how == "hang":
            await asyncio.sleep(60)
        if how.isdecimal():
            return web.json_response({"error": {"message": f"mock error {how}"}}, status=int(how))
        if how == "hang up":
            request.transport.abort()
            return web.Response()
        kind = "text/html" if how == "html" else "text/event-stream"
        response = web.StreamResponse(headers={"content-type": kind})
        await response.prepare(request)
        if how == "hang after headers":
            await asyncio.sleep(60)
        if how == "cut at once":
            request.transport.abort()
            return response
        while how == "flood":
            await response.write(event(chunk("x" * 1000)) * 100)
        if how.startswith("says done"):
            await response.write(event(chunk("data: [DONE]")))
            return await self._break(request, response, how)
        for text in texts_of(how):
            await response.write(event(chunk(text)))
            if how in ("hang mid", "cut", "half event") and text == "two ":
                return await self._break(request, response, how)
            await asyncio.sleep(pause_s_of(how))
        await self._end(response, how, body)
        return response

    async def _end(self, response, how, body):
        if how == "splinters":
            for byte in event(chunk(" füür")):
                await response.write(bytes([byte]))
        if how == "endless event":
            await response.write(b"data: " + b"x" * (40 << 16))
        if how == "error event":
            await response.write(event({"error": {"message": "secret of the engine"}}))
        await response.write(event(LAST))
        if body.get("stream_options", {}).get("include_usage"):
            await response.write(event(chunk() | {"choices": [], "usage": USAGE}))
        if how != "no done":
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()

    async def _break(self, request, response, how):
        if how == "hang mid":
            await asyncio.sleep(60)
        if how == "half event":
            await response.write(b'data: {"choices":[{"del')
            await asyncio.sleep(0.05)
        request.transport.abort()
        return response


def texts_of(how):
    """``hasty 300``: as many numbers; else three words."""
    if how.startswith("hasty "):
        return [f"{number} " for number in range(int(how.removeprefix("hasty ")))]
    return ["one ", "two ", "three"]


def pause_s_of(how):
    if how.startswith("hasty "):
        return 0.001
    return float(how.removeprefix("slow ")) if "slow" in how else 0


class ProxyUnderTest:
    """The proxy in a thread, with one good key.

    Attributes:
        state: What its endpoints share.
        key: A good key.
    """

    def __init__(self, config, folder: Path, engines=None):
        server = config.server
        self.folder = folder / "outputs" / "serving"
        self.keys_file = self.folder / "keys.json"
        existing = self.keys_file.exists()
        self.key = None if existing else create_key(self.keys_file, "test")
        keys = open_keys(self.keys_file)
        self.log = JsonLog(self.folder / "server.log")
        served = choose_model(config)
        primary = first_deployment(config, served, None)
        self.state = make_proxy(config, primary, keys, self.log, None, served)
        self.said = []
        if engines is not None:
            metrics = self.state.accounts.metrics
            fleet = Fleet(
                engines.launcher.launch("evqa/1"), self.state.gate, server, metrics,
                engines=engines, say=self.said.append,
            )  # fmt: skip
            self.state.fleet = self.state.accounts.fleet = fleet
        self._listener = bind(server.host, 0)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = _Server(_uvicorn_config(self.state, server))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_exc):
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()
        self.state.accounts.stop()
        self.log.close()

    @property
    def authorization(self):
        return {"authorization": f"Bearer {self.key}"}

    def post(self, path="/v1/chat/completions", *, key=None, timeout=20, **options):
        headers = {"authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return httpx.post(
            f"{self.url}{path}", headers=headers, timeout=timeout, trust_env=False, **options
        )

    def get(self, path, **options):
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=20, **options)

    def chat(self, how="ok", **fields):
        return self.post(json=chat_body(how, **fields))

    def records(self):
        files = sorted((self.folder / "requests").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def wait_for_books(self, request_id):
        """Until all is done with a request: its line in the log is the last that is written."""
        log = self.folder / "server.log"
        wait_until(lambda: log.exists() and request_id in log.read_text())

    def last_record(self, count=1):
        wait_until(lambda: len(self.records()) >= count)
        return self.records()[-1]


def chat_body(how="ok", **fields):
    return {"model": "evqa", "messages": [{"role": "user", "content": how}], **fields}


def events_of(response):
    """The events of an answer; ``[DONE]`` as a word."""
    blocks = [block for block in response.content.split(b"\n\n") if block]
    data = [block.removeprefix(b"data: ") for block in blocks]
    return ["DONE" if item == b"[DONE]" else json.loads(item) for item in data]


def text_of(events):
    choices = [e["choices"][0] for e in events if isinstance(e, dict) and e.get("choices")]
    return "".join(choice["delta"]["content"] for choice in choices)


def wait_until(condition, timeout_s=10.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
