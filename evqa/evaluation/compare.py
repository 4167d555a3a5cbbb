"""How sure are we: bootstrap intervals of scores and of paired differences.

Questions about one document are not independent of each other, so whole documents are resampled
(cluster bootstrap, Cameron, Gelbach & Miller 2008).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def interval(value: float, draws: NDArray[np.float64], confidence: float) -> Interval:
    """Return a value with the percentile interval of its resampled draws."""
    tail = 50 * (1 - confidence)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(float(value), float(low), float(high))


def mean_statistics(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the statistics of a mean: value and count of each question."""
    return np.column_stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])


def bootstrap_mean(
    values: Sequence[float],
    clusters: Sequence[str],
    *,
    confidence: float,
    num_samples: int,
    seed: int,
) -> Interval:
    """Return the mean of per-question values with its percentile interval.

    Args:
        values: One a question; a paired comparison gives differences.
        clusters: Which document each question is about.
        confidence: Level of the interval, 0.95 for 95 %.
        num_samples: Resamples.
        seed: Of the resampling.
    """
    sums = resampled_sums(mean_statistics(values), clusters, num_samples, seed)
    return interval(float(np.mean(values)), sums[:, 0] / sums[:, 1], confidence)


def paired_difference(
    ours: Sequence[float],
    theirs: Sequence[float],
    clusters: Sequence[str],
    *,
    confidence: float,
    num_samples: int,
    seed: int,
) -> Interval:
    """Return the mean difference of two systems on the same questions with its interval."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    return bootstrap_mean(
        differences, clusters, confidence=confidence, num_samples=num_samples, seed=seed
    )
