"""The verdict: rarely wrong when nothing differs, right when something does, with its grounds."""

import numpy as np
import pytest
from answers_for_tests import RIGHT, WRONG, compared, question

from evqa.config.evaluation import VerdictConfig
from evqa.evaluation.comparison import BASE, TUNED
from evqa.evaluation.verdict import NO_SHIP, NOT_ENOUGH_DATA, SHIP, decide

NUM_DOCUMENTS = 30
PER_DOCUMENT = 7


@pytest.mark.parametrize(
    ("base", "tuned", "verdict"),
    [
        (WRONG, RIGHT, SHIP),
        (RIGHT, WRONG, NO_SHIP),
        (RIGHT, RIGHT, NO_SHIP),
        (WRONG, WRONG, NO_SHIP),
        (WRONG[:5], RIGHT[:5], NOT_ENOUGH_DATA),
    ],
)
def test_verdict(base, tuned, verdict):
    assert decide(compared(base, tuned)).word == verdict


def test_five_questions_are_not_enough_and_it_says_how_many_are():
    made = decide(compared(WRONG[:5], RIGHT[:5]))
    assert made.reasons == ["5 questions; a verdict needs 30 or more"]


def test_many_questions_about_few_documents_are_not_enough():
    questions = [question(n, source=f"d{n % 3}") for n in range(40)]
    made = decide(compared(WRONG, RIGHT, questions))
    assert made.word == NOT_ENOUGH_DATA
    assert "about 3 documents" in made.reasons[0]


def test_a_category_that_got_worse_vetoes():
    """Ten of forty questions get worse, all of one category; the mean still rises by half."""
    questions = [question(n, category="weak" if n < 10 else "strong") for n in range(40)]
    base, tuned = RIGHT[:10] + WRONG[10:], WRONG[:10] + RIGHT[10:]
    made = decide(compared(base, tuned, questions))
    assert made.word == NO_SHIP
    assert "category weak got worse: -100.0 points" in made.reasons[1]
    unprotected = VerdictConfig(protect=[])
    assert decide(compared(base, tuned, questions, verdict=unprotected)).word == SHIP


def test_forgetting_vetoes_and_can_be_allowed():
    gained, forgot = compared(WRONG, RIGHT), compared(RIGHT, WRONG)
    made = decide(gained, forgot)
    assert made.word == NO_SHIP
    assert "general questions got worse: -100.0 points" in made.reasons[1]
    allowed = compared(WRONG, RIGHT, verdict=VerdictConfig(protect_retention=False))
    assert decide(allowed, forgot).word == SHIP
    assert decide(gained, compared(RIGHT, RIGHT)).word == SHIP


def test_what_could_not_have_been_seen_is_no_refusal():
    """Half of 30 questions change at random: no difference, and none could have been seen."""
    rng = np.random.default_rng(0)
    base = [RIGHT[n] if rng.random() < 0.5 else WRONG[n] for n in range(30)]
    tuned = [RIGHT[n] if rng.random() < 0.5 else WRONG[n] for n in range(30)]
    made = decide(compared(base, tuned))
    assert made.word == NOT_ENOUGH_DATA
    assert "could have been missed" in made.reasons[1]


def test_an_improvement_can_be_demanded():
    base = WRONG[:20] + RIGHT[20:]
    demanding = VerdictConfig(min_improvement=0.9)
    assert decide(compared(base, RIGHT)).word == SHIP
    assert decide(compared(base, RIGHT, verdict=demanding)).word == NO_SHIP


def test_the_json_names_the_detectable_effect():
    made = compared(WRONG, RIGHT)
    told = decide(made).to_json(made)
    assert told["minimum_detectable_effect"] == made.main.detectable
    assert told["deciding_metric"] == "key_fact_recall"
    assert told["difference"]["value"] == 1.0


def draw(rng, effect, questions):
    """Right answers of two systems: documents differ in how hard they are and in their gain.

    The chances stay between 0 and 1 for every effect tried, so that the effect is the true one.
    """
    hard = np.repeat(rng.uniform(0.25, 0.6, NUM_DOCUMENTS), PER_DOCUMENT)
    gain = np.repeat(rng.uniform(-0.2, 0.2, NUM_DOCUMENTS), PER_DOCUMENT)
    base = rng.random(len(questions)) < hard
    tuned = rng.random(len(questions)) < hard + gain + effect
    return base, tuned


def simulate(num_draws, effect, seed, monkeypatch):
    """Return how often the verdict is SHIP, and the median effect said to be detectable.

    Texts, and so all metrics but the deciding one, are left out: they do not count.
    """
    from evqa.evaluation import comparison, metrics

    monkeypatch.setattr(comparison, "METRICS", ("key_fact_recall",))
    questions = [
        question(n, source=f"d{n // PER_DOCUMENT}", category="abcde"[n // PER_DOCUMENT % 5])
        for n in range(NUM_DOCUMENTS * PER_DOCUMENT)
    ]

    def score(_questions, texts, _sha256):
        values = [float(text == "right") for text in texts]
        return metrics.Scores(
            corpus={"key_fact_recall": sum(values) / len(values)},
            per_question={"key_fact_recall": values},
            statistics={"key_fact_recall": metrics.mean_statistics(values)},
            signatures={"key_fact_recall": ""},
        )

    monkeypatch.setattr(comparison, "score", score)
    rng = np.random.default_rng(seed)
    shipped, detectable = 0, []
    for _ in range(num_draws):
        base, tuned = (
            ["right" if is_right else "wrong" for is_right in made]
            for made in draw(rng, effect, questions)
        )
        verdict = decide(compared(base, tuned, questions, bootstrap_samples=1000))
        shipped += verdict.word == SHIP
        detectable.append(verdict.detectable)
    return shipped / num_draws, float(np.median(detectable))


def check_level_and_power(num_draws, monkeypatch):
    false_ship, detectable = simulate(num_draws, 0.0, 11, monkeypatch)
    power, _ = simulate(num_draws, detectable, 12, monkeypatch)
    assert false_ship <= 0.05
    assert power >= 0.8, detectable
    return {"false_ship": false_ship, "power": power, "detectable": detectable}


def test_level_and_power(monkeypatch):
    check_level_and_power(150, monkeypatch)


@pytest.mark.slow
def test_level_and_power_of_a_thousand_draws(monkeypatch, record_property):
    for name, value in check_level_and_power(1000, monkeypatch).items():
        record_property(name, value)


def test_identical_systems_never_ship(monkeypatch):
    rng = np.random.default_rng(5)
    for _ in range(20):
        texts = [RIGHT[n] if rng.random() < 0.5 else WRONG[n] for n in range(40)]
        made = compared(texts, texts)
        assert made.differences[TUNED]["key_fact_recall"].value == 0
        assert made.systems == [BASE, TUNED]
        assert decide(made).word == NO_SHIP
