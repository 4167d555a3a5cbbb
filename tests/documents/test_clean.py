"""Cleaning: characters, edges of pages, broken lines, glued notes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_for_tests import document

from evqa.documents.clean import (
    clean_characters,
    clean_document,
    normalise_space,
    unglue_footnotes,
)
from evqa.documents.layout import hyphenated_words, reflow, strip_edges


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("ﬁne", "fine"),
        ("７．４\u00a0kW", "7.4 kW"),
        ("Har\u2060ris", "Harris"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\ufeffstart", "start"),
        ("tab\x00bed\x07", "tabbed"),
        ("6 mm²", "6 mm²"),
        ("10 m³", "10 m³"),
        ("$4,000¹⁷", "$4,000"),
        ("install.¹ Then", "install. Then"),
        ("3½ hours", "3½ hours"),
        ("Type 2™", "Type 2™"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("naïve Å", "naïve Å"),
    ],
)
def test_characters_have_one_spelling(dirty, clean):
    assert clean_characters(dirty) == clean


@given(st.text(max_size=200))
def test_cleaning_characters_twice_changes_nothing(text):
    once = clean_characters(text)
    assert clean_characters(once) == once


@pytest.mark.parametrize(
    ("glued", "clean"),
    [
        ("costs to install.17 The next", "costs to install. The next"),
        ("as stated,3 “Quoted", "as stated, “Quoted"),
        ("the end.5", "the end."),
        ("of 4.17 The", "of 4.17 The"),
        ("OCPP 1.6 The", "OCPP 1.6 The"),
        ("Version 2.0.1 Released", "Version 2.0.1 Released"),
    ],
)
def test_note_numbers_come_off_words_and_never_off_numbers(glued, clean):
    assert unglue_footnotes(glued) == clean


def test_space_is_single_but_code_keeps_its_indent():
    text = "a  b\t c \n\n\n\nnext\n    code  here \n"
    assert normalise_space(text) == "a b c\n\nnext\n    code  here"


PAGES = [
    f"Grid Report 2024\nBody {w}.\nMore of {w}.\nPage {n} of 9" for n, w in enumerate("abcdefghi")
]


def test_lines_that_most_pages_repeat_at_their_edges_go():
    stripped = strip_edges(PAGES)
    assert stripped[3] == "Body d.\nMore of d."
    assert not any("Grid Report" in page or " of 9" in page for page in stripped)


def test_a_single_page_keeps_its_edges_save_for_a_bare_number():
    assert strip_edges(["Title\nBody\n12"]) == ["Title\nBody"]


def test_what_repeats_inside_pages_stays():
    pages = [f"head {n}a\nb{n}\nc{n}\nWARNING\nd{n}\ne{n}\nfoot {n}z" for n in "pqrst"]
    assert all("WARNING" in page for page in strip_edges(pages))


def test_entries_of_a_table_of_contents_go():
    page = "Contents\n1. Scope ........ 7\n2. Terms . . . . . . 9\nText"
    assert strip_edges([page, "other\npage"])[0] == "Contents\nText"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("a charging sta-\ntion is here", "a charging station is here"),
        ("the Biden-\nHarris plan", "the Biden-Harris plan"),
        ("IEC 62196-\n2 says", "IEC 62196-2 says"),
        ("ends.\n\nNext para", "ends.\n\nNext para"),
        ("## Head\nbody text", "## Head\n\nbody text"),
        ("• one\n• two", "- one\n- two"),
        ("| a | b |\n| 1 | 2 |", "| a | b |\n| 1 | 2 |"),
    ],
)
def test_lines_broken_by_the_margin_are_joined(printed, expected):
    assert reflow(printed) == expected


def test_a_hyphen_stays_in_words_that_the_document_hyphenates():
    known = hyphenated_words("A residual-current device trips.")
    assert reflow("the residual-\ncurrent device", known) == "the residual-current device"
    assert reflow("the residual-\ncurrent device") == "the residualcurrent device"


def test_a_short_last_line_ends_its_paragraph():
    full = "This line is as long as the column of the page is wide, all told\n"
    text = f"{full}{full}and ends.\nAnother paragraph begins here with a capital."
    assert reflow(text).split("\n\n")[1].startswith("Another paragraph")


def test_page_offsets_follow_the_cleaned_text():
    pages = ["Head 1\nfirst ﬁne page\n1", "", "Head 2\nthird page\n3"]
    text = "\n\n".join(pages)
    offsets, start = [], 0
    for page in pages:
        offsets.append([start, start + len(page)])
        start += len(page) + 2
    found = clean_document(document(text, kind="pdf", pages=offsets))
    taken = [found.text[start:end] for start, end in found.pages]
    assert [page.split() for page in taken] == [["first", "fine", "page"], [], ["third", "page"]]


def test_the_title_is_cleaned_too():
    assert clean_document(document(title=" Biden-\u2060Harris ")).title == "Biden-Harris"
