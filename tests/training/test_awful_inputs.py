"""What users bring by mistake: each is one clear line that says what, where and what to do."""

import copy
import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from evqa.data.dataset import STAGE, build_samples
from evqa.errors import GateError, UserError
from evqa.ledger import Ledger
from evqa.models.base import load
from evqa.models.load import load_tokenizer
from evqa.records import QAPair


def pair(number, answer="It is 7.4 kW."):
    return QAPair(
        id=f"p{number}", question=f"How much is {number}?", answer=answer, quote=None,
        quote_start=None, quote_end=None, chunk_id=None, document_id=None, category="x",
        difficulty="easy", split="train", generator="shipped", provenance={},
    )  # fmt: skip


@pytest.fixture
def model_folder(tiny_folder, tmp_path):
    """A copy of a good model that a test may spoil."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def change(folder, name, **values):
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def check_one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_every_sample_is_too_long(tiny_folder):
    tokenizer = load_tokenizer(tiny_folder, "Be brief.")
    ledger = Ledger()
    with pytest.raises(UserError) as error:
        build_samples([pair(n, "long " * 99) for n in range(5)], tokenizer, 64, ledger)
    assert "5 too_long" in check_one_line(error)
    assert ledger.stage(STAGE).dropped["too_long"] == 5
    assert all("tokens" in dropped.detail for dropped in ledger.dropped)


def test_one_sample_is_longer_than_the_context(tiny_folder):
    """It is counted by name; the others are trained on."""
    tokenizer = load_tokenizer(tiny_folder, "Be brief.")
    ledger = Ledger()
    pairs = [*(pair(n) for n in range(9)), pair(9, "long " * 99)]
    assert build_samples(pairs, tokenizer, 128, ledger).num_train == 9
    assert [(d.id, d.reason) for d in ledger.dropped] == [("p9", "too_long")]


def test_too_many_are_longer_than_the_context(tiny_folder):
    tokenizer = load_tokenizer(tiny_folder, "Be brief.")
    pairs = [*(pair(n) for n in range(5)), *(pair(n, "long " * 99) for n in range(5, 9))]
    with pytest.raises(GateError) as error:
        build_samples(pairs, tokenizer, 128, Ledger())
    assert "4 of 9 pairs are longer than model.max_length_tokens=128" in check_one_line(error)


@pytest.mark.parametrize("answer", ["", "   "])
def test_every_label_is_masked(model_folder, answer):
    """A template that leaves the assistant's words out."""
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    template += "{% generation %}{% endgeneration %}"
    (model_folder / "chat_template.jinja").write_text(template)
    tokenizer = load_tokenizer(model_folder, "")
    with pytest.raises(UserError) as error:
        build_samples([pair(n, answer) for n in range(3)], tokenizer, 128, Ledger())
    assert "3 no_labels" in check_one_line(error)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ nothing.at.all }}", "its chat template fails"),
        ("{% for m in messages %}", "its chat template fails"),
        ("{{ raise_exception('no system turn') }}", "no system turn"),
    ],
)
def test_a_wrong_chat_template(model_folder, template, said):
    (model_folder / "chat_template.jinja").write_text(template)
    with pytest.raises(UserError) as error:
        load_tokenizer(model_folder, "Be brief.")
    assert said in check_one_line(error)


def test_a_tokenizer_without_end_token(model_folder):
    change(model_folder, "tokenizer_config.json", eos_token=None)
    with pytest.raises(UserError) as error:
        load_tokenizer(model_folder, "Be brief.")
    assert "no end-of-sequence token" in check_one_line(error)


def test_a_tokenizer_without_pad_token_pads_with_its_end(model_folder):
    change(model_folder, "tokenizer_config.json", pad_token=None)
    tokenizer = load_tokenizer(model_folder, "Be brief.")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    samples = build_samples([pair(n) for n in range(3)], tokenizer, 128, Ledger())
    assert all(row["labels"][-1] == tokenizer.eos_token_id for row in samples.train)


def loaded(folder, config):
    return load(folder, config.model, config.quantization, "cpu")


def test_model_and_tokenizer_of_different_vocabulary(model_folder, tiny_config):
    weights = load_file(model_folder / "model.safetensors")
    name = "model.embed_tokens.weight"
    weights[name] = weights[name][:100].clone()
    save_file(weights, model_folder / "model.safetensors", metadata={"format": "pt"})
    change(model_folder, "config.json", vocab_size=100)
    with pytest.raises(UserError) as error:
        loaded(model_folder, tiny_config)
    assert "384 tokens, but the model only 100 embeddings" in check_one_line(error)


def test_samples_longer_than_the_model_knows_positions(model_folder, tiny_config):
    change(model_folder, "config.json", max_position_embeddings=64)
    config = copy.deepcopy(tiny_config)
    config.model.max_length_tokens = 128
    with pytest.raises(UserError) as error:
        loaded(model_folder, config)
    assert "knows 64 positions only" in check_one_line(error)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_empty_file(model_folder, tiny_config, name):
    (model_folder / name).write_bytes(b"")
    with pytest.raises(UserError) as error:
        loaded(model_folder, tiny_config)
    assert str(model_folder) in check_one_line(error)


def test_a_nan_in_a_weight_of_the_files(model_folder, tiny_config, tmp_path):
    from evqa.models.load import attach_adapter
    from evqa.tracking import Tracker
    from evqa.training.fit import fit

    weights = load_file(model_folder / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, model_folder / "model.safetensors", metadata={"format": "pt"})
    base = loaded(model_folder, tiny_config)
    model = attach_adapter(base.model, tiny_config.lora)
    samples = build_samples([pair(n) for n in range(8)], base.tokenizer, 128, Ledger())
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UserError) as error:
        fit(copy.deepcopy(tiny_config), model, base.tokenizer, samples, run, Tracker(None))
    text = check_one_line(error)
    assert "because a weight is: " in text
    assert "norm.weight" in text
    assert not (run / "adapter").exists()
