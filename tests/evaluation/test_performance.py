"""Speed and memory: systems take turns, and the figures follow from what was seen."""

import pytest
from answers_for_tests import question

from evqa.config.evaluation import PerformanceConfig
from evqa.evaluation.performance import measure
from evqa.evaluation.predict import Timing
from evqa.evaluation.systems import Opened, System


class Clocked:
    """Answers instantly and says that a token takes ``gap_ms``."""

    def __init__(self, name, gap_ms, log):
        self.name, self.gap_ms, self.log = name, gap_ms, log

    def time(self, questions, max_new_tokens):
        self.log.append((self.name, len(questions), max_new_tokens))
        gaps = [self.gap_ms] * (max_new_tokens - 1)
        return [Timing(5.0, gaps, max_new_tokens, 5.0 + sum(gaps)) for _ in questions]


def opened(name, gap_ms, log, where="/runs/one"):
    return Opened(System(name, where, "f"), Clocked(name, gap_ms, log), 1.5)


CONFIG = PerformanceConfig(concurrency=[1, 4], num_rounds=2, max_new_tokens=8)


def test_systems_take_turns_and_another_begins_each_round():
    log = []
    measure([opened("a", 1.0, log), opened("b", 2.0, log)], [question(1)], CONFIG)
    assert log == [
        ("a", 1, 2), ("a", 1, 8), ("b", 1, 8), ("b", 1, 8), ("a", 1, 8),
        ("a", 4, 2), ("a", 4, 8), ("b", 4, 8), ("b", 4, 8), ("a", 4, 8),
    ]  # fmt: skip


def test_the_figures():
    made = measure([opened("a", 1.0, []), opened("b", 2.0, [])], [question(1)], CONFIG)
    assert made["a"]["per_token_ms"] == {"p50": 1.0, "p95": 1.0, "p99": 1.0}
    assert made["b"]["per_token_ms"]["p50"] == 2.0
    assert made["a"]["ttft_ms"]["p50"] == 5.0
    assert made["a"]["latency_ms"]["p50"] == 12.0
    assert set(made["a"]["throughput_tokens_per_s"]) == {"1", "4"}
    assert made["a"]["load_s"] == 1.5
    assert 0 < made["a"]["peak_rss_gib"] < 24
    assert made["a"]["peak_gpu_gib"] is None
    assert len(made["a"]["per_token_samples_ms"]) == 14


def test_an_endpoints_memory_is_not_ours_to_tell():
    made = measure([opened("a", 1.0, [], "http://h/v1")], [question(1)], CONFIG)
    assert made["a"]["peak_rss_gib"] is made["a"]["load_s"] is made["a"]["cpu_percent"] is None


@pytest.mark.parametrize("concurrency", [3, 7])
def test_more_requests_than_questions(concurrency):
    log = []
    config = PerformanceConfig(concurrency=[concurrency], num_rounds=1)
    measure([opened("a", 1.0, log)], [question(1), question(2)], config)
    assert log[-1] == ("a", concurrency, 32)
