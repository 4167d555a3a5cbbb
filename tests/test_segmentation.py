"""Lines, rows and sentences: offsets always reproduce the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.segmentation import (
    LineKind,
    cells,
    heading_level,
    heading_title,
    line_kind,
    lines,
    num_words,
    sentence_spans,
    sentences,
    table_row,
)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("", LineKind.blank),
        ("   ", LineKind.blank),
        ("# Title", LineKind.heading),
        ("###### Deep", LineKind.heading),
        ("####### Too deep", LineKind.prose),
        ("#hashtag", LineKind.prose),
        ("| a | b |", LineKind.row),
        ("- item", LineKind.item),
        ("-5 °C outside", LineKind.prose),
        ("    x = 1", LineKind.code),
        ("    # a comment, no heading", LineKind.code),
        ("Plain words.", LineKind.prose),
    ],
)
def test_each_line_has_one_kind(line, kind):
    assert line_kind(line) is kind


def test_a_heading_gives_its_level_and_words():
    assert (heading_level("### AC plugs"), heading_title("### AC plugs")) == (3, "AC plugs")
    assert (heading_level("AC plugs"), heading_title("AC plugs")) == (0, "")


@given(st.text(alphabet="ab #|-\n.", max_size=200))
def test_lines_cover_the_text_exactly(text):
    found = list(lines(text))
    assert "\n".join(line.text for line in found) == text
    assert all(text[line.start : line.end] == line.text for line in found)


@given(st.lists(st.text(alphabet="ab| \\1", max_size=8).map(str.strip), min_size=1, max_size=5))
def test_a_row_gives_back_its_cells(values):
    plain = [value.replace("\\", "").strip() for value in values]
    assert cells(table_row(plain)) == plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("It costs 0.30 per kWh. Cheap!", ["It costs 0.30 per kWh.", "Cheap!"]),
        ("Plugs, e.g. Type 2, fit. So do others.", ["Plugs, e.g. Type 2, fit.", "So do others."]),
        ("See Fig. 3 for it. Then go.", ["See Fig. 3 for it.", "Then go."]),
        ("J. Smith wrote it. He did.", ["J. Smith wrote it.", "He did."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("Does it? Yes. 32 A is enough.", ["Does it?", "Yes.", "32 A is enough."]),
        ("A socket of 16 A. The next.", ["A socket of 16 A.", "The next."]),
        ("Twice 230 V. It is safe.", ["Twice 230 V.", "It is safe."]),
        ("no capital. after it", ["no capital. after it"]),
        ("", []),
        ("   ", []),
    ],
)
def test_sentences_end_where_a_reader_stops(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet="Ab1 .!?e", max_size=120))
def test_sentences_are_stretches_in_order_and_lose_no_word(text):
    spans = sentence_spans(text)
    assert all(start < end for start, end in spans)
    assert spans == sorted(spans)
    joined = "".join(text[start:end] for start, end in spans)
    assert joined.replace(" ", "") == text.replace(" ", "")


def test_words_are_stretches_without_space():
    assert num_words("7.4 kW at 32 A") == 5
    assert num_words(" \n ") == 0
