"""An engine's few best tokens against whole distributions: never more divergence than there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.export.parity import Observation, compare
from evqa.export.served import NUM_TOP, ServedGenerator, _filled

VOCABULARY = 64


def softmax(scores):
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def named(row, count=NUM_TOP):
    best = np.argsort(row)[::-1][:count]
    return {str(token): {"logprob": float(row[token])} for token in best}


def kl(one, other):
    return float((np.exp(one) * (one - other)).sum())


@given(st.integers(0, 1000), st.floats(0.1, 4))
def test_the_filled_row_is_a_distribution_and_bounds_the_divergence(seed, scale):
    rng = np.random.default_rng(seed)
    reference = softmax(scale * rng.normal(size=VOCABULARY))
    served = softmax(reference + 0.3 * rng.normal(size=VOCABULARY))
    filled = _filled(named(served), reference.astype(np.float32)).astype(np.float64)
    assert np.exp(filled).sum() == pytest.approx(1, abs=1e-4)
    assert -1e-4 <= kl(reference, filled) <= kl(reference, served) + 1e-4


def test_the_same_model_diverges_nowhere():
    rng = np.random.default_rng(0)
    reference = softmax(2 * rng.normal(size=(5, VOCABULARY)))
    for row in reference:
        assert kl(row, _filled(named(row), row.astype(np.float32))) == pytest.approx(0, abs=1e-5)


class Engine(ServedGenerator):
    """Answers from a table instead of a server."""

    rows: np.ndarray
    answer: list

    def _post(self, path, body):
        if path == "/tokenize":
            return {"tokens": [1, 2, 3]}
        if "prompt_logprobs" in body:
            return {"choices": [{"prompt_logprobs": [None, {}, {}, *map(named, self.rows)]}]}
        assert body["return_token_ids"]
        return {"choices": [{"token_ids": self.answer}]}


def engine(seen, rows, answer):
    made = type("Made", (Engine,), {"rows": rows, "answer": answer})
    return made("http://h", "k", "evqa", seen)


def observed():
    rng = np.random.default_rng(1)
    rows = softmax(3 * rng.normal(size=(4, VOCABULARY))).astype(np.float32)
    answer = [int(token) for token in rows.argmax(-1)]
    return Observation("Why?", [1, 2, 3], answer, rows)


def test_an_engine_that_says_the_same_passes():
    seen = observed()
    report = compare([seen], engine([seen], seen.log_probs, seen.answer))
    assert report.prompt_mismatches == 0
    assert report.top1_agreement == report.answer_agreement == 1
    assert report.kl_nats == pytest.approx(0, abs=1e-5)
    assert report.perplexity_ratio == pytest.approx(1, abs=1e-5)


def test_an_engine_that_says_something_else_is_seen():
    seen = observed()
    report = compare([seen], engine([seen], seen.log_probs[::-1].copy(), [0] * 4))
    assert report.kl_nats > 0.5
    assert report.answer_agreement == 0
