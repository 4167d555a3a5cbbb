"""Scores equal the reference libraries' own, to the last digit."""

import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from evqa.evaluation.metrics import METRICS, exact_match, score, score_of, squad_tokens, token_f1
from evqa.records import Question

WORDS = [
    "the",
    "a",
    "charger",
    "charges",
    "at",
    "7.4",
    "kW",
    "11",
    "kW",
    "Type",
    "2",
    "CCS",
    "plug",
    "½",
    "Ω",
    "€",
    "naïve",
    "電気",
    ".",
    ",",
    "!",
    "?",
]


def question(number, answer, **values):
    fields = {
        "id": f"q{number}", "question": "?", "answer": answer, "alternatives": [],
        "key_facts": [], "category": "x", "difficulty": "easy", "split": "in_corpus",
        "source": f"d{number % 3}", "as_of": None,
    }  # fmt: skip
    return Question(**{**fields, **values})


def random_texts(rng, count, empty=True):
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 25))) for _ in range(count)]
    if empty:
        texts[0] = ""
        texts[-1] = " ".join(rng.choices(WORDS, k=2000))
    return texts


def check_equal(predictions, references):
    questions = [question(n, answer) for n, answer in enumerate(references)]
    ours = score(questions, predictions, "0" * 64).corpus
    bleu = sacrebleu.BLEU(effective_order=True).corpus_score(predictions, [references])
    assert ours["bleu"] == bleu.score
    assert ours["chrf"] == sacrebleu.corpus_chrf(predictions, [references]).score
    assert ours["chrf_pp"] == sacrebleu.corpus_chrf(predictions, [references], word_order=2).score
    assert ours["ter"] == sacrebleu.corpus_ter(predictions, [references]).score
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"])
    rows = [scorer.score(r, p) for r, p in zip(references, predictions, strict=True)]
    names = ("rouge_1", "rouge_2", "rouge_l", "rouge_l_sum")
    for name, kind in zip(names, scorer.rouge_types, strict=True):
        assert ours[name] == sum(row[kind].fmeasure for row in rows) / len(rows)


@pytest.mark.parametrize("part", range(10))
def test_two_hundred_files_score_as_the_libraries_score_them(part):
    """Unicode, empty and repeated words; TER takes too long for a long answer in every file."""
    for seed in range(20 * part, 20 * part + 20):
        rng = random.Random(seed)
        references = random_texts(rng, 5, empty=False)
        predictions = random_texts(rng, 5, empty=False)
        predictions[seed % 5] = ""
        check_equal(predictions, references)


def test_a_very_long_answer_scores_as_the_libraries_score_it():
    rng = random.Random(1)
    check_equal(random_texts(rng, 4), random_texts(rng, 4, empty=False))


def test_every_metric_has_value_rows_and_signature():
    made = score([question(0, "a b"), question(1, "c")], ["a b", "d"], "f" * 64)
    for part in (made.corpus, made.per_question, made.signatures):
        assert tuple(part) == METRICS or set(part) == set(METRICS)
    assert all(len(rows) == 2 for rows in made.per_question.values())
    assert all(
        "n:2" in text and "benchmark:ffffffffffff" in text for text in made.signatures.values()
    )
    assert "version:" in made.signatures["bleu"]


def test_alternatives_count_where_they_should():
    asked = [question(0, "It is 32 A.", alternatives=["Thirty-two amps."], key_facts=["32 A"])]
    made = score(asked, ["Thirty-two amps."], "0" * 64).corpus
    assert made["exact_match"] == made["token_f1"] == 1.0
    assert made["rouge_l"] == 0.0
    assert made["key_fact_recall"] == 0.0


@given(st.text(max_size=50), st.text(max_size=50))
def test_token_f1_is_symmetric_and_bounded(one, two):
    value = token_f1(one, two)
    assert 0 <= value <= 1
    assert value == pytest.approx(token_f1(two, one))
    assert token_f1(one, one) == 1.0
    assert exact_match(one, two) <= value


def test_squad_normalisation_is_golden():
    assert squad_tokens("The  Type-2 plug, a plug!") == ["type2", "plug", "plug"]
    assert token_f1("a Type 2 plug", "the Type 2 socket") == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", METRICS)
def test_the_summed_statistics_give_the_corpus_score(name):
    rng = random.Random(5)
    references = random_texts(rng, 12, empty=False)
    asked = [question(n, answer, key_facts=["7.4 kW"]) for n, answer in enumerate(references)]
    made = score(asked, random_texts(rng, 12), "0" * 64)
    assert score_of(name)(made.statistics[name].sum(axis=0)) == pytest.approx(made.corpus[name])
