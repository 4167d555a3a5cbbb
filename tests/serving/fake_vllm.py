"""Stands in for ``vllm``: takes its arguments, answers /health and streams a word every 50 ms.

FAKE_VLLM says how it misbehaves: fail (ends at once), deaf (never answers), die (ends 1 s after it
has answered), stubborn (does not heed SIGTERM, and has a child of its own).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOW = os.environ.get("FAKE_VLLM", "")
PORT = int(sys.argv[sys.argv.index("--port") + 1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self.send_error(401)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for number in range(body.get("max_tokens", 3)):
            choice = {"index": 0, "delta": {"content": f"{number} "}}
            self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.05)
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_args):
        pass


if HOW == "fail":
    print("ValueError: the model is made of cheese", flush=True)
    sys.exit(3)
if HOW == "deaf":
    time.sleep(600)
if HOW == "die":
    threading.Timer(1.0, os._exit, [9]).start()
if HOW == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(f"child {child.pid}", flush=True)
print(f"environment {json.dumps(dict(os.environ))}", flush=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
