"""The chat files: what other trainers read, loaded by the library they load it with."""

import json

from records_for_tests import pair

from evqa.qa.chat import ChatFiles
from evqa.qa.imported import question_and_answer


def written(tmp_path):
    pairs = [
        pair("What is a wallbox?", "A charger – with “signs”.", split="train"),
        pair("What is a plug?", "Metal.", split="validation"),
    ]
    with ChatFiles(tmp_path / "chat") as files:
        for held in pairs:
            files.add(held)
    return pairs, tmp_path / "chat"


def test_each_split_has_its_file_and_our_own_import_reads_it(tmp_path):
    pairs, folder = written(tmp_path)
    (line,) = (folder / "train.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert question_and_answer(row) == (pairs[0].question, pairs[0].answer)
    assert (folder / "test.jsonl").read_text() == ""


def test_hugging_face_datasets_loads_it(tmp_path):
    import datasets

    pairs, folder = written(tmp_path)
    found = datasets.load_dataset(
        "json",
        data_files={"train": str(folder / "train.jsonl")},
        cache_dir=str(tmp_path / "cache"),
    )["train"]
    assert found.column_names == ["messages"]
    assert found[0]["messages"][1] == {"role": "assistant", "content": pairs[0].answer}


def test_llama_factory_is_told_where_roles_and_texts_stand(tmp_path):
    _, folder = written(tmp_path)
    described = json.loads((folder / "dataset_info.json").read_text())["evqa_train"]
    row = json.loads((folder / described["file_name"]).read_text().splitlines()[0])
    turns = row[described["columns"]["messages"]]
    tags = described["tags"]
    assert turns[0][tags["role_tag"]] == tags["user_tag"]
    assert turns[1][tags["role_tag"]] == tags["assistant_tag"]
    assert turns[0][tags["content_tag"]] == "What is a wallbox?"
