"""Records keep their ids and survive a trip through JSONL."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.errors import UserError
from evqa.records import Chunk, Document, QAPair, Question, read_jsonl, stable_id, write_jsonl

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def question(**values):
    fields = {
        "id": "q1", "question": "Why?", "answer": "So.", "alternatives": [], "key_facts": ["7.4 kW"],
        "category": "pricing", "difficulty": "easy", "split": "in_corpus", "source": "a.html",
        "as_of": None,
    }  # fmt: skip
    return Question(**{**fields, **values})


def test_ids_are_golden():
    """Ids are part of the format: other tools and older outputs rely on them."""
    assert Document.make_id("a.html", "0" * 64) == "doc_6a23f165eafb3617"
    assert Chunk.make_id("doc_1", 0, 5, "hello") == "chunk_19eb9c70700b3132"
    assert QAPair.make_id("chunk_1", "q", "a") == "pair_4e061b388eb8e652"


@given(TEXT, TEXT, TEXT)
def test_an_id_depends_on_every_part_and_on_their_borders(a, b, c):
    assert stable_id("x", a, b) == stable_id("x", a, b)
    if "\0" not in a + b + c and c:
        assert stable_id("x", a + c, b) != stable_id("x", a, c + b) or not (a or b or c)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_jsonl_round_trip(rows):
    import tempfile
    from pathlib import Path

    records = [question(question=a, answer=b) for a, b in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "q.jsonl"
        assert write_jsonl(path, records) == len(records)
        assert list(read_jsonl(path, Question)) == records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, "field 'answer'"),
        ({"key_facts": "7.4 kW"}, "field 'key_facts'"),
        ("drop answer", "field 'answer' is missing"),
        ("not json", "not a Question"),
        ("a list", "expected an object"),
    ],
)
def test_a_bad_line_is_named(tmp_path, change, message):
    row = dataclasses.asdict(question())
    if change == "drop answer":
        del row["answer"]
    elif isinstance(change, dict):
        row |= change
    line = {"not json": "{oops", "a list": "[1]"}.get(str(change), json.dumps(row))
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(dataclasses.asdict(question())) + "\n\n" + line + "\n")
    with pytest.raises(UserError, match=message) as caught:
        list(read_jsonl(path, Question))
    assert "q.jsonl:3" in str(caught.value)


def test_unknown_fields_are_left_alone(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(dataclasses.asdict(question()) | {"note": "new"}) + "\n")
    assert list(read_jsonl(path, Question)) == [question()]


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        question().answer = "other"
