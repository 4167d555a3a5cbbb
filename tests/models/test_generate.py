"""Answers: in order, the same alone as in a batch, cut and stopped as said."""

import pytest
import torch

from evqa.config.evaluation import GenerationConfig
from evqa.models.chat import ids_sha256, prompt_ids, question_messages
from evqa.models.generate import Generator, inference_mode

QUESTIONS = ["Why?", "How fast does a 7.4 kW wallbox charge a car?", "What is CCS, and why?", "V?"]


@pytest.fixture
def generator(tiny_base):
    return Generator(tiny_base.model, tiny_base.tokenizer, GenerationConfig(max_new_tokens=8), 0)


def test_a_batch_gives_what_each_question_gives_alone(generator):
    together = generator.answer(QUESTIONS)
    alone = [generator.answer([question])[0] for question in QUESTIONS]
    assert [a.text for a in together] == [a.text for a in alone]
    assert [a.num_prompt_tokens for a in together] == [a.num_prompt_tokens for a in alone]


def test_greedy_equals_transformers_own_loop(generator):
    ids = prompt_ids(generator.tokenizer, question_messages(QUESTIONS[0]))
    sequence = list(ids)
    with torch.no_grad():
        for _ in range(8):
            logits = generator.model(input_ids=torch.tensor([sequence])).logits[0, -1]
            sequence.append(int(logits.argmax()))
            if sequence[-1] == generator.tokenizer.eos_token_id:
                break
    wanted = generator.tokenizer.decode(sequence[len(ids) :], skip_special_tokens=True).strip()
    answer = generator.answer([QUESTIONS[0]])[0]
    assert answer.text == wanted
    assert answer.prompt_sha256 == ids_sha256(ids)


def test_finish_reasons(generator):
    end = generator.tokenizer.eos_token_id
    cut = generator._finish([1], [7, 8, 9], 1.0)
    stopped = generator._finish([1], [7, end, 0, 0], 1.0)
    assert (cut.finish_reason, cut.num_completion_tokens) == ("length", 3)
    assert (stopped.finish_reason, stopped.num_completion_tokens) == ("stop", 2)


def test_progress_counts_every_question(generator):
    counted = []
    generator.config.batch_size = 3
    generator.answer(QUESTIONS, counted.append)
    assert counted == [3, 1]


def test_sampling_depends_on_the_seed_alone(tiny_base):
    config = GenerationConfig(max_new_tokens=12, temperature=1.5)
    texts = [
        Generator(tiny_base.model, tiny_base.tokenizer, config, seed).answer(QUESTIONS)[1].text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_the_mode_is_put_back(tiny_base):
    model = tiny_base.model
    for training in (True, False):
        model.train(training)
        with inference_mode(model):
            assert not model.training
            assert not torch.is_grad_enabled()
        assert model.training is training
