"""The embedded base: made once, the same every time, from the documents alone."""

import dataclasses
import json
import multiprocessing

import pytest
import torch
from safetensors.torch import load_file
from tiny_texts import TEXTS

from evqa.errors import UserError
from evqa.models.tiny import ensure_tiny, pretrain, tiny_id, train_tokenizer


def silent(*_):
    return None


def test_a_second_time_finds_it(tiny_config, tmp_path):
    steps = []
    first = ensure_tiny(tiny_config.model, TEXTS, tmp_path, lambda *a: steps.append(a))
    made = len(steps)
    assert made == steps[-1][0] == steps[-1][1]
    assert ensure_tiny(tiny_config.model, TEXTS, tmp_path, lambda *a: steps.append(a)) == first
    assert len(steps) == made
    assert [p.name for p in tmp_path.iterdir()] == [first.name]


def test_the_same_inputs_give_the_same_weights(tiny_config, tiny_folder, tmp_path):
    torch.manual_seed(99)
    again = ensure_tiny(tiny_config.model, TEXTS, tmp_path, silent)
    one, two = (load_file(f / "model.safetensors") for f in (tiny_folder, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_everything_that_goes_in_changes_the_id(tiny_config):
    model = tiny_config.model
    ids = {tiny_id(model, TEXTS), tiny_id(model, [*TEXTS, "more"])}
    for change in ({"seed": 1}, {"lr": 1e-3}, {"num_epochs": 2}):
        ids.add(
            tiny_id(
                dataclasses.replace(model, pretrain=dataclasses.replace(model.pretrain, **change)),
                TEXTS,
            )
        )
    assert len(ids) == 5
    # The system prompt is applied later: it does not belong to the base.
    assert tiny_id(dataclasses.replace(model, system_prompt="x"), TEXTS) in ids


def test_pretraining_learns_the_documents(tiny_config):
    tokenizer = train_tokenizer(TEXTS, 384)
    from evqa.models.tiny import _token_stream, build_llama

    torch.manual_seed(0)
    model = dataclasses.replace(
        tiny_config.model, pretrain=dataclasses.replace(tiny_config.model.pretrain, num_epochs=6)
    )
    network = build_llama(model, tokenizer)
    losses = pretrain(network, _token_stream(tokenizer, TEXTS), model, silent)
    assert losses[-1] < 0.6 * losses[0]


def test_too_little_text_is_refused(tiny_config, tmp_path):
    with pytest.raises(UserError, match="needs at least 33 tokens"):
        ensure_tiny(tiny_config.model, ["short"], tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_it_loads_as_a_plain_llama(tiny_folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    assert model.config.model_type == "llama"
    assert json.loads((tiny_folder / "pretraining.json").read_text())["num_steps"] > 0
    text = "7.4 kW – ½ Ω 电"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def _make(config, folder):
    ensure_tiny(config.model, TEXTS, folder, silent)


def test_two_processes_at_once(tiny_config, tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_make, args=(tiny_config, tmp_path)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert len(list(tmp_path.iterdir())) == 1
