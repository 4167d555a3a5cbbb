"""Base against tuned right after training: one loaded base, the adapter toggled."""

import torch
from answers_for_tests import question

from evqa.config.evaluation import GenerationConfig, MetricsConfig
from evqa.config.model import LoraConfig
from evqa.evaluation.comparison import BASE, TUNED
from evqa.evaluation.quick import compare_adapter
from evqa.models.load import attach_adapter


def random_adapter(base):
    model = attach_adapter(base, LoraConfig(r=4))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def ask(tiny_base, generation):
    questions = [question(n) for n in range(4)]
    metrics = MetricsConfig(bootstrap_samples=100)
    model = random_adapter(tiny_base.model)
    return compare_adapter(model, tiny_base.tokenizer, questions, generation, metrics, "0" * 64, 0)


def test_the_adapter_is_toggled(tiny_base):
    made = ask(tiny_base, GenerationConfig(max_new_tokens=6))
    base, tuned = ([p.text for p in made.predictions[s]] for s in (BASE, TUNED))
    assert base != tuned
    prompts = [[p.prompt_sha256 for p in made.predictions[s]] for s in (BASE, TUNED)]
    assert prompts[0] == prompts[1]


def test_several_seeds_give_several_answers(tiny_base):
    generation = GenerationConfig(max_new_tokens=6, temperature=1.0, num_seeds=3)
    made = ask(tiny_base, generation).predictions[TUNED]
    assert [p.question_id for p in made] == ["q0", "q1", "q2", "q3"] * 3
    assert [p.seed for p in made] == [0] * 4 + [1] * 4 + [2] * 4
    assert len({p.text for p in made}) > 4
