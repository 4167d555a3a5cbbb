"""How sure are we: bootstrap intervals, p-values, and what difference could have been seen.

Questions about one document are not independent of each other, so whole documents are resampled
(cluster bootstrap: Cameron, Gelbach & Miller 2008, doi:10.1162/rest.90.3.414). The percentiles
are widened for few documents, as Student's t is wider than the normal distribution (the expanded
percentile interval of Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Chance to find a difference of the minimum detectable size. Four in five are stated; the margin
# is for what the formula leaves out: vetoes, and the error's own error.
POWER = 0.85


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def cluster_draws(
    clusters: Sequence[str], num_samples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how often each cluster is drawn in each resample, and each item's cluster number."""
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=num_samples)
    return drawn.astype(np.float64), members.astype(np.int64)


def resampled_sums(
    statistics: NDArray[np.float64], clusters: Sequence[str], num_samples: int, seed: int
) -> NDArray[np.float64]:
    """Return the summed statistics of each resample (num_samples × k).

    Args:
        statistics: One row a question (n × k).
        clusters: Which document each question is about.
        num_samples: Resamples.
        seed: The same seed draws the same documents, so systems are compared in pairs.
    """
    drawn, members = cluster_draws(clusters, num_samples, seed)
    per_cluster = np.zeros((drawn.shape[1], statistics.shape[1]))
    np.add.at(per_cluster, members, statistics)
    return drawn @ per_cluster


def interval(
    value: float, draws: NDArray[np.float64], confidence: float, num_clusters: int
) -> Interval:
    """Return a value with the expanded percentile interval of its resampled draws.

    Args:
        value: The value on the whole sample.
        draws: The same on each resample; those that are not a number are left out.
        confidence: Level of the interval, 0.95 for 95 %.
        num_clusters: Documents resampled; with one alone nothing is known, and the ends are
            infinite.
    """
    drawn = draws[np.isfinite(draws)]
    if num_clusters < 2 or not drawn.size:
        return Interval(float(value), -math.inf, math.inf)
    tail = 100 * _expanded_tail(confidence, num_clusters)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(float(value), float(low), float(high))


def _expanded_tail(confidence: float, num_clusters: int) -> float:
    from scipy.stats import norm, t

    quantile = t.ppf((1 - confidence) / 2, num_clusters - 1)
    return float(norm.cdf(math.sqrt(num_clusters / (num_clusters - 1)) * quantile))


def standard_error(draws: NDArray[np.float64], num_clusters: int) -> float:
    """Return the standard error of a value from its resampled draws, unbiased for few clusters."""
    drawn = draws[np.isfinite(draws)]
    if num_clusters < 2 or drawn.size < 2:
        return math.inf
    return float(np.std(drawn) * math.sqrt(num_clusters / (num_clusters - 1)))


def minimum_detectable_effect(error: float, num_clusters: int, confidence: float) -> float:
    """Return the true difference that a test of this level finds in four cases of five.

    (t(1 - a/2) + t(power)) standard errors: Bloom 1995, doi:10.1177/0193841X9501900504.
    """
    from scipy.stats import t

    freedom = max(1, num_clusters - 1)
    return float((t.ppf((1 + confidence) / 2, freedom) + t.ppf(POWER, freedom)) * error)


def p_value(difference: float, error: float, num_clusters: int) -> float:
    """Return the two-sided p-value of a difference being zero, by Student's t."""
    from scipy.stats import t

    if difference == 0 or not math.isfinite(error):
        return 1.0
    if error == 0:
        return 0.0
    return float(2 * t.sf(abs(difference) / error, num_clusters - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the same order."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def mean_statistics(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the statistics of a mean: value and count of each question."""
    return np.column_stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])


@dataclass(frozen=True, slots=True)
class PairedResult:
    """A mean difference of two systems on the same questions.

    Attributes:
        interval: The difference, ours minus theirs.
        error: Its standard error.
        p_value: Two-sided, not corrected.
        detectable: The minimum detectable effect, on the metric's scale.
        num_clusters: Documents that the questions are about.
    """

    interval: Interval
    error: float
    p_value: float
    detectable: float
    num_clusters: int


def paired_difference(
    ours: Sequence[float],
    theirs: Sequence[float],
    clusters: Sequence[str],
    *,
    confidence: float,
    num_samples: int,
    seed: int,
) -> PairedResult:
    """Compare two systems' values on the same questions.

    Args:
        ours: One a question.
        theirs: One a question, in the same order.
        clusters: Which document each question is about.
        confidence: Level of the interval, 0.95 for 95 %.
        num_samples: Resamples.
        seed: Of the resampling.
    """
    differences = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    sums = resampled_sums(mean_statistics(list(differences)), clusters, num_samples, seed)
    draws = sums[:, 0] / sums[:, 1]
    count = len(set(clusters))
    value = float(differences.mean())
    error = standard_error(draws, count)
    return PairedResult(
        interval=interval(value, draws, confidence, count),
        error=error,
        p_value=p_value(value, error, count),
        detectable=minimum_detectable_effect(error, count, confidence),
        num_clusters=count,
    )
