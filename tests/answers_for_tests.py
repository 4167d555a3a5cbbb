"""Questions and answers that the tests of evaluation build on."""

from evqa.config.evaluation import MetricsConfig
from evqa.evaluation.comparison import BASE, TUNED, compare
from evqa.records import Prediction, Question


def question(number, **values):
    fields = {
        "id": f"q{number}", "question": f"What is {number}?", "answer": f"It is {number} kW.",
        "alternatives": [], "key_facts": [f"{number} kW"], "category": "ab"[number % 2],
        "difficulty": "easy", "split": "in_corpus", "source": f"d{number}", "as_of": None,
    }  # fmt: skip
    return Question(**{**fields, **values})


def prediction(number, system=BASE, text="It is so.", **values):
    fields = {
        "question_id": f"q{number}", "system": system, "text": text, "num_prompt_tokens": 1,
        "num_completion_tokens": 1, "ttft_ms": None, "latency_ms": 1.0, "seed": 0,
        "finish_reason": "stop", "prompt_sha256": "",
    }  # fmt: skip
    return Prediction(**{**fields, **values})


def predictions(system, texts):
    return [prediction(number, system, text) for number, text in enumerate(texts)]


def compared(base, tuned, questions=None, **settings):
    questions = questions or [question(n) for n in range(len(base))]
    made = {BASE: predictions(BASE, base), TUNED: predictions(TUNED, tuned)}
    config = MetricsConfig(**{"bootstrap_samples": 200, **settings})
    return compare(questions, made, config, "0" * 64, 0)


RIGHT = [f"It is {n} kW." for n in range(40)]
WRONG = ["It is red."] * 40
