"""An OpenAI-compatible server that misbehaves on demand."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeEndpoint:
    """Streams ``answer(question)`` word by word.

    Attributes:
        trouble: Called with the request's number and question; returns None for a right answer,
            or "500", "half", "slow", "cut" or "401".
    """

    def __init__(self, answer, trouble=lambda number, question: None, models=("evqa",)):
        self.answer = answer
        self.trouble = trouble
        self.models = models
        self.asked = []
        self.keys = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self):
        return type("Handler", (_Handler,), {"outer": self})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _json(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.outer.keys.append(self.headers["Authorization"])
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "x"}
            for name in self.outer.models
        ]
        self._json(200, {"object": "list", "data": data})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        self.outer.asked.append(question)
        trouble = self.outer.trouble(len(self.outer.asked), question)
        if trouble in ("500", "401"):
            self._json(int(trouble), {"error": {"message": "out of order"}})
        else:
            self._stream(self.outer.answer(question).split(), trouble)

    def _stream(self, words, trouble):
        if trouble == "slow":
            time.sleep(2)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        broken = trouble in ("half", "cut")
        words = words[: len(words) // 2] if broken else words
        for word in words:
            self._event({"content": word + " "}, None)
        if trouble == "cut":
            self.connection.close()
            return
        if not broken:
            self._event({}, "stop")
            self._event(None, None, usage=len(words))
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, delta, finish, usage=None):
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        value = {
            "id": "x", "object": "chat.completion.chunk", "created": 0, "model": "evqa",
            "choices": [] if delta is None else choices,
        }  # fmt: skip
        if usage is not None:
            value["usage"] = {
                "prompt_tokens": 7, "completion_tokens": usage, "total_tokens": 7 + usage,
            }  # fmt: skip
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()
