"""Numbers as people say them become figures."""

import pytest

from evqa.qa.leaks.spelled import in_figures


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("ten amps", "10 amps"),
        ("twenty-five hours", "25 hours"),
        ("three hundred volts", "300 volts"),
        ("ten thousand cars", "10000 cars"),
        ("half an hour", "30 minutes"),
        ("a quarter of an hour", "15 minutes"),
        ("an hour and a half", "90 minutes"),
        ("if a tenth is lost", "if 10% is lost"),
        ("thirty euro cents", "30 cents"),
        ("colder than freezing", "colder than 0 °C"),
        ("20 up to 80%", "20 to 80%"),
        ("2020-2021", "2020 to 2021"),
        ("a pair of cars", "2 cars"),
        ("twelve degrees Celsius", "12 °C"),
    ],
)
def test_a_number_that_is_said_is_written_in_figures(said, written):
    assert in_figures(said) == written


@pytest.mark.parametrize(
    "text", ["one of the cars", "a hundredth of a milliohm", "the TEN-T network", "the first bus"]
)
def test_what_is_no_number_stays(text):
    assert in_figures(text) == text
