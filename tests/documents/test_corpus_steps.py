"""Repeats within a document, and all the steps with their ledger."""

from records_for_tests import asked, document

from evqa.config.data import DocumentsConfig
from evqa.documents.corpus import build_corpus, clean_and_filter, closest_training_documents
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


def test_the_ledger_balances_and_names_every_loss():
    documents = [
        document(GOOD * 3 + "One.", "a"),
        document(GOOD * 3 + "One.", "b"),
        document("short", "c"),
    ]
    ledger = Ledger()
    config = DocumentsConfig(validation_fraction=0, test_fraction=0)
    kept = clean_and_filter(documents, config, ledger)
    corpus = build_corpus(kept, [], config, ledger)
    ledger.check()
    assert [d.source for d in corpus.documents] == ["a"]
    assert corpus.left_out == {"b"}
    assert [(d.stage, d.source, d.reason) for d in ledger.dropped] == [
        ("filter", "c", "too_short"),
        ("deduplicate", "b", "exact_duplicate"),
    ]
    assert all(chunk.document_id == corpus.documents[0].id for chunk in corpus.chunks)


def test_personal_data_is_scrubbed_unless_told_otherwise():
    held = document(GOOD * 3 + "Mail a@b.example.")
    for scrubbed in (True, False):
        found = clean_and_filter([held], DocumentsConfig(scrub_pii=scrubbed), Ledger())[0]
        assert ("[email]" in found.text) is scrubbed


def test_each_held_out_document_is_compared_with_training():
    documents = [
        document(GOOD, "held", split="held_out"),
        document(GOOD + " More words here.", "near"),
        document("Nothing of the kind is in this one, not at all, no.", "far"),
    ]
    (row,) = closest_training_documents(documents)
    assert (row["source"], row["closest"]) == ("held", "near")
    assert 0.5 < row["jaccard"] < 1
    assert closest_training_documents(documents[1:]) == []


def test_held_out_documents_are_chunked_but_marked():
    ledger = Ledger()
    questions = [asked("x?", split="held_out", source="a")]
    corpus = build_corpus([document(GOOD * 3, "a")], questions, DocumentsConfig(), ledger)
    assert [d.split for d in corpus.documents] == ["held_out"]
    assert corpus.chunks
