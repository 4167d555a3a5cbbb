"""From sweep overrides to a search space.

Numeric lists are ordinal: Optuna sees the place in the sorted list, so 8, 16, 32 are neighbours
and not three names. Such a parameter is called ``lora.r[8,16,32]`` in the study, its value is the
place. Texts, lists and groups are categorical and keep their exact spelling.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from evqa.config.compose import parse_overrides
from evqa.config.keys import known_keys
from evqa.errors import ConfigError

LOG_TAG = "log"
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One searched override.

    Attributes:
        key: The override's key, as typed.
        param: Its name in the study.
        distribution: What Optuna samples.
        texts: Spelling of each value by place, for numeric lists.
        values: Every value in the order given; empty for a continuous range.
    """

    key: str
    param: str
    distribution: BaseDistribution
    texts: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()

    def word(self, value: Any) -> str:
        """Return the override that a sampled value stands for."""
        return f"{self.key}={self.texts[value] if self.texts else value}"

    def example(self, place: int) -> str:
        """Return the override of a value of the list, past its end the last; a range's start."""
        if self.values:
            return self.word(self.values[min(place, len(self.values) - 1)])
        assert isinstance(self.distribution, IntDistribution | FloatDistribution)
        return self.word(self.distribution.low)


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched, and the overrides that all trials share."""

    dimensions: tuple[Dimension, ...]
    fixed: tuple[str, ...]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return ``{parameter: distribution}`` for Optuna."""
        return {dimension.param: dimension.distribution for dimension in self.dimensions}

    @property
    def is_finite(self) -> bool:
        """Whether every dimension is a list."""
        return all(dimension.values for dimension in self.dimensions)

    def words(self, params: Params) -> list[str]:
        """Return the overrides of one trial."""
        return [*self.fixed, *(d.word(params[d.param]) for d in self.dimensions)]

    def combinations(self) -> Iterator[Params]:
        """Yield every combination of the lists; the last dimension turns fastest, as in Hydra."""
        names = [dimension.param for dimension in self.dimensions]
        for values in itertools.product(*(dimension.values for dimension in self.dimensions)):
            yield dict(zip(names, values, strict=True))


def parse_space(words: Sequence[str], schema: type) -> Space:
    """Divide overrides into dimensions and fixed words; a later word replaces an earlier one.

    Args:
        words: Overrides in Hydra's grammar.
        schema: The job's root config: an interval of an integer key holds integers (Hydra makes
            the ends of every ``interval`` floats).

    Raises:
        ConfigError: a range that cannot be searched.
    """
    hints = known_keys(schema)
    dimensions: dict[str, Dimension] = {}
    fixed: dict[str, str] = {}
    for override in parse_overrides(words):
        key = override.get_key_element()
        dimensions.pop(key, None)
        fixed.pop(key, None)
        if override.is_sweep_override():
            dimensions[key] = _dimension(key, override, is_integer=hints.get(key) is int)
        else:
            fixed[key] = override.input_line or ""
    return Space(tuple(dimensions.values()), tuple(fixed.values()))


def _dimension(key: str, override: Override, *, is_integer: bool) -> Dimension:
    value = override.value()
    if override.is_interval_sweep():
        assert isinstance(value, IntervalSweep)
        return _interval(key, value, is_integer=is_integer)
    texts = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not texts:
        raise ConfigError(f"{key}: nothing to choose from (in {override.input_line})")
    numbers = [number for number in map(_number, texts) if number is not None]
    if len(numbers) != len(texts):
        return Dimension(key, key, CategoricalDistribution(texts), values=texts)
    if override.is_range_sweep() and _is_int_range(numbers):
        return _int_range(key, [int(number) for number in numbers])
    return _ordinal(key, texts, numbers)


def _interval(key: str, value: IntervalSweep, *, is_integer: bool) -> Dimension:
    low, high, log = value.start, value.end, LOG_TAG in value.tags
    assert low is not None
    assert high is not None
    distribution: BaseDistribution
    try:
        if is_integer or (isinstance(low, int) and isinstance(high, int)):  # int(interval(…))
            distribution = IntDistribution(math.ceil(low), math.floor(high), log=log)
        else:
            distribution = FloatDistribution(low, high, log=log)
    except ValueError as error:
        raise ConfigError(f"{key}: interval({low},{high}): {error}") from None
    return Dimension(key, key, distribution)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_int_range(numbers: list[float]) -> bool:
    return len(numbers) > 1 and all(number.is_integer() for number in numbers)


def _int_range(key: str, numbers: list[int]) -> Dimension:
    step = abs(numbers[1] - numbers[0])
    distribution = IntDistribution(min(numbers), max(numbers), step=step)
    return Dimension(key, key, distribution, values=tuple(numbers))


def _ordinal(key: str, texts: tuple[str, ...], numbers: list[float]) -> Dimension:
    order = sorted(range(len(texts)), key=lambda place: numbers[place])
    ranked = tuple(texts[place] for place in order)
    return Dimension(
        key,
        f"{key}[{','.join(ranked)}]",
        IntDistribution(0, len(texts) - 1),
        texts=ranked,
        values=tuple(ranked.index(text) for text in texts),
    )
