import numpy as np
import pytest
import torch
from tiny_llama import build_tokenizer
from transformers import AutoModelForCausalLM

from evqa.export.generator import TransformersGenerator


@pytest.fixture(scope="module")
def generator(tiny_base):
    return TransformersGenerator(
        AutoModelForCausalLM.from_pretrained(tiny_base).eval(), build_tokenizer()
    )


def test_the_prompt_is_the_chat_templates(generator):
    tokens = generator.prompt_tokens("hi")
    text = build_tokenizer().decode(tokens)
    assert text == "<|bos|><|system|>Answer briefly.<|end|><|user|>hi<|end|><|assistant|>"


def test_scores_are_distributions_whose_mode_is_the_greedy_answer(generator):
    prompt = generator.prompt_tokens("How long?")
    answer = generator.greedy(prompt, 6)
    scores = generator.log_probs(prompt, answer)
    assert scores.shape[0] == len(answer) <= 6
    np.testing.assert_allclose(np.exp(scores).sum(axis=-1), 1, atol=1e-4)
    assert scores.argmax(axis=-1).tolist() == answer


def test_scores_are_those_of_the_tokens_they_predict(generator, tiny_base):
    prompt, answer = [1, 10, 20], [30, 40]
    logits = AutoModelForCausalLM.from_pretrained(tiny_base)(
        input_ids=torch.tensor([[1, 10, 20, 30]])
    ).logits
    expected = torch.log_softmax(logits[0, 2:], dim=-1).detach().numpy()
    np.testing.assert_allclose(generator.log_probs(prompt, answer), expected, atol=1e-5)
