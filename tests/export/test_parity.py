import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evqa.config.serving import ParityConfig, QuantizedParityConfig
from evqa.errors import GateError
from evqa.export.parity import ParityReport, check_parity, compare, observe


class TableGenerator:
    """A bigram model: the next token's scores depend on the last token alone."""

    def __init__(self, logits, prefix=()):
        self.table = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        self.prefix = list(prefix)

    def prompt_tokens(self, question):
        return [*self.prefix, *(ord(letter) % len(self.table) for letter in question)]

    def greedy(self, prompt, max_new_tokens):
        answer = []
        for _ in range(max_new_tokens):
            answer.append(int(self.table[[*prompt, *answer][-1]].argmax()))
        return answer

    def log_probs(self, prompt, answer):
        return self.table[[prompt[-1], *answer[:-1]]].astype(np.float32)


LOGITS = np.random.default_rng(0).normal(size=(7, 7)) * 3
QUESTIONS = ["how", "why", "when"]


def report(reference, candidate):
    return compare(observe(reference, QUESTIONS, 5), candidate)


def test_a_model_agrees_with_itself():
    same = report(TableGenerator(LOGITS), TableGenerator(LOGITS))
    assert same == ParityReport(
        num_questions=3,
        num_tokens=15,
        prompt_mismatches=0,
        top1_agreement=1.0,
        kl_nats=0.0,
        answer_agreement=1.0,
        perplexity_ratio=1.0,
    )
    check_parity(same, ParityConfig())


def test_kl_is_that_of_the_formula():
    reference = TableGenerator(np.log(np.array([[0.75, 0.25], [0.75, 0.25]])))
    candidate = TableGenerator(np.log(np.array([[0.5, 0.5], [0.5, 0.5]])))
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert report(reference, candidate).kl_nats == pytest.approx(expected, abs=1e-6)


def test_another_model_fails_the_gate():
    other = report(TableGenerator(LOGITS), TableGenerator(-LOGITS))
    assert other.top1_agreement == 0
    assert other.answer_agreement == 0
    with pytest.raises(
        GateError, match=r"top-1 agreement 0 is below export\.parity\.min_top1_agreement=0\.98"
    ):
        check_parity(other, ParityConfig())


def test_a_scaled_model_keeps_first_choices_and_fails_on_kl():
    scaled = report(TableGenerator(LOGITS), TableGenerator(2 * LOGITS))
    assert scaled.top1_agreement == 1
    with pytest.raises(GateError, match=r"KL \S+ nats is above export\.parity\.max_kl_nats"):
        check_parity(scaled, ParityConfig())


def test_an_extra_leading_token_fails_the_gate():
    shifted = report(TableGenerator(LOGITS), TableGenerator(LOGITS, prefix=[1]))
    assert shifted.prompt_mismatches == 3
    with pytest.raises(GateError, match="3 of 3 prompts have other token ids"):
        check_parity(shifted, ParityConfig())


@pytest.mark.parametrize("field", ["top1_agreement", "kl_nats", "perplexity_ratio"])
def test_nan_fails_the_gate(field):
    good = report(TableGenerator(LOGITS), TableGenerator(LOGITS)).to_dict()
    with pytest.raises(GateError):
        check_parity(ParityReport(**{**good, field: math.nan}), ParityConfig())


def test_impossible_tokens_count_as_nothing():
    table = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    same = report(TableGenerator(table), TableGenerator(np.zeros((2, 2))))
    assert same.kl_nats == pytest.approx(math.log(2), abs=1e-6)


@given(arrays.arrays(np.float64, (5, 5), elements=st.floats(-20, 20)))
def test_kl_is_never_negative(logits):
    divergence = report(TableGenerator(LOGITS[:5, :5]), TableGenerator(logits)).kl_nats
    assert divergence >= -1e-5


def test_the_perplexity_ratio_is_that_of_the_reference_answers():
    reference = TableGenerator(np.log(np.array([[0.8, 0.2], [0.8, 0.2]])))
    candidate = TableGenerator(np.log(np.array([[0.5, 0.5], [0.5, 0.5]])))
    assert report(reference, candidate).perplexity_ratio == pytest.approx(0.8 / 0.5, rel=1e-6)


def test_a_perplexity_that_rises_fails_the_gate_of_a_quantised_version():
    good = report(TableGenerator(LOGITS), TableGenerator(LOGITS)).to_dict()
    worse = ParityReport(**{**good, "perplexity_ratio": 1.5})
    with pytest.raises(GateError, match=r"1\.5 is above export\.quantized_parity\.max_perplexity"):
        check_parity(worse, QuantizedParityConfig(), "export.quantized_parity")


def test_a_token_that_the_candidate_rules_out_does_not_overflow():
    reference = TableGenerator(np.zeros((2, 2)))
    with np.errstate(invalid="ignore"):
        candidate = TableGenerator(np.array([[-np.inf, 0.0], [-np.inf, 0.0]]))
    found = report(reference, candidate)
    assert found.perplexity_ratio > 1e300
    with pytest.raises(GateError):
        check_parity(found, ParityConfig())
