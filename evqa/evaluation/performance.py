"""Speed and memory: time to first token, time a token, throughput, memory, processor use.

The systems that share a loaded model (or are endpoints) take turns in every round, so that what
else the machine does hits them alike.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from evqa.config.evaluation import PerformanceConfig
from evqa.evaluation.predict import Timing
from evqa.evaluation.systems import Opened
from evqa.progress import progress
from evqa.records import Question

PERCENTILES = (50, 95, 99)
SAMPLE_INTERVAL_S = 0.05
MAX_SAMPLES = 500  # times of single tokens that are kept for the picture


@dataclass(slots=True)
class Measured:
    """What was seen of one system.

    Attributes:
        by_concurrency: Requests at a time → one list of timings a round, and the round's seconds.
    """

    by_concurrency: dict[int, list[tuple[list[Timing], float]]] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_rss_bytes: int = 0
    peak_gpu_bytes: int | None = None
    gpu_percents: list[float] = field(default_factory=list)


class MemoryWatch(threading.Thread):
    """Samples this process's memory, and the GPU's use, while a block runs."""

    def __init__(self, *, on_gpu: bool = False) -> None:
        super().__init__(daemon=True)
        self._stopped = threading.Event()
        self._process = psutil.Process()
        self._on_gpu = on_gpu
        self.peak_rss_bytes = self._process.memory_info().rss
        self.gpu_percents: list[float] = []

    def run(self) -> None:
        """Sample until stopped."""
        while not self._stopped.wait(SAMPLE_INTERVAL_S):
            self.peak_rss_bytes = max(self.peak_rss_bytes, self._process.memory_info().rss)
            if self._on_gpu:
                with suppress(Exception):  # the driver's library may be absent; use is then null
                    self.gpu_percents.append(float(_gpu().utilization()))

    def stop(self) -> None:
        """Stop sampling; the peaks stay."""
        self._stopped.set()
        self.join()


@contextmanager
def _watched(measured: Measured, *, on_gpu: bool) -> Iterator[None]:
    watch = MemoryWatch(on_gpu=on_gpu)
    before, started = psutil.Process().cpu_times(), time.perf_counter()
    if on_gpu:
        _gpu().reset_peak_memory_stats()
    watch.start()
    try:
        yield
    finally:
        watch.stop()
        after = psutil.Process().cpu_times()
        measured.cpu_s += after.user + after.system - before.user - before.system
        measured.wall_s += time.perf_counter() - started
        measured.peak_rss_bytes = max(measured.peak_rss_bytes, watch.peak_rss_bytes)
        measured.gpu_percents += watch.gpu_percents
        if on_gpu:
            peak = int(_gpu().max_memory_reserved())
            measured.peak_gpu_bytes = max(measured.peak_gpu_bytes or 0, peak)


def _gpu() -> Any:
    import torch

    return torch.cuda


def _on_gpu(opened: Opened) -> bool:
    model = getattr(opened.answerer, "model", None)
    return getattr(getattr(model, "device", None), "type", "cpu") == "cuda"


def measure(
    opened: Sequence[Opened], questions: Sequence[Question], config: PerformanceConfig
) -> dict[str, dict[str, Any]]:
    """Measure systems that take turns.

    Args:
        opened: Systems that share what is loaded.
        questions: Where prompts are taken from, in turn.
        config: Concurrencies, rounds, length.

    Returns:
        By system, the form of ``performance_metrics.json``.
    """
    seen = {one.system.name: Measured() for one in opened}
    prompts = [question.question for question in questions]
    total = len(config.concurrency) * (config.num_rounds * len(opened) + 1)
    with progress("measuring speed", total) as bar:
        for concurrency in config.concurrency:
            chosen = [prompts[at % len(prompts)] for at in range(concurrency)]
            opened[0].answerer.time(chosen, 2)  # the first call of a shape is slower than the rest
            bar.add(1)
            for number in range(config.num_rounds):
                for one in _in_turn(opened, number):
                    _round(one, chosen, config, seen[one.system.name], concurrency)
                    bar.add(1)
    return {one.system.name: _summary(seen[one.system.name], one) for one in opened}


def _in_turn(opened: Sequence[Opened], number: int) -> Sequence[Opened]:
    """Let another system begin every round."""
    first = number % len(opened)
    return [*opened[first:], *opened[:first]]


def _round(
    one: Opened,
    prompts: list[str],
    config: PerformanceConfig,
    measured: Measured,
    concurrency: int,
) -> None:
    with _watched(measured, on_gpu=_on_gpu(one)):
        started = time.perf_counter()
        timings = one.answerer.time(prompts, config.max_new_tokens)
        seconds = time.perf_counter() - started
    measured.by_concurrency.setdefault(concurrency, []).append((timings, seconds))


def _summary(measured: Measured, one: Opened) -> dict[str, Any]:
    lowest = min(measured.by_concurrency)
    alone = [timing for timings, _ in measured.by_concurrency[lowest] for timing in timings]
    gaps = [gap for timing in alone for gap in timing.gaps_ms]
    gib = 2**30
    held_here = not one.system.is_endpoint
    gpu, busy = measured.peak_gpu_bytes, measured.gpu_percents
    return {
        "concurrency_of_latencies": lowest,
        "ttft_ms": _percentiles([timing.ttft_ms for timing in alone]),
        "per_token_ms": _percentiles(gaps),
        "per_token_samples_ms": [round(gap, 3) for gap in gaps[:MAX_SAMPLES]],
        "latency_ms": _percentiles([timing.total_ms for timing in alone]),
        "throughput_tokens_per_s": {
            str(concurrency): round(_throughput(rounds), 2)
            for concurrency, rounds in measured.by_concurrency.items()
        },
        "load_s": round(one.load_s, 3) if held_here else None,
        "peak_rss_gib": round(measured.peak_rss_bytes / gib, 4) if held_here else None,
        "peak_gpu_gib": round(gpu / gib, 4) if gpu is not None else None,
        "cpu_percent": round(100 * measured.cpu_s / measured.wall_s, 1) if held_here else None,
        "gpu_percent": round(float(np.mean(busy)), 1) if busy else None,
    }


def _throughput(rounds: Sequence[tuple[list[Timing], float]]) -> float:
    """Return the median over the rounds of tokens a second."""
    rates = [sum(t.num_tokens for t in timings) / seconds for timings, seconds in rounds]
    return float(np.median(rates))


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES)
    return {f"p{p}": round(float(v), 4) for p, v in zip(PERCENTILES, found, strict=True)}
