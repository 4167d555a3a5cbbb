"""The control is the run's twin in all but what its answers say."""

import importlib.util
from collections import Counter
from pathlib import Path

from evqa.records import QAPair

SOURCE = Path(__file__).parents[2] / "benchmarks" / "control.py"


def control():
    spec = importlib.util.spec_from_file_location("control", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pair(number, answer, split="train"):
    return QAPair(
        id=f"p{number}", question=f"q{number}", answer=answer, quote=None, quote_start=None,
        quote_end=None, chunk_id=None, document_id=None, category="x", difficulty="easy",
        split=split, generator="shipped", provenance={},
    )  # fmt: skip


def test_no_question_keeps_its_answer_and_every_answer_is_used():
    pairs = [pair(n, f"a{n // 3}") for n in range(30)] + [pair(99, "kept", "validation")]
    made = control().shuffled(pairs, seed=1)
    assert [p.question for p in made] == [p.question for p in pairs]
    assert all(new.answer != old.answer for new, old in zip(made[:-1], pairs[:-1], strict=True))
    assert Counter(p.answer for p in made) == Counter(p.answer for p in pairs)
    assert made[-1] == pairs[-1]


def test_wordings_of_one_fact_stay_together_and_the_seed_decides():
    pairs = [pair(n, f"a{n // 3}") for n in range(30)]
    one, same, other = (control().shuffled(pairs, seed) for seed in (1, 1, 2))
    assert one == same != other
    for start in range(0, 30, 3):
        assert len({p.answer for p in one[start : start + 3]}) == 1
