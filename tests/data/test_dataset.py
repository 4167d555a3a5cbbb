"""Samples: nothing truncated silently, nothing without labels, every refusal counted."""

import pytest

from evqa.config.training import TrainerConfig
from evqa.data.datamodule import QADataModule
from evqa.data.dataset import STAGE, build_samples
from evqa.errors import GateError, UserError
from evqa.ledger import Ledger
from evqa.models.load import load_tokenizer
from evqa.records import QAPair


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return load_tokenizer(tiny_folder, "Answer briefly.")


def pair(number=0, *, split="train", answer="At 7.4 kW."):
    return QAPair(
        id=f"p{number}", question=f"How fast is it, number {number}?", answer=answer, quote=None,
        quote_start=None, quote_end=None, chunk_id=None, document_id=None, category="x",
        difficulty="easy", split=split, generator="shipped", provenance={},
    )  # fmt: skip


def test_splits_and_counts(tokenizer):
    pairs = [
        pair(0),
        pair(1, split="validation"),
        pair(2, split="test"),
        pair(3, split="held_out"),
    ]
    ledger = Ledger()
    samples = build_samples(pairs, tokenizer, 128, ledger)
    assert samples.train["id"] == ["p0"]
    assert samples.validation["id"] == ["p1"]
    assert ledger.stage(STAGE).num_in == ledger.stage(STAGE).num_kept == 2
    row = samples.train[0]
    assert row["num_tokens"] == len(row["input_ids"]) == len(row["labels"])
    assert row["num_label_tokens"] == sum(label != -100 for label in row["labels"])


def test_too_long_is_dropped_and_counted(tokenizer):
    pairs = [pair(n) for n in range(9)] + [pair(9, answer="long " * 200)]
    ledger = Ledger()
    samples = build_samples(pairs, tokenizer, 128, ledger)
    assert samples.num_train == 9
    ledger.check()
    assert [(d.id, d.reason) for d in ledger.dropped] == [("p9", "too_long")]


@pytest.mark.parametrize(
    ("pairs", "max_tokens", "error", "message"),
    [
        ([], 128, UserError, "no pairs to train on"),
        ([pair(split="test")], 128, UserError, "no pairs to train on"),
        ([pair(split="validation")], 128, UserError, "all pairs are in validation"),
        ([pair()], 16, UserError, "1 too_long.*model.max_length_tokens=16"),
        ([pair(1), pair(2, answer="long " * 200)], 128, GateError, "1 of 2 pairs are longer"),
    ],
)
def test_nothing_left_is_one_line(tokenizer, pairs, max_tokens, error, message):
    with pytest.raises(error, match=message):
        build_samples(pairs, tokenizer, max_tokens, Ledger())


def test_the_data_module_hands_out_loaders(tokenizer):
    pairs = [pair(n) for n in range(5)]
    samples = build_samples(pairs, tokenizer, 128, Ledger())
    plan = TrainerConfig(micro_batch_size=2, effective_batch_size=4)
    module = QADataModule(samples, plan, tokenizer.pad_token_id, seed=1)
    assert len(module.train_dataloader()) == 4
    assert module.val_dataloader() == []
