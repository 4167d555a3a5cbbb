import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_for_tests import pair

from evqa.lineage.nearest import nearest_pairs, words

PAIRS = [
    pair("How fast is a CCS plug?", "Up to 350 kW."),
    pair("What is a wallbox?", "A charger on the wall."),
    pair("How much does 7.4 kW cost?", "About 900 euros."),
]


def test_the_pair_that_shares_the_rare_words_comes_first():
    (first, *_rest) = nearest_pairs("A CCS plug gives 350 kW", PAIRS, 3)
    assert first.pair is PAIRS[0]


@pytest.mark.parametrize("pair_", PAIRS)
def test_a_pair_is_nearest_to_itself_with_similarity_one(pair_):
    (first, *_rest) = nearest_pairs(f"{pair_.question} {pair_.answer}", PAIRS, 3)
    assert first.pair is pair_
    assert first.similarity == pytest.approx(1)


@given(st.text(max_size=80), st.integers(1, 5))
def test_similarities_are_ordered_shares(text, count):
    found = nearest_pairs(text, PAIRS, count)
    similarities = [near.similarity for near in found]
    assert len(found) <= count
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 < similarity <= 1 + 1e-9 for similarity in similarities)


@pytest.mark.parametrize("text", ["", "!!!", "zebra quagga"])
def test_what_shares_no_word_is_not_near(text):
    assert nearest_pairs(text, PAIRS, 3) == []


def test_without_pairs_nothing_is_near():
    assert nearest_pairs("kW", [], 3) == []


def test_numbers_are_words():
    assert words("A 7.4 kW wallbox: 1,000 €/Jahr_ä") == [
        "a", "7.4", "kw", "wallbox", "1,000", "jahr", "ä",
    ]  # fmt: skip
