"""Overrides become dimensions that keep order, spelling and range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from evqa.config import TrainConfig
from evqa.config.run_job import expand
from evqa.errors import ConfigError
from evqa.sweep.space import parse_space as parse

INTERVALS = [
    ("optimizer.lr=interval(0.1,0.5)", FloatDistribution(0.1, 0.5)),
    ("optimizer.lr=tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
    ("lora.r=interval(4,64)", IntDistribution(4, 64)),
    ("lora.alpha=interval(4,64)", FloatDistribution(4, 64)),
    ("lora.alpha=int(interval(4,64))", IntDistribution(4, 64)),
    ("lora.r=tag(log,interval(4,64))", IntDistribution(4, 64, log=True)),
    ("lora.r=range(8,32,8)", IntDistribution(8, 24, step=8)),  # Hydra excludes the end
]


def parse_space(words):
    return parse(words, TrainConfig)


def words_of(space):
    return [space.words(params) for params in space.combinations()]


@pytest.mark.parametrize(("word", "distribution"), INTERVALS)
def test_ranges(word, distribution):
    (dimension,) = parse_space([word]).dimensions
    assert dimension.distribution == distribution


def test_numbers_stay_ordinal_and_texts_categorical():
    space = parse_space(["lora.r=choice(32,8,16)", "optimizer=adamw,lion8bit"])
    assert space.distributions == {
        "lora.r[8,16,32]": IntDistribution(0, 2),
        "optimizer": CategoricalDistribution(("adamw", "lion8bit")),
    }
    assert space.words({"lora.r[8,16,32]": 1, "optimizer": "adamw"}) == [
        "lora.r=16",
        "optimizer=adamw",
    ]


@pytest.mark.parametrize(
    "word",
    [
        "lora.r=32,8,16",
        'name="a=b",c',
        "name='it\\'s','a,b'",
        "lora.target_modules=[q_proj],[q_proj,v_proj]",
        "optimizer.lr=1e-4,2e-4,0.001",
        "memory.budget_gib=6,null",
        "lora.r=range(4,20,4)",
        "lora.r=range(20,4,-4)",
        "lora.dropout=range(0.0,0.3,0.1)",
        "lora.dropout=0,0.0,1e-1",
    ],
)
def test_lists_keep_order_and_spelling(word):
    assert words_of(parse_space([word])) == expand([word])


@given(
    st.lists(st.integers(1, 512), min_size=2, max_size=5, unique=True),
    st.lists(st.sampled_from(["adamw", "lion8bit", "adamw8bit"]), min_size=2, unique=True),
)
def test_combinations_are_those_that_were_checked_before_the_start(ranks, optimizers):
    words = [f"lora.r={','.join(map(str, ranks))}", "seed=1", f"optimizer={','.join(optimizers)}"]
    found = [sorted(trial) for trial in words_of(parse_space(words))]
    assert found == [sorted(trial) for trial in expand(words)]


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=6, unique=True))
def test_the_place_follows_the_size(rates):
    (dimension,) = parse_space([f"optimizer.lr={','.join(map(repr, rates))}"]).dimensions
    ranked = [float(dimension.word(place).partition("=")[2]) for place in range(len(rates))]
    assert ranked == sorted(rates)


def test_a_later_word_replaces_an_earlier_one():
    space = parse_space(["lora.r=8,16", "seed=1", "lora.r=4", "seed=2,3"])
    assert space.fixed == ("lora.r=4",)
    assert [dimension.key for dimension in space.dimensions] == ["seed"]


def test_an_interval_upside_down_is_one_line():
    with pytest.raises(ConfigError, match="optimizer.lr: interval"):
        parse_space(["optimizer.lr=interval(0.5,0.1)"])
