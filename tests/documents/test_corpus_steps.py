"""Repeats within a document, and all the steps with their ledger."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_for_tests import asked, document

from evqa.config.data import DocumentsConfig
from evqa.documents.chunk import chunk_document
from evqa.documents.corpus import Collection, digest
from evqa.documents.pages import map_pages, page_at
from evqa.documents.repeats import without_repeats
from evqa.ledger import Ledger

LINE = "The charging cable of the car is locked while current flows through it."
GOOD = (
    "The wallbox draws its current from the board, and the car decides how much of it is used. "
    "A charger for the home needs a circuit of its own with a device that trips at 30 mA. "
)


def test_long_lines_stand_once_and_short_ones_as_often_as_they_do():
    text = f"# Menu\n\n{LINE}\n\nMenu\n\nMenu\n\n- {LINE}\n\n{LINE}\n\n| 1 | 2 |\n| 1 | 2 |"
    found = without_repeats(document(text)).text
    assert found.count("locked") == 1
    assert found.count("Menu") == 3
    assert found.count("| 1 | 2 |") == 2


def test_repeats_go_across_pages():
    text = f"{LINE}\n\n{LINE}"
    pages = [[0, len(LINE)], [len(LINE) + 2, len(text)]]
    found = without_repeats(document(text, kind="pdf", pages=pages))
    assert found.text == LINE
    assert found.pages == [[0, len(LINE)], [len(LINE), len(LINE)]]


def test_pages_are_found_by_offset():
    held = document("one\n\ntwo", kind="pdf", pages=[[0, 3], [5, 8]])
    assert [page_at(held, offset) for offset in (0, 2, 5, 7)] == [1, 1, 2, 2]
    assert page_at(document("one"), 0) is None
    assert map_pages(held, str.upper).text == "ONE\n\nTWO"


@pytest.fixture
def collect(tmp_path):
    """Everything that happens to documents after reading: the kept ones and the ledger."""

    def run(documents, questions=(), config=None):
        config = config or DocumentsConfig(validation_fraction=0, test_fraction=0)
        ledger = Ledger()
        with Collection(tmp_path, config, ledger) as collection:
            for found in documents:
                collection.add(digest(found, config))
            collection.settle(list(questions))
            kept = list(collection.documents())
            return kept, ledger, collection.closest_training_documents(), collection.left_out

    run.folder = tmp_path
    return run


def test_the_ledger_balances_and_names_every_loss(collect):
    documents = [
        document(GOOD * 3 + "One.", "a"),
        document(GOOD * 3 + "One.", "b"),
        document("short", "c"),
    ]
    kept, ledger, _, left_out = collect(documents)
    ledger.check()
    assert [d.source for d in kept] == ["a"]
    assert left_out == {"b"}
    assert [(d.stage, d.source, d.reason) for d in ledger.dropped] == [
        ("filter", "c", "too_short"),
        ("deduplicate", "b", "exact_duplicate"),
    ]
    assert list(collect.folder.iterdir()) == []  # the working files are gone


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), max_size=12))
def test_whatever_comes_in_the_ledger_balances(collect, picks):
    texts = {"a": GOOD * 3, "b": "short", "c": "der die und das " * 30, "d": "\x01\x02 " * 60}
    documents = [
        document(f"{texts[kind]} {'x ' * number}", f"{place}.html")
        for place, (kind, number) in enumerate(picks)
    ]
    kept, ledger, _, _ = collect(documents)
    ledger.check()
    first, second = ledger.stages() if documents else ([], [])
    if documents:
        assert first.num_in == len(documents)
        assert second.num_in == first.num_kept
        assert second.num_kept == len(kept)


def test_every_chunk_says_where_it_is_from(collect):
    held = document(
        GOOD * 3,
        "a",
        url="https://x.example/a",
        license="CC0-1.0",
        authors=["Jane"],
        published="2024-05-01",
        fetched="2024-06-01T00:00:00+00:00",
    )
    ((kept,), _, _, _) = collect([held])
    for chunk in chunk_document(kept, DocumentsConfig()):
        assert (chunk.document_id, chunk.source, chunk.url) == (held.id, "a", held.url)
        assert (chunk.license, chunk.authors, chunk.published) == (
            "CC0-1.0",
            ["Jane"],
            "2024-05-01",
        )
        assert (chunk.fetched, chunk.sha256) == (held.fetched, held.sha256)


def test_personal_data_is_scrubbed_unless_told_otherwise(collect):
    held = document(GOOD * 3 + "Mail a@b.example.")
    for scrubbed in (True, False):
        ((found,), _, _, _) = collect([held], config=DocumentsConfig(scrub_pii=scrubbed))
        assert ("[email]" in found.text) is scrubbed


def test_each_held_out_document_is_compared_with_training(collect):
    documents = [
        document(GOOD * 2 + "One two three four.", "held"),
        document(f"{' '.join(f'other{n} of the' for n in range(200))} {GOOD} in it.", "near"),
        document("Nothing of the kind is in this one, not at all, no. " * 5, "far"),
    ]
    questions = [asked("a?", split="held_out", source="held")]
    _, _, (row,), _ = collect(documents, questions)
    assert (row["source"], row["closest"]) == ("held", "near")
    assert row["jaccard"] < 0.3
    assert row["contained"] > 0.5
    _, _, rows, _ = collect(documents[1:])
    assert rows == []


def test_held_out_documents_are_marked(collect):
    questions = [asked("x?", split="held_out", source="a")]
    kept, _, _, _ = collect([document(GOOD * 3, "a")], questions)
    assert [d.split for d in kept] == ["held_out"]
