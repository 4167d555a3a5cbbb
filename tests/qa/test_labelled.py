"""Validation on hand-labelled answers, and on a thousand changed numbers and units."""

import json
import random
from pathlib import Path

from records_for_tests import chunk, pair

from evqa.qa.quantities import mentions, quantities
from evqa.qa.validate import rejection

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "data" / "sample" / "pairs.jsonl"
LABELLED = [
    json.loads(line) for line in (HERE / "labelled_answers.jsonl").read_text().splitlines()
]
OTHER_UNITS = ["kW", "kWh", "A", "V", "%", "km", "minutes", "hours", "€", "mm²", "days", "MW"]


def refused(row):
    held = pair(row["question"], row["answer"], row["quote"])
    return rejection(held, chunk(row.get("chunk", row["quote"]))) is not None


def test_unsupported_answers_are_refused_and_supported_ones_kept():
    supported = [row for row in LABELLED if row["supported"]]
    unsupported = [row for row in LABELLED if not row["supported"]]
    assert len(supported) >= 100
    assert len(unsupported) >= 100
    assert sum(map(refused, unsupported)) >= 0.95 * len(unsupported)
    assert sum(map(refused, supported)) <= 0.05 * len(supported)


def rates(name):
    """The share of unsupported answers refused, and of supported ones lost, in a file."""
    rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
    supported = [row for row in rows if row["supported"]]
    unsupported = [row for row in rows if not row["supported"]]
    refusals = sum(map(refused, unsupported)) / len(unsupported)
    return refusals, sum(map(refused, supported)) / len(supported)


def test_answers_that_no_rule_had_seen_are_told_apart():
    """The rules learnt from half of them; of the other half .84 are refused and .18 lost."""
    refusals, losses = rates("labelled_answers_unseen")
    assert refusals >= 0.92
    assert losses <= 0.09


def test_more_answers_of_other_shapes_are_told_apart():
    refusals, losses = rates("labelled_answers_more")
    assert refusals >= 0.94
    assert losses <= 0.02


def test_every_way_to_be_unsupported_is_among_the_labels():
    ways = {row["how"] for row in LABELLED if not row["supported"]}
    assert ways == {"number", "unit", "negation", "opposite", "other", "near quote"}


def changed_number(draw, answer):
    """The answer with one of its numbers changed, as a person mistypes them."""
    number = draw.choice(mentions(answer))
    digits = [n for n in range(number.start, number.end) if answer[n].isdigit()]
    if not digits:
        return None
    place = draw.choice(digits)
    other = draw.choice([d for d in "123456789" if d != answer[place]])
    return answer[:place] + other + answer[place + 1 :]


def changed_unit(draw, answer):
    """The answer with one of its units exchanged for another."""
    held = [m for m in mentions(answer) if m.quantity.unit and answer[m.end - 1 :][:1].isalpha()]
    if not held:
        return None
    mention = draw.choice(held)
    written = answer[mention.start : mention.end]
    number = written.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ²%Ω ")
    return f"{answer[: mention.start]}{number} {draw.choice(OTHER_UNITS)}{answer[mention.end :]}"


def test_a_thousand_changed_numbers_and_units_are_all_refused():
    draw = random.Random(3)
    rows = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
    rows = [row for row in rows if mentions(row["answer"]) and quantities(row["quote"])]
    num_changed = 0
    while num_changed < 1000:
        row = draw.choice(rows)
        valid = pair(row["questions"][0], row["answer"], row["quote"])
        if rejection(valid, chunk(row["quote"])) is not None:
            continue
        mutated = draw.choice([changed_number, changed_unit])(draw, row["answer"])
        # A change that the quote happens to support, such as 1.0 for 1, is no mistake.
        if mutated is None or quantities(mutated) <= quantities(row["quote"]):
            continue
        num_changed += 1
        found = rejection(pair(row["questions"][0], mutated, row["quote"]), chunk(row["quote"]))
        assert found is not None, (mutated, row["quote"])


def test_offsets_reproduce_the_quote_byte_for_byte():
    text = "Zürich zählt 230 V. – A 7.4 kW wallbox draws 32 A at 230 V on a single phase. Ende."
    quote = "A 7.4 kW wallbox draws 32 A at 230 V on a single phase."
    start = text.index(quote)
    values = {"quote_start": start, "quote_end": start + len(quote)}
    held = pair("How much current does a 7.4 kW wallbox draw?", "32 A.", quote, **values)
    assert rejection(held, chunk(text)) is None
    assert text[held.quote_start : held.quote_end].encode() == quote.encode()
    for shift in (-1, 1):
        moved = pair(held.question, "32 A.", quote, quote_start=start + shift,
                     quote_end=start + shift + len(quote))  # fmt: skip
        assert rejection(moved, chunk(text))[0] == "quote_not_found"
