"""PDFs: pages, headings, table rows, metadata, and a reason for each that cannot be read."""

import io

import pytest

from evqa.sources.pdf import read_pdf
from evqa.sources.raw import UnreadableError

PROSE = "A wallbox draws 32 A at 230 V and delivers 7.4 kW to the battery of the car. " * 4


def make_pdf(*pages, title="The title", author="Jane Doe; Max Moritz", encrypt=None, keywords=""):
    """A PDF; each page is a list of ("h", text), ("p", text) and ("t", rows)."""
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Table

    styles = getSampleStyleSheet()
    story = []
    for number, page in enumerate(pages):
        story += [PageBreak()] if number else []
        for kind, content in page:
            if kind == "t":
                story.append(Table(content, style=[("VALIGN", (0, 0), (-1, -1), "TOP")]))
            else:
                style = styles["Heading2"] if kind == "h" else styles["BodyText"]
                story.append(Paragraph(content, style))
    stream = io.BytesIO()
    SimpleDocTemplate(
        stream, title=title, author=author, encrypt=encrypt, keywords=keywords, invariant=1
    ).build(story)
    return stream.getvalue()


def reason(data, password=None):
    with pytest.raises(UnreadableError) as error:
        read_pdf(data, password)
    return error.value.reason


def test_pages_headings_and_rows():
    rows = [["Plug", "Pins"], ["Type 1", "5"], ["Type 2", "7"]]
    found = read_pdf(make_pdf([("h", "AC plugs"), ("p", PROSE), ("t", rows)], [("p", PROSE)]))
    assert len(found.pages) == 2
    lines = found.pages[0].split("\n")
    assert lines[0].lstrip("#") == " AC plugs"
    assert lines[0].startswith("#")
    assert [line for line in lines if line.startswith("|")] == [
        "| Plug | Pins |",
        "| Type 1 | 5 |",
        "| Type 2 | 7 |",
    ]
    assert "".join(found.pages[1].split()) == "".join(PROSE.split())


def test_metadata():
    found = read_pdf(make_pdf([("p", PROSE)], keywords="License: CC BY 4.0"))
    assert (found.title, found.authors) == ("The title", ["Jane Doe", "Max Moritz"])
    assert found.license == "CC-BY-4.0"
    assert found.published is None  # a reproducible build states no real date


def test_versions_and_dates_are_no_authors():
    assert read_pdf(make_pdf([("p", PROSE)], author="v1.0, 2024-05-01; Jane")).authors == ["Jane"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty_file"),
        (b"\n \n", "empty_file"),
        (b"<!DOCTYPE html><html></html>", "not_a_pdf"),
        (b"%PDF-1.4\nnothing of the kind", "damaged"),
    ],
)
def test_what_is_no_pdf_has_a_reason(data, expected):
    assert reason(data) == expected


def test_a_truncated_file_is_damaged():
    data = make_pdf([("p", PROSE)])
    assert reason(data[: len(data) // 3]) == "damaged"


def test_a_page_without_text_has_no_text_layer():
    assert reason(make_pdf([("p", "·")])) == "no_text_layer"


def test_an_encrypted_file_opens_with_its_password_only():
    from reportlab.lib.pdfencrypt import StandardEncryption

    data = make_pdf([("p", PROSE)], encrypt=StandardEncryption("sesame", strength=128))
    assert reason(data) == "encrypted"
    assert reason(data, "wrong") == "encrypted"
    assert "wallbox" in read_pdf(data, "sesame").pages[0]


def test_an_owner_password_alone_does_not_lock_readers_out():
    from reportlab.lib.pdfencrypt import StandardEncryption

    data = make_pdf([("p", PROSE)], encrypt=StandardEncryption("", "owner", strength=128))
    assert "wallbox" in read_pdf(data).pages[0]


def test_a_broken_font_map_is_named(monkeypatch):
    from evqa.sources import pdf

    shifted = [pdf.Stretch("\x01\x02\x03 word \ue001\ue002" * 30, 10.0, 0.0, 0.0)]
    monkeypatch.setattr(pdf, "_page_stretches", lambda _page: shifted)
    assert reason(make_pdf([("p", PROSE)])) == "broken_font_map"


def test_a_cell_set_on_two_lines_stays_in_its_row():
    rows = [["Mode", "Supply", "Current"], ["Mode 2", "ordinary or\nindustrial socket", "AC"]]
    text = read_pdf(make_pdf([("p", PROSE), ("t", rows)])).pages[0]
    assert "| Mode 2 | ordinary or industrial socket | AC |" in text
