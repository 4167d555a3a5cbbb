"""Splits: by cluster, the benchmark's wishes first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_for_tests import asked, document

from evqa.config.data import DocumentsConfig
from evqa.documents.dedup import Deduplication, Duplicate, Entry
from evqa.documents.shingles import fingerprint
from evqa.documents.split import is_named, splits_of_clusters
from evqa.errors import GateError


def corpus(num, cluster_of=lambda n: n):
    return [
        document(f"text {n}", f"d{n}.html", cluster_id=f"c{cluster_of(n)}") for n in range(num)
    ]


def split_of(documents, questions=(), dropped=(), **fractions):
    entries = [Entry.of(document, fingerprint(document.text)) for document in documents]
    duplicates = {place: Duplicate(place, 0, 1.0) for place in dropped}
    found = Deduplication(duplicates, [document.cluster_id for document in documents])
    splits = splits_of_clusters(entries, found, list(questions), DocumentsConfig(**fractions))
    return {document.source: splits[document.cluster_id].value for document in documents}


def test_documents_that_questions_name_go_where_the_questions_say():
    questions = [
        asked("a?", split="held_out", source="d0.html"),
        asked("b?", split="in_corpus", source="d1.html"),
    ]
    found = split_of(corpus(4), questions, validation_fraction=0.25, test_fraction=0.25)
    assert (found["d0.html"], found["d1.html"]) == ("held_out", "train")
    assert sorted([found["d2.html"], found["d3.html"]]) == ["test", "validation"]


def test_kin_of_a_held_out_document_are_held_out_too():
    questions = [asked("a?", split="held_out", source="d0.html")]
    found = split_of(corpus(3, lambda n: min(n, 1) if n else 1), questions)
    assert set(found.values()) == {"held_out"}


def test_a_question_may_name_a_dropped_duplicate():
    kept, dropped = corpus(2, lambda _: 0)
    questions = [asked("a?", split="held_out", source=dropped.source)]
    assert split_of([kept, dropped], questions, dropped=[1])[kept.source] == "held_out"


def test_a_cluster_wanted_on_both_sides_is_refused_by_name():
    questions = [
        asked("a?", split="held_out", source="d0.html"),
        asked("b?", split="in_corpus", source="d1.html"),
    ]
    with pytest.raises(GateError, match=r"d0\.html is held out, but d1\.html"):
        split_of(corpus(2, lambda _: 0), questions)


def test_no_fraction_draws_nothing():
    found = split_of(corpus(10), validation_fraction=0, test_fraction=0)
    assert set(found.values()) == {"train"}


def test_documents_are_named_by_source_link_or_file_name():
    source, url = "deep/er/page.html", "https://x.example/page"
    assert is_named(source, url, {"deep/er/page.html"})
    assert is_named(source, url, {"https://x.example/page"})
    assert is_named(source, url, {"page.html"})
    assert not is_named(source, url, {"er/page.html"})
    assert not is_named(source, None, {"None"})


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
    st.floats(0, 0.49),
    st.floats(0, 0.49),
    st.randoms(use_true_random=False),
)
def test_a_cluster_is_never_split_and_fractions_are_never_exceeded(
    clusters, validation, test, shuffler
):
    documents = corpus(len(clusters), lambda n: clusters[n])
    fractions = {"validation_fraction": validation, "test_fraction": test}
    found = split_of(documents, **fractions)
    by_cluster = {}
    for document_ in documents:
        by_cluster.setdefault(document_.cluster_id, set()).add(found[document_.source])
    assert all(len(splits) == 1 for splits in by_cluster.values())
    values = list(found.values())
    assert values.count("validation") <= round(validation * len(documents))
    assert values.count("test") <= round(test * len(documents))
    shuffled = documents[:]
    shuffler.shuffle(shuffled)
    assert split_of(shuffled, **fractions) == found
