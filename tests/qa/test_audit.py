"""The audit names what is wrong with a file of questions, and the sample can be read again."""

import json
import os
from pathlib import Path

import pytest
from records_for_tests import pair

from evqa.errors import UserError
from evqa.qa import audit, sample
from evqa.records import write_jsonl

ROOT = Path(__file__).parents[2]


def findings(tmp_path, rows, training=()):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = audit.read_items(path)
    trained = tmp_path / "training.jsonl"
    trained.write_text("".join(json.dumps(row) + "\n" for row in training))
    found = audit.audit(items, audit.read_items(trained) if training else ())
    return {finding.kind: finding.count for finding in found}


def row(question, answer="Seven pins.", **fields):
    return {"question": question, "answer": answer, **fields}


LONG = "Research of a university on public charging stations analyses how often they are used."


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("How many pins has it?"), row("how many  pins has it")], {"duplicate questions": 1}),
        ([row("How many pins has it?", "")], {"missing answers": 1}),
        ([{"question": "How many pins has it?", "context": {}}], {"missing answers": 1}),
        ([row("How many pins has it?", "TODO")], {"placeholders": 1}),
        ([row("Which plug is it?", LONG), row("When is it free?", LONG)],
         {"one answer for different questions": 1}),
        ([row(f"What is thing {n}?", f"{n}.", category="a" if n < 15 else "b") for n in range(20)],
         {"imbalance of category": 10}),
        ([row("How many pins has it?"), row("Which colour has it?", "Blue.")], {}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, rows, expected):
    assert findings(tmp_path, rows) == expected


def test_what_stands_in_the_training_pairs_is_named(tmp_path):
    rows = [row("How many pins does Type 2 have?", "Seven."), row("Which plug is blue?", "CEE.")]
    training = [
        {"messages": [{"role": "user", "content": "What is the number of pins of Type 2?"},
                      {"role": "assistant", "content": "It is 7."}]},
        {"source": "x", "questions": ["Is it?", "Are there others?"], "answer": "CEE."},
    ]  # fmt: skip
    found = findings(tmp_path, rows, training)
    assert found == {"questions in the training pairs": 1, "answers in the training pairs": 1}


@pytest.mark.parametrize("text", ["", "{broken", "[1, 2]", '{"x": 1}\n', "[{]"])
def test_a_file_that_holds_no_questions_is_an_error(tmp_path, text):
    path = tmp_path / "odd.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=r"odd\.jsonl"):
        audit.read_items(path)
    assert audit.main([str(path)]) == 2
    assert audit.main([str(tmp_path / "gone")]) == 2


def test_our_benchmark_passes_and_stands_in_no_training_pair(capsys):
    benchmark = str(ROOT / "data" / "benchmark" / "ev_charging.jsonl")
    assert audit.main([benchmark]) == 0
    assert "210 questions, nothing wrong" in capsys.readouterr().out


@pytest.mark.skipif("EVQA_CORPUS_DIR" not in os.environ, reason="EVQA_CORPUS_DIR is not set")
def test_the_sets_of_others_are_flagged_for_what_they_are(capsys):
    tables = Path(os.environ["EVQA_CORPUS_DIR"]) / "tables"
    assert audit.main([str(tables / "benchmark_mahmoud.json")]) == 4
    out = capsys.readouterr().out
    assert "missing answers: 100" in out
    assert "duplicate questions: 68" in out
    training = str(tables / "qa_omar_train.jsonl")
    assert audit.main([training]) == 4
    out = capsys.readouterr().out
    assert "duplicate questions: 27" in out
    assert "one answer for different questions" in out
    assert audit.main([str(tables / "qa_omar_eval.jsonl"), "--train", training]) == 4
    out = capsys.readouterr().out
    assert "answers in the training pairs: 7" in out
    assert "questions in the training pairs" in out


def test_a_sample_is_the_same_for_the_same_seed(tmp_path, capsys):
    pairs = [pair(f"What is thing number {n}?", f"It is {n}.") for n in range(30)]
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    assert sample.main([str(tmp_path), "--num", "5"]) == 0
    first = capsys.readouterr().out
    assert first.count("Q: ") == first.count("A: ") == 5
    assert sample.main([str(tmp_path), "--num", "5"]) == 0
    assert capsys.readouterr().out == first
    assert sample.main([str(tmp_path), "--num", "5", "--seed", "2"]) == 0
    assert capsys.readouterr().out != first
    assert sample.main([str(tmp_path / "gone")]) == 2
    assert sample.main([str(tmp_path), "--generator", "nobody"]) == 2
