"""Intervals: right when nothing differs, clustered, the same for the same seed."""

import numpy as np
import pytest

from evqa.evaluation.compare import bootstrap_mean, paired_difference

SETTINGS = {"confidence": 0.95, "num_samples": 1000, "seed": 0}


def test_no_difference_is_exactly_zero():
    made = paired_difference([1, 0, 1], [1, 0, 1], ["a", "b", "c"], **SETTINGS)
    assert (made.value, made.low, made.high) == (0, 0, 0)
    assert not made.excludes_zero


def test_a_clear_difference_excludes_zero():
    made = paired_difference([1.0] * 40, [0.0, 0.5] * 20, [str(n) for n in range(40)], **SETTINGS)
    assert made.value == pytest.approx(0.75)
    assert 0.6 < made.low < 0.75 < made.high < 0.9
    assert made.excludes_zero


def test_the_seed_decides():
    values = np.random.default_rng(0).random(30).tolist()
    clusters = [str(n % 7) for n in range(30)]
    assert bootstrap_mean(values, clusters, **SETTINGS) == bootstrap_mean(
        values, clusters, **SETTINGS
    )
    other = bootstrap_mean(values, clusters, **{**SETTINGS, "seed": 1})
    assert other != bootstrap_mean(values, clusters, **SETTINGS)


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(1)
    effects = rng.normal(size=10)
    values = [effects[n % 10] + 0.1 * rng.normal() for n in range(200)]
    alone = bootstrap_mean(values, [str(n) for n in range(200)], **SETTINGS)
    together = bootstrap_mean(values, [str(n % 10) for n in range(200)], **SETTINGS)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_coverage_under_the_null():
    """Clustered nulls: the 95 % interval leaves zero out in about one case in twenty."""
    rng = np.random.default_rng(2)
    clusters = [str(n // 5) for n in range(200)]
    outside = 0
    for trial in range(200):
        values = np.repeat(rng.normal(size=40), 5) + rng.normal(size=200)
        made = bootstrap_mean(
            values.tolist(), clusters, confidence=0.95, num_samples=300, seed=trial
        )
        outside += made.excludes_zero
    assert outside <= 22
