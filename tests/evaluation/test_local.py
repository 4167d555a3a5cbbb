"""A model held here: fixed batches, timing, perplexity without full logits."""

import math

import pytest
import torch
from answers_for_tests import question

from evqa.config.evaluation import GenerationConfig
from evqa.evaluation.local import LocalAnswerer, padded, perplexity
from evqa.evaluation.predict import Store, predict
from evqa.models.chat import labelled_ids, question_messages

QUESTIONS = [question(n, question="What is " + "very " * (n % 4) + f"{n}?") for n in range(9)]


@pytest.fixture
def local(tiny_base):
    generation = GenerationConfig(max_new_tokens=5, batch_size=4)
    return LocalAnswerer("it", tiny_base.model, tiny_base.tokenizer, generation)


def test_an_interrupted_evaluation_gives_the_same_answers(local):
    whole = predict(local, QUESTIONS, [0], Store(), lambda _: None)
    store = Store()
    batch = local.batches(QUESTIONS, 0)[1]
    store.add(batch.ask(batch.questions))
    again = predict(local, QUESTIONS, [0], store, lambda _: None)
    assert [p.text for p in again] == [p.text for p in whole]


def test_every_token_is_timed(local):
    timings = local.time([q.question for q in QUESTIONS[:3]], 6)
    assert len(timings) == 3
    for timing in timings:
        assert timing.num_tokens == 6
        assert len(timing.gaps_ms) == 5
        assert timing.ttft_ms + sum(timing.gaps_ms) == pytest.approx(timing.total_ms)


def test_the_references_loss_is_that_of_the_whole_logits(local):
    asked = QUESTIONS[:3]
    for (loss, tokens), one in zip(local.reference_nll(asked), asked, strict=True):
        messages = [*question_messages(one.question), {"role": "assistant", "content": one.answer}]
        made = labelled_ids(local.tokenizer, messages)
        ids, labels = torch.tensor([made.input_ids]), torch.tensor([made.labels])
        with torch.no_grad():
            logits = local.model(input_ids=ids).logits[:, :-1].float()
        wanted = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
        )
        assert loss == pytest.approx(float(wanted), rel=1e-5)
        assert tokens == made.num_label_tokens


def test_no_logits_but_the_answers_are_made(local, monkeypatch):
    sizes = []
    original = torch.nn.functional.linear

    def watched(x, weight, bias=None):
        made = original(x, weight, bias)
        if weight.shape[0] == local.model.config.vocab_size:
            sizes.append(made.shape[-2])
        return made

    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    _, tokens = next(iter(local.reference_nll(QUESTIONS[:1])))
    assert sizes == [tokens]


def test_the_mode_is_put_back(local):
    local.model.train()
    local.time(["What?"], 2)
    next(iter(local.reference_nll(QUESTIONS[:1])))
    assert local.model.training


def test_perplexity():
    assert perplexity([(2 * math.log(3), 2), (math.log(3), 1)]) == pytest.approx(3)
    assert perplexity([]) is None
    assert perplexity([(1e6, 1)]) == math.inf


def test_padding_is_on_the_left():
    assert padded([[1], [2, 3]], 0) == ([[0, 1], [2, 3]], [[0, 1], [1, 1]])
