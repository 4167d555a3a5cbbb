import json

import pytest

from evqa.serving.accounts import Accounts
from evqa.serving.call import Call
from evqa.serving.deployment import Deployment
from evqa.serving.keys import ApiKey
from evqa.serving.metrics import ServerMetrics
from evqa.serving.protocol import Limits, Request
from evqa.serving.upstream import UpstreamPool
from evqa.serving.usage import RequestLog, UsageJournal

KEY = ApiKey(id="k", name="k", sha256="0" * 64, created="x")
REQUEST = Request({"model": "evqa", "messages": [{"role": "user", "content": "a secret"}]})


class Rows:
    """Takes what a log would."""

    def __init__(self):
        self.rows = []

    def write(self, row):
        self.rows.append(row)


class Judge:
    """Stands in for the fleet."""

    def __init__(self):
        self.judged = []

    def judge(self, deployment):
        self.judged.append(deployment)


@pytest.fixture
def accounts(tmp_path):
    made = Accounts(
        ServerMetrics(),
        RequestLog(tmp_path / "requests"),
        UsageJournal(tmp_path / "usage"),
        Rows(),
        "evqa",
    )
    made.fleet = Judge()
    yield made
    made.stop()


def deployment():
    limits = Limits(model_name="evqa", max_tokens=9, max_choices=1)
    return Deployment(
        version="evqa/1", limits=limits, pool=UpstreamPool([], None, health_path="/")
    )


def answered(**fields):
    """A request that an engine has answered."""
    defaults = {
        "scope": {}, "receive": None, "send": None, "version": "evqa/1", "route": "/predict",
        "key": KEY, "request": REQUEST, "deployment": deployment(),
        "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "answer": "the answer",
    }  # fmt: skip
    call = Call(**{**defaults, **fields})
    call.entered = call.started
    return call


def written(tmp_path, kind):
    (file,) = (tmp_path / kind).iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_an_answered_request_is_counted_recorded_paid_and_logged(accounts, tmp_path):
    call = answered()
    accounts.close(call)
    (record,) = written(tmp_path, "requests")
    (usage,) = written(tmp_path, "usage")
    (row,) = accounts.access_log.rows
    assert record["id"] == usage["id"] == row["id"] == call.id
    assert (usage["num_prompt_tokens"], usage["num_completion_tokens"]) == (3, 4)
    assert not usage["estimated"]
    assert (row["status"], row["route"], row["key_id"]) == (200, "/predict", "k")
    text = accounts.metrics.render(in_flight=0, waiting=0).decode()
    assert 'evqa_requests_total{route="/predict",status="200",version="evqa/1"} 1.0' in text
    assert 'evqa_tokens_total{kind="completion",version="evqa/1"} 4.0' in text
    assert "secret" not in str((record, usage, row))
    assert "the answer" not in str((record, usage, row))


@pytest.mark.parametrize("status", [401, 404, 413, 429])
def test_one_that_never_reached_an_engine_is_counted_and_logged_only(accounts, tmp_path, status):
    accounts.close(answered(request=None, key=None, status=status, error="x"))
    assert list((tmp_path / "requests").iterdir()) == []
    assert list((tmp_path / "usage").iterdir()) == []
    (row,) = accounts.access_log.rows
    assert (row["status"], row["error"]) == (status, "x")
    assert "key_id" not in row
    text = accounts.metrics.render(in_flight=0, waiting=0).decode()
    assert 'evqa_errors_total{kind="x",version="evqa/1"} 1.0' in text


@pytest.mark.parametrize(
    ("fields", "failures"),
    [
        ({}, [False]),
        ({"status": 502, "error": "engine_error"}, [True]),
        ({"status": 504, "error": "engine_timeout"}, [True]),
        ({"status": 400, "error": "invalid_request_error"}, [False]),
        ({"status": 499, "error": "client_gone"}, []),  # says nothing about the version
    ],
)
def test_what_is_laid_at_a_versions_door(accounts, fields, failures):
    call = answered(**fields)
    accounts.close(call)
    assert list(call.deployment.outcomes.failures) == failures
    assert accounts.fleet.judged == ([call.deployment] if failures else [])


def test_a_disk_that_is_full_fails_no_request_and_is_told(accounts, tmp_path, caplog):
    (tmp_path / "usage").rmdir()
    accounts.close(answered())
    assert "its record was not written" in caplog.text
    assert len(accounts.access_log.rows) == 1


def test_an_error_in_the_books_is_logged_and_goes_no_further(accounts, monkeypatch, caplog):
    monkeypatch.setattr(accounts.metrics, "count", lambda *_: 1 / 0)
    accounts.close(answered())
    assert "the books could not be closed" in caplog.text


def test_texts_are_recorded_where_that_is_wanted(tmp_path):
    log = RequestLog(tmp_path / "r", record_text=True)
    made = Accounts(ServerMetrics(), log, UsageJournal(tmp_path / "u"), Rows(), "evqa")
    made.close(answered())
    made.stop()
    (record,) = written(tmp_path, "r")
    assert record["prompt"] == REQUEST.prompt
    assert record["answer"] == "the answer"
