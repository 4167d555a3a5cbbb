import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.files import sha256_json
from evqa.serving.metrics import ServerMetrics
from evqa.serving.usage import (
    LineFile,
    RequestLog,
    RequestRecord,
    UsageJournal,
    UsageLine,
    hash_answer,
    hash_prompt,
    read_usage,
    usage_months,
    utc_now,
)


def record(**changes):
    values = {
        "id": "req_1",
        "time": "2026-01-02T03:04:05.678+00:00",
        "key_id": "k",
        "version": "evqa/1",
        "model": "evqa",
        "prompt_sha256": "p",
        "answer_sha256": None,
        "num_prompt_tokens": 1,
        "num_completion_tokens": None,
        "ttft_ms": None,
        "latency_ms": 2.5,
        "status": 200,
        "prompt": "the question",
        "answer": "the answer",
    }
    return RequestRecord(**{**values, **changes})


def test_a_day_is_a_file_and_a_request_a_line(tmp_path):
    log = RequestLog(tmp_path / "requests")
    log.append(record())
    log.append(record(id="req_2", time="2026-01-02T23:00:00.000+00:00"))
    log.append(record(id="req_3", time="2026-01-03T00:00:00.000+00:00"))
    files = sorted((tmp_path / "requests").iterdir())
    assert [file.name for file in files] == ["2026-01-02.jsonl", "2026-01-03.jsonl"]
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert [row["id"] for row in rows] == ["req_1", "req_2"]
    assert RequestRecord.from_dict(rows[0]) == record(prompt=None, answer=None)


@pytest.mark.parametrize("record_text", [False, True])
def test_texts_are_kept_only_when_asked_for(tmp_path, record_text):
    RequestLog(tmp_path, record_text=record_text).append(record(prompt="füür", answer="x"))
    row = json.loads(next(tmp_path.iterdir()).read_text())
    assert ("prompt" in row, "answer" in row) == (record_text, record_text)


def test_records_of_others_are_for_the_owners_eyes(tmp_path):
    RequestLog(tmp_path).append(record())
    assert next(tmp_path.iterdir()).stat().st_mode & 0o077 == 0


def test_writers_at_the_same_time_never_mix_their_lines(tmp_path):
    logs = [RequestLog(tmp_path, record_text=True) for _ in range(8)]

    def write(log, number):
        for _ in range(50):
            log.append(record(answer=str(number) * 2000))

    threads = [threading.Thread(target=write, args=(log, n)) for n, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [json.loads(line) for line in next(tmp_path.iterdir()).read_text().splitlines()]
    assert len(rows) == 400
    assert all(len(set(row["answer"])) == 1 for row in rows)


messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "system"]),
            "content": st.text(st.characters(codec="utf-8")),
        }
    )
)


@given(messages | st.text(st.characters(codec="utf-8")))
def test_prompts_are_hashed_as_everything_else_is(prompt):
    assert hash_prompt(prompt) == sha256_json(prompt)


def test_the_same_prompt_has_the_same_hash_whatever_the_order_of_its_keys():
    assert hash_prompt([{"role": "user", "content": "x"}]) == hash_prompt(
        [{"content": "x", "role": "user"}]
    )
    assert hash_answer(None) is None
    assert hash_answer("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_time_is_utc():
    assert utc_now().endswith("+00:00")


def test_metrics_add_up_and_two_servers_do_not_share_them():
    first, second = ServerMetrics(), ServerMetrics()
    for tokens in (5, None):
        first.count("evqa/1", "/v1/completions", 200)
        first.observe(
            "evqa/1",
            latency_s=0.3,
            first_byte_s=0.07,
            queue_s=0.002,
            num_prompt_tokens=tokens,
            num_completion_tokens=tokens,
        )
    first.count("evqa/1", "/v1/completions", 502, "engine_error")
    text = first.render(in_flight=3, waiting=2).decode()
    assert 'evqa_requests_total{route="/v1/completions",status="200",version="evqa/1"} 2.0' in text
    assert 'evqa_errors_total{kind="engine_error",version="evqa/1"} 1.0' in text
    assert 'evqa_tokens_total{kind="prompt",version="evqa/1"} 5.0' in text
    assert 'evqa_request_seconds_bucket{le="0.25",version="evqa/1"} 0.0' in text
    assert 'evqa_request_seconds_bucket{le="0.5",version="evqa/1"} 2.0' in text
    assert 'evqa_first_token_seconds_count{version="evqa/1"} 2.0' in text
    assert 'evqa_tokens_per_second_bucket{le="20.0",version="evqa/1"} 0.0' in text
    assert 'evqa_tokens_per_second_bucket{le="40.0",version="evqa/1"} 1.0' in text
    assert 'evqa_queue_seconds_bucket{le="0.01",version="evqa/1"} 2.0' in text
    assert "evqa_requests_in_flight 3.0" in text
    assert "evqa_requests_waiting 2.0" in text
    assert "evqa/1" not in second.render(in_flight=0, waiting=0).decode()


def usage(**changes):
    values = {
        "time": "2026-01-02T03:04:05.678+00:00", "id": "req_1", "key_id": "k",
        "version": "evqa/1", "route": "/predict", "status": 200, "num_prompt_tokens": 3,
        "num_completion_tokens": 4,
    }  # fmt: skip
    return UsageLine(**{**values, **changes})


def test_the_journal_adds_up_each_keys_month(tmp_path):
    journal = UsageJournal(tmp_path)
    journal.append(usage())
    journal.append(usage(key_id="other"))
    journal.append(usage(num_completion_tokens=0))
    journal.append(usage(time="2026-02-01T00:00:00.000+00:00"))
    assert journal.month_tokens("2026-01") == {"k": 10, "other": 7}
    assert UsageJournal(tmp_path).month_tokens("2026-02") == {"k": 7}
    assert usage_months(tmp_path) == ["2026-01", "2026-02"]
    assert list(read_usage(tmp_path, "2025-12")) == []


def test_half_a_line_in_the_journal_costs_that_line_only(tmp_path):
    journal = UsageJournal(tmp_path)
    journal.append(usage())
    with (tmp_path / "2026-01.jsonl").open("a") as stream:
        stream.write('{"time": "2026-01-02T\n[1]\n{}\n')
    journal.append(usage())
    assert [line.key_id for line in read_usage(tmp_path, "2026-01")] == ["k", "k"]


def test_a_line_cut_by_a_full_disk_is_told_and_the_next_stands_by_itself(tmp_path, monkeypatch):
    file, write = LineFile(), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
    with pytest.raises(OSError, match="No space left"):
        file.append(tmp_path, "x", {"a": 1})
    monkeypatch.setattr(os, "write", write)
    file.append(tmp_path, "x", {"a": 2})
    assert (tmp_path / "x.jsonl").read_text() == '{"a":\n{"a":2}\n'


def test_a_file_that_is_removed_while_open_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("evqa.serving.usage.LOOK_EVERY_S", 0)
    file = LineFile()
    file.append(tmp_path, "x", {"a": 1})
    (tmp_path / "x.jsonl").unlink()
    file.append(tmp_path, "x", {"a": 2})
    assert (tmp_path / "x.jsonl").read_text() == '{"a":2}\n'
    file.close()
    file.close()
