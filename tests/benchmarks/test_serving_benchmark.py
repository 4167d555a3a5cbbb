"""The benchmark's own parts: a mock engine and a load that count right, and a report that adds up."""

import importlib.util
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bench():
    return load("serving")


@pytest.fixture(scope="module")
def engine(bench):
    with bench.engine() as url:
        yield url


def ask(url, **fields):
    """Put a load on the engine itself."""
    words = [sys.executable, str(HERE / "serving_load.py"), url, "key", *map(str, fields.values())]
    return json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)


def test_the_engine_speaks_openais_protocol(engine):
    body = {"model": "evqa", "messages": [], "stream": True, "max_tokens": 3, "seed": 1,
            "stream_options": {"include_usage": True}}  # fmt: skip
    request = urllib.request.Request(
        f"{engine}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "x"}
    )
    with urllib.request.urlopen(request) as answer:
        blocks = answer.read().split(b"\n\n")
    events = [json.loads(block.removeprefix(b"data: ")) for block in blocks[:-2]]
    assert [e["choices"][0]["delta"]["content"] for e in events[:4]] == [" charge"] * 3 + [""]
    assert events[3]["choices"][0]["finish_reason"] == "stop"
    assert events[4]["usage"]["completion_tokens"] == 50
    assert blocks[-2] == b"data: [DONE]"


def test_every_event_of_every_stream_is_counted(engine):
    found = ask(engine, kind="stream", concurrency=20, events=30, interval_ms=2)
    assert (found["num_complete"], found["num_streams"]) == (20, 20)
    assert found["num_events"] == 20 * (30 + 1)  # and the one with the finish reason
    assert found["ideal_seconds"] == 0.06


def test_plain_requests_are_counted_and_timed(engine):
    found = ask(engine, kind="plain", concurrency=2, seconds=0.3)
    assert found["num_requests"] > 10
    assert found["num_failed"] == 0
    assert 0 < found["p50_ms"] < 100


def test_streams_that_are_not_over_in_time_are_not_complete(engine):
    found = ask(engine, kind="stream", concurrency=3, events=1000, interval_ms=100, limit_s=0.3)
    assert found["num_complete"] == 0


def figures(scale):
    plain = {"num_requests": 10, "num_failed": 0, "p50_ms": 1.0 * scale}
    stream = {"num_complete": 64, "num_streams": 64, "num_events": 9, "seconds": 3.0}
    stream["ideal_seconds"] = 2.0
    common = {"cpu_us_per_unit": 400.0 * scale, "rss_mib": 60.0}
    found = {name: {**plain, **common} for name in ("latency_c1", "plain_c16", "plain_c64")}
    for name in ("stream_1ms_c64", "stream_20ms_c64", "stream_100ms_c1000"):
        found[name] = {**stream, **common}
    return found | {"fresh_rss_mib": 50.0}


def test_the_report_says_what_the_targets_are_set_in(bench):
    told = bench.report({"direct": figures(0.5), "ours": figures(1), "litellm": figures(30)})
    assert told.keys() == {"ours", "litellm"}
    assert told["ours"] == {
        "cpu_ms_per_request_c16": 0.4, "cpu_ms_per_request_c64": 0.4,
        "cpu_us_per_event_1ms_c64": 400.0, "cpu_us_per_event_20ms_c64": 400.0,
        "added_p50_c1_ms": 0.5, "fresh_rss_mib": 50.0, "rss_1000_streams_mib": 60.0,
        "complete_of_1000": 64, "seconds_over_ideal": 1.5,
    }  # fmt: skip
    assert told["litellm"]["cpu_ms_per_request_c16"] == 12


def test_the_median_is_kept_of_wall_times_the_least_and_gaps_are_left_out(bench):
    rounds = [
        {"a": 1.0, "b": None, "seconds": 3.0},
        {"a": 5.0, "b": 2.0, "seconds": 9.0},
        {"a": 3.0, "b": None, "seconds": 4.0},
    ]
    assert bench.summarise(rounds) == {"a": 3.0, "b": 2.0, "seconds": 3.0}
    assert bench.summarise([{"b": None}]) == {"b": None}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_swaps_under_fifty_streams_fail_no_request(tmp_path):
    import asyncio

    swaps = load("serving_swaps")
    result = asyncio.run(swaps.measure(tmp_path, 100, 50))
    assert result["failures"] == []
    assert result["num_requests"] > 500
