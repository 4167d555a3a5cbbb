"""scripts/smoke_endpoint.py and scripts/stage.sh against an endpoint that misbehaves on demand."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evqa.registry import Aliases, Registry

ROOT = Path(__file__).parents[1]
KEY = "evqa-good"


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible server; ``mode`` says how it misbehaves."""

    mode = "good"

    def log_message(self, *_):
        pass

    def send(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send(503 if self.mode == "not ready" else 200, b"{}")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        right = self.headers["authorization"] == f"Bearer {KEY}"
        if not right and self.mode != "open":
            self.send(401, b'{"error": {"message": "wrong key", "type": "authentication_error"}}')
        elif asked.get("stream"):
            text = "" if self.mode == "empty stream" else "yes"
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "evqa"}
            chunk["choices"] = [{"index": 0, "delta": {"content": text}}]
            body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
            self.send(200, body.encode(), "text/event-stream")
        else:
            text = "" if self.mode == "empty" else "yes"
            answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "evqa"}
            message = {"role": "assistant", "content": text}
            answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self.send(200, json.dumps(answer).encode())


@pytest.fixture
def serve():
    servers = []

    def start(mode):
        handler = type("Misbehaving", (Endpoint,), {"mode": mode})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def smoke(url, *words, key=KEY):
    environment = {**os.environ, "EVQA_API_KEY": key}
    return subprocess.run(
        [sys.executable, "scripts/smoke_endpoint.py", url, "--wait-s", "0.2", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("good", None),
        ("not ready", "/ready: not ready after 0.2 s"),
        ("empty", "the answer is empty"),
        ("empty stream", "the streamed answer is empty"),
        ("open", "a wrong key was taken"),
    ],
)
def test_the_smoke_test_says_what_does_not_hold(serve, mode, told):
    done = smoke(serve(mode))
    assert done.returncode == (1 if told else 0)
    if told:
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
    else:
        assert "ready, answers, streams, refuses a wrong key" in done.stdout


def test_the_smoke_test_needs_a_key_and_a_server(serve):
    assert "EVQA_API_KEY is not set" in smoke(serve("good"), key="").stderr
    assert "not ready" in smoke("http://127.0.0.1:1").stderr


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path / "outputs" / "registry", "evqa")
    for _ in range(2):
        with registry.staging() as staged:
            (staged / "model.safetensors").write_text("w")
            registry.publish(staged, {"parity": {"kl_nats": 0.0}, "verdict": "SHIP"})
    registry.promote(1)
    return registry


def stage(registry, url, *words):
    command = registry.root.parents[1] / "evqa"
    command.write_text(
        f'#!/usr/bin/env bash\nexec {sys.executable} -m evqa.cli "$@" '
        f"--registry-dir '{registry.root.parent}'\n"
    )
    command.chmod(0o755)
    environment = {
        **os.environ, "EVQA": str(command), "PYTHON": sys.executable, "WAIT_S": "0.2",
        "EVQA_API_KEY": KEY, "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    return subprocess.run(
        ["bash", "scripts/stage.sh", url, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_staging_promotes_the_candidate_when_it_answers(registry, serve):
    done = stage(registry, serve("good"))
    assert done.returncode == 0, done.stderr
    assert "evqa/candidate is live" in done.stdout
    assert registry.aliases() == Aliases(champion=2, previous=1)


def test_staging_rolls_back_when_it_does_not(registry, serve):
    done = stage(registry, serve("empty"), "evqa/2")
    assert done.returncode == 4
    assert "rolling back" in done.stderr
    assert registry.aliases().champion == 1


def test_a_damaged_version_never_goes_live(registry, serve):
    (registry.folder(2) / "model.safetensors").write_text("x")
    done = stage(registry, serve("good"), "evqa/2")
    assert done.returncode == 4
    assert registry.aliases().champion == 1
    assert [entry["action"] for entry in registry.history()] == ["promote"]
