"""Duplicates: exact and near ones go, whatever the order; kin share a cluster."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from records_for_tests import document

from evqa.documents.dedup import deduplicate_texts
from evqa.documents.shingles import jaccard, shingles, sketch_of

WORDS = [f"word{n}" for n in range(400)]


def text_of(seed, length=300):
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(text, share, seed=0):
    """The text with a stretch of so many words at its end replaced."""
    words = text.split()
    keep = int(len(words) * (1 - share))
    return " ".join([*words[:keep], *text_of(seed + 99, len(words) - keep).split()])


class Result:
    """What becomes of documents, by source."""

    def __init__(self, documents, duplicate_jaccard, cluster_jaccard):
        found = deduplicate_texts(documents, duplicate_jaccard, cluster_jaccard)
        self.kept = [d for n, d in enumerate(documents) if n not in found.duplicates]
        self.duplicates = [
            (documents[n].source, documents[d.kept].source, d.reason, d.jaccard)
            for n, d in sorted(found.duplicates.items())
        ]
        self.clusters = {d.id: found.clusters[n] for n, d in enumerate(documents)}


def deduplicate(*arguments):
    return Result(*arguments)


def test_an_exact_copy_goes_and_the_reason_says_so():
    found = deduplicate([document(text_of(1), "b"), document(text_of(1), "a")], 0.8, 0.3)
    assert [d.source for d in found.kept] == ["a"]
    assert found.duplicates == [("b", "a", "exact_duplicate", 1.0)]


def test_of_near_duplicates_the_longer_stays():
    longer = text_of(2) + " and one more closing sentence here"
    found = deduplicate([document(text_of(2), "a"), document(longer, "b")], 0.8, 0.3)
    assert [d.source for d in found.kept] == ["b"]
    ((_, _, reason, similarity),) = found.duplicates
    assert reason == "near_duplicate"
    assert 0.8 <= similarity < 1


def test_a_new_edition_stays_but_shares_the_cluster():
    old, new = document(text_of(3), "old"), document(changed(text_of(3), 0.4), "new")
    other = document(text_of(4), "other")
    found = deduplicate([old, new, other], 0.8, 0.3)
    assert len(found.kept) == 3
    assert found.clusters[old.id] == found.clusters[new.id] != found.clusters[other.id]


def test_a_chain_of_alike_documents_is_one_cluster():
    texts = [text_of(5)]
    for seed in range(3):
        texts.append(changed(texts[-1], 0.3, seed))
    documents = [document(text, f"d{n}") for n, text in enumerate(texts)]
    found = deduplicate(documents, 0.95, 0.5)
    assert len(set(found.clusters.values())) == 1


def test_the_sketch_decides_nothing():
    """Documents just below the threshold stay, whatever MinHash estimates."""
    base = text_of(6)
    near = changed(base, 0.12)
    true = jaccard(shingles(base), shingles(near))
    documents = [document(base, "a"), document(near, "b")]
    assert len(deduplicate(documents, true + 1e-6, 0.3).kept) == 2
    assert len(deduplicate(documents, true - 1e-6, 0.3).kept) == 1


def test_short_and_empty_texts_are_compared_whole():
    assert jaccard(shingles("7.4 kW"), shingles("7.4 KW")) == 1.0
    assert jaccard(shingles("a b"), shingles("a c")) == 0.0
    assert jaccard(shingles(""), shingles(" ")) == 1.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_does_not_matter_and_twice_is_once(seeds, shuffler):
    documents = [
        document(changed(text_of(seed // 2), 0.02 * seed, seed), f"d{n}")
        for n, seed in enumerate(seeds)
    ]
    first = deduplicate(documents, 0.8, 0.3)
    shuffled = documents[:]
    shuffler.shuffle(shuffled)
    second = deduplicate(shuffled, 0.8, 0.3)
    assert {d.id for d in first.kept} == {d.id for d in second.kept}
    assert first.clusters == second.clusters
    assert len(first.kept) + len(first.duplicates) == len(documents)
    again = deduplicate(first.kept, 0.8, 0.3)
    assert again.kept == first.kept
    assert again.duplicates == []


def test_copies_of_a_dropped_document_are_dropped_for_the_one_that_stays():
    longer = document(text_of(2) + " and one more closing sentence here", "z")
    copies = [document(text_of(2), name) for name in "abc"]
    found = deduplicate([*copies, longer], 0.8, 0.3)
    assert [d.source for d in found.kept] == ["z"]
    assert [kept for _, kept, _, _ in found.duplicates] == ["z", "z", "z"]
    assert len(set(found.clusters.values())) == 1


def test_a_thousand_copies_cost_no_million_comparisons(monkeypatch):
    from evqa.documents import dedup

    asked = []
    monkeypatch.setattr(dedup, "jaccard", lambda *_: asked.append(1) or 1.0)
    documents = [document(text_of(1), f"d{n}") for n in range(1000)]
    assert len(deduplicate(documents, 0.8, 0.3).kept) == 1
    assert asked == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60))
def test_grams_are_those_of_the_words(numbers):
    """The polynomial hash tells two word lists apart exactly when their 8-grams differ."""
    words = [WORDS[n] for n in numbers]
    size = min(8, len(words))
    grams = {tuple(words[n : n + size]) for n in range(len(words) - size + 1)} if words else set()
    assert shingles(" ".join(words)).size == len(grams)


def test_sketches_estimate_the_jaccard():
    base = text_of(7, 2000)
    for share in (0.1, 0.5):
        near = changed(base, share)
        left, right = shingles(base), shingles(near)
        estimate = (sketch_of(left) == sketch_of(right)).mean()
        assert abs(estimate - jaccard(left, right)) < 0.12
