"""Intervals: right when nothing differs, clustered, the same for the same seed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.evaluation.compare import (
    holm,
    interval,
    minimum_detectable_effect,
    p_value,
    paired_difference,
    standard_error,
)

SETTINGS = {"confidence": 0.95, "num_samples": 1000, "seed": 0}


def of_mean(values, clusters, **settings):
    return paired_difference(values, [0.0] * len(values), clusters, **{**SETTINGS, **settings})


def test_no_difference_is_exactly_zero():
    made = paired_difference([1, 0, 1], [1, 0, 1], ["a", "b", "c"], **SETTINGS)
    assert (made.interval.value, made.interval.low, made.interval.high) == (0, 0, 0)
    assert not made.interval.excludes_zero
    assert made.p_value == 1


def test_a_clear_difference_excludes_zero():
    made = paired_difference([1.0] * 40, [0.0, 0.5] * 20, [str(n) for n in range(40)], **SETTINGS)
    assert made.interval.value == pytest.approx(0.75)
    assert 0.6 < made.interval.low < 0.75 < made.interval.high < 0.9
    assert made.interval.excludes_zero
    assert made.p_value < 1e-6


def test_the_seed_decides():
    values = np.random.default_rng(0).random(30).tolist()
    clusters = [str(n % 7) for n in range(30)]
    assert of_mean(values, clusters) == of_mean(values, clusters)
    assert of_mean(values, clusters, seed=1) != of_mean(values, clusters)


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(1)
    effects = rng.normal(size=10)
    values = [effects[n % 10] + 0.1 * rng.normal() for n in range(200)]
    alone = of_mean(values, [str(n) for n in range(200)])
    together = of_mean(values, [str(n % 10) for n in range(200)])
    assert together.error > 2 * alone.error
    assert together.detectable > 2 * alone.detectable


def test_one_document_tells_nothing():
    made = of_mean([0.5, 0.7], ["a", "a"])
    assert (made.interval.low, made.interval.high) == (-math.inf, math.inf)
    assert made.p_value == 1


def test_few_documents_widen_the_percentiles():
    """Hesterberg's expansion: with 5 documents the 95 % interval takes about 1 % tails."""
    draws = np.linspace(0, 1, 10001)
    few, many = interval(0.5, draws, 0.95, 5), interval(0.5, draws, 0.95, 10_000)
    assert few.low == pytest.approx(0.00095, abs=2e-4)
    assert many.low == pytest.approx(0.025, abs=2e-3)


def test_the_error_of_a_mean_is_the_textbooks():
    values = np.random.default_rng(3).normal(size=50)
    made = of_mean(values.tolist(), [str(n) for n in range(50)], num_samples=20_000)
    assert made.error == pytest.approx(values.std(ddof=1) / math.sqrt(50), rel=0.03)


def test_the_detectable_effect_of_a_large_sample():
    assert minimum_detectable_effect(1.0, 100_000, 0.95) == pytest.approx(1.960 + 1.036, abs=0.01)


def test_p_values():
    assert p_value(1.96, 1.0, 1_000_000) == pytest.approx(0.05, abs=1e-4)
    assert p_value(0.0, 0.0, 10) == 1
    assert p_value(0.5, 0.0, 10) == 0
    assert p_value(0.5, math.inf, 1) == 1


def test_an_error_needs_two_documents():
    assert standard_error(np.array([1.0, 2.0]), 1) == math.inf


def test_holm_golden():
    """The example of Holm's paper as R's p.adjust gives it."""
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.5, 0.001]) == pytest.approx([0.5, 0.002])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_only_raises_and_keeps_the_order(values):
    made = holm(values)
    assert all(value <= raised <= 1 for value, raised in zip(values, made, strict=True))
    ordered = [raised for _, raised in sorted(zip(values, made, strict=True))]
    assert ordered == sorted(ordered)


def test_coverage_under_the_null():
    """Clustered nulls: the 95 % interval leaves zero out in about one case in twenty."""
    rng = np.random.default_rng(2)
    clusters = [str(n // 5) for n in range(200)]
    outside = 0
    for trial in range(200):
        values = np.repeat(rng.normal(size=40), 5) + rng.normal(size=200)
        made = of_mean(values.tolist(), clusters, num_samples=300, seed=trial)
        outside += made.interval.excludes_zero
    assert outside <= 18
