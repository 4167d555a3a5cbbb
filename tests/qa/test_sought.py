"""Which kind of thing a question asks for."""

import pytest

from evqa.qa.leaks.sought import amount_of, counted, may_be_one, sought


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many amps flow?", "current"),
        ("What current flows?", "current"),
        ("Which size of circuit breaker fits?", "current"),
        ("Power in kW?", "power"),
        ("To how many kilowatts is it dimmed?", "power"),
        ("How long does it take?", "duration"),
        ("Within how many days is it reported?", "duration"),
        ("What is the deadline, in days?", "duration"),
        ("What's the bill?", "price"),
        ("What does a night cost?", "price"),
        ("What do visitors pay?", "price"),
        ("How high was the average price?", "price"),
        ("How large a portion was electric?", "share"),
        ("At which rate of VAT is it taxed?", "share"),
        ("In which year was it founded?", "date"),
        ("Since when has it applied?", "date"),
        ("Where is the inlet?", "place"),
        ("Who founded it?", "person"),
        ("Why does it slow down?", "reason"),
        ("How come it slows down?", "reason"),
        ("How high above the floor is it?", "distance"),
        ("How warm does it get?", "temperature"),
        ("What does OCPP stand for?", "definition"),
        ("What do the letters OCPP mean?", "definition"),
        ("What is the number of berths?", "count"),
        ("How many berths are there?", "count"),
    ],
)
def test_the_kind_is_read(question, kind):
    assert kind in sought(question)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many volts are there when a car is connected?", "date"),
        ("When it is cold, how much does it draw?", "date"),
        ("What is the total?", "definition"),
        ("How many posts are in a row?", "current"),
        ("What happens then?", "thing"),
    ],
)
def test_a_word_of_another_sense_is_not_taken_for_it(question, kind):
    assert kind not in sought(question)


def test_what_is_counted():
    assert counted("How many electric buses does the depot house?") == "electric buses"
    assert counted("What is the number of berths in the marina?") == "berths"
    assert counted("How many hours does it take?") == ""


def test_the_amount_of_a_thing_without_a_kind():
    assert amount_of("How much heat does the contact produce?") == "heat"
    assert amount_of("How much power does it need?") == ""


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("Which part is hot?", "Where is it hot?", True),
        ("Which transformer does it need?", "How much does it cost?", False),
        ("How big is the fleet?", "How many buses are there?", True),
        ("How big is the fleet?", "When was it founded?", False),
        ("What is it called?", "When was it founded?", True),
    ],
)
def test_kinds_that_may_be_one(left, right, expected):
    assert may_be_one(sought(left), sought(right)) is expected
