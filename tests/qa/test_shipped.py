"""Shipped and imported pairs: every odd line is an error that names file and line."""

import dataclasses
import json

import pytest
from records_for_tests import chunk, document

from evqa.config.data import DataConfig, DataKind, DocumentsConfig
from evqa.errors import GateError, UserError
from evqa.qa.imported import draw_split, load_imported, question_and_answer
from evqa.qa.passages import Passages
from evqa.qa.shipped import find_quote, load_shipped
from evqa.records import write_jsonl

DOCUMENT = document("A plug has\nseven pins. It is blue.", "plug.html", split="validation")
ROW = {
    "source": "plug.html",
    "category": "connector_types",
    "difficulty": "easy",
    "questions": ["How many pins has a plug?", "What is the number of pins in a plug?"],
    "answer": "A plug has seven pins.",
    "quote": "A plug has seven pins.",
}


def passages(folder, split="validation"):
    held = dataclasses.replace(DOCUMENT, split=split)
    write_jsonl(folder / "documents.jsonl", [held])
    write_jsonl(folder / "chunks.jsonl", [chunk(held.text, held)])
    return Passages(folder)


def load(tmp_path, *rows, duplicates=(), split="validation"):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    found = list(load_shipped(path, passages(tmp_path, split), set(duplicates)))
    assert all(held.document_id == pair.document_id for pair, held in found)
    return [pair for pair, _ in found]


def test_each_wording_is_a_pair_with_its_quote_in_the_chunk(tmp_path):
    first, second = load(tmp_path, ROW)
    assert [first.question, second.question] == ROW["questions"]
    assert first.quote == "A plug has\nseven pins."
    assert DOCUMENT.text[first.quote_start : first.quote_end] == first.quote
    assert (first.generator, first.split, first.category) == (
        "shipped",
        "validation",
        "connector_types",
    )
    assert second.provenance == {"template": "shipped", "line": 1, "wording": 2}
    assert first.id != second.id


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{not json", "pairs.jsonl:2: not JSON"),
        ("[1, 2]", "pairs.jsonl:2: field 'source' is missing"),
        ({**ROW, "answer": ""}, "field 'answer' is missing or empty"),
        ({**ROW, "questions": "one?"}, "'questions' must be a list"),
        ({**ROW, "questions": ["a?", 3]}, "'questions' must be a list"),
        ({**ROW, "difficulty": "tricky"}, "difficulty 'tricky'; allowed: easy, medium, hard"),
        ({**ROW, "source": "gone.html"}, "source 'gone.html' is not among the documents"),
        ({**ROW, "quote": "A plug has nine pins."}, "the quote is not in plug.html"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, message):
    with pytest.raises(UserError, match=r"pairs\.jsonl:2") as error:
        load(tmp_path, ROW, row)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        list(load_shipped(tmp_path / "gone.jsonl", passages(tmp_path), set()))


def test_pairs_about_a_held_out_document_are_refused(tmp_path):
    with pytest.raises(GateError, match=r"pairs\.jsonl:1: plug\.html is held out"):
        load(tmp_path, ROW, split="held_out")


def test_pairs_about_a_dropped_duplicate_are_passed_over(tmp_path):
    assert load(tmp_path, {**ROW, "source": "copy.html"}, duplicates=["copy.html"]) == []


@pytest.mark.parametrize(
    ("quote", "text", "found"),
    [
        ("seven pins", "has seven\n  pins.", "seven\n  pins"),
        ("Type 2 7 pins", "| Type 2 | 7 pins |", "Type 2 | 7 pins"),
        ("(a+b)", "x (a+b) y", "(a+b)"),
        ("nine pins", "seven pins", None),
        ("", "text", None),
        ("| |", "text", None),
    ],
)
def test_quotes_are_found_white_space_and_table_marks_aside(quote, text, found):
    span = find_quote(quote, text)
    assert (text[slice(*span)] if span else None) == found


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Q one?", "answer": "A."},
        {"prompt": "Q one?", "completion": "A."},
        {"instruction": "Q one?", "output": "A."},
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q one?"},
                      {"role": "assistant", "content": "A."}]},
        {"conversations": [{"from": "human", "value": "Q one?"}, {"from": "gpt", "value": "A."}]},
    ],
)  # fmt: skip
def test_every_known_shape_is_read(row, tmp_path):
    assert question_and_answer(row) == ("Q one?", "A.")
    path = tmp_path / "pairs.jsonl"
    path.write_text("\ufeff" + json.dumps(row) + "\n\n")
    config = DataConfig(kind=DataKind.jsonl, path=str(path))
    (found,) = load_imported(config, DocumentsConfig(validation_fraction=0, test_fraction=0))
    assert (found.question, found.answer, found.quote, found.split) == (
        "Q one?",
        "A.",
        None,
        "train",
    )
    assert found.provenance["quote"] == "none: imported"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"question": "Q?"},
        {"question": 3, "answer": "A."},
        {"messages": [{"role": "user", "content": "Q?"}]},
        {"messages": [{"role": "assistant", "content": "A."}]},
        {"messages": ["text"]},
        {"messages": [{"role": "user", "content": None}]},
    ],
)
def test_other_shapes_are_refused_by_line(row, tmp_path):
    assert question_and_answer(row) is None
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"question": "Q one?", "answer": "A."}) + "\n" + json.dumps(row))
    with pytest.raises(UserError, match=r"pairs\.jsonl:2: expected messages"):
        list(load_imported(DataConfig(kind=DataKind.jsonl, path=str(path)), DocumentsConfig()))


def test_a_missing_import_is_named(tmp_path):
    config = DataConfig(kind=DataKind.jsonl, path=str(tmp_path / "gone.jsonl"))
    with pytest.raises(UserError, match=r"data\.path=.*gone\.jsonl: no such file"):
        list(load_imported(config, DocumentsConfig()))


def test_imported_splits_follow_the_fractions_and_the_normalised_question():
    fractions = DocumentsConfig(validation_fraction=0.2, test_fraction=0.1)
    drawn = [draw_split(f"Question number {n}?", fractions).value for n in range(3000)]
    assert 0.17 < drawn.count("validation") / 3000 < 0.23
    assert 0.08 < drawn.count("test") / 3000 < 0.12
    assert draw_split("How LONG?", fractions) == draw_split("how  long", fractions)
