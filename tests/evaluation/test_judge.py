"""The judge: both orders, a preference that follows the order is a tie, nothing bought twice."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from answers_for_tests import RIGHT, WRONG, compared

from evqa.config.evaluation import JudgeConfig
from evqa.errors import OutsideError, UserError
from evqa.evaluation.judge import check_judge, judge


def first_is_better(prompt):
    return "first"


def right_is_better(prompt):
    first = prompt.split("First:")[1].split("Second:")[0]
    return "second" if "red" in first else "first"


@pytest.fixture
def court(monkeypatch):
    """A server that judges by ``court.opinion``, and counts what it was asked."""
    monkeypatch.setenv("TOGETHER_API_KEY", "key")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            server.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = server.opinion(body["messages"][-1]["content"])
            status, text = (200, said) if said != "500" else (500, "")
            content = text if text.startswith("not") else json.dumps({"winner": text})
            value = {"id": "x", "object": "chat.completion", "created": 0, "model": "m",
                     "choices": [{"index": 0, "finish_reason": "stop",
                                  "message": {"role": "assistant", "content": content}}]}  # fmt: skip
            sent = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked = 0
    server.config = JudgeConfig(
        model="m", base_url=f"http://127.0.0.1:{server.server_port}", max_questions=10
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_better_answer_wins_in_both_orders(court, tmp_path):
    court.opinion = right_is_better
    made = judge(court.config, compared(WRONG, RIGHT), tmp_path / "j.jsonl")
    assert (made["win"], made["tie"], made["loss"], made["win_rate"]) == (10, 0, 0, 1.0)
    made = judge(court.config, compared(RIGHT, WRONG), tmp_path / "k.jsonl")
    assert (made["win"], made["loss"]) == (0, 10)


@pytest.mark.parametrize("opinion", [first_is_better, lambda _: "tie", lambda _: "not JSON"])
def test_a_preference_for_a_place_or_none_is_a_tie(court, tmp_path, opinion):
    court.opinion = opinion
    made = judge(court.config, compared(WRONG, RIGHT), tmp_path / "j.jsonl")
    assert (made["tie"], made["win_rate"]) == (10, 0.5)


def test_judgements_are_kept(court, tmp_path):
    court.opinion = right_is_better
    kept = tmp_path / "j.jsonl"
    judge(court.config, compared(WRONG, RIGHT), kept)
    assert court.asked == 20
    kept.write_text(kept.read_text()[:-5])  # a kill tears the last line
    judge(court.config, compared(WRONG, RIGHT), kept)
    assert court.asked == 21


def test_a_judge_out_of_order_is_one_line(court, tmp_path):
    court.opinion = lambda _: "500"
    with pytest.raises(OutsideError, match="metrics.judge: m: .*run the same command again"):
        judge(court.config, compared(WRONG, RIGHT), tmp_path / "j.jsonl")


def test_no_key_names_the_variable(monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    check_judge(JudgeConfig())
    with pytest.raises(UserError, match="set the environment variable TOGETHER_API_KEY"):
        check_judge(JudgeConfig(model="m"))
