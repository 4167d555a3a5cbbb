"""Web pages: body, tables, headings and what the page says about itself."""

import pytest

from evqa.config.data import SourcesConfig, WebExtractor
from evqa.records import Document
from evqa.sources.license import normalise_license
from evqa.sources.raw import RawFile, UnreadableError
from evqa.sources.read import read_one
from evqa.sources.web import decode, read_html

BODY = """<nav><a href="/">Home</a> <a href="/about">About us and our newsletter</a></nav>
<main><article><h1>Level-2 charging\u2060 at home</h1>
<p>A wallbox draws its current from the board of the house and feeds the battery of the car.</p>
<h2>Power levels<a class="headerlink">¶</a></h2>
<p>The usual levels are these, and each of them needs a circuit that is made for it.</p>
<table><tr><th>Circuit</th><th>Power</th></tr><tr><td>16 A</td><td>3.7 kW</td></tr>
<tr><td>32 A | long</td><td>7.4 kW</td></tr></table>
<ul><li>A dedicated circuit</li>
<li>A residual-current device<ul><li>Type A or B</li></ul></li></ul>
<pre>charge:
    # comment
    amps: 16</pre>
<p>All of this belongs into the hands of an electrician, who also measures the earth.</p>
</article></main><footer>Licensed under
<a href="https://creativecommons.org/licenses/by-sa/4.0/">CC BY-SA</a>. Imprint.</footer>"""


def page(head="", body=BODY, attributes='lang="en-GB"'):
    return (
        f"<!doctype html><html {attributes}><head>{head}</head><body>{body}</body></html>".encode()
    )


def test_the_body_keeps_headings_tables_lists_and_code_and_loses_the_frame():
    (text,) = read_html(page()).pages
    assert "# Level-2 charging" in text
    assert "\n## Power levels\n" in text
    assert "| Circuit | Power |\n| 16 A | 3.7 kW |\n| 32 A \\| long | 7.4 kW |" in text
    assert "- A dedicated circuit\n- A residual-current device\n- Type A or B" in text
    assert "    # comment\n" in text
    assert "hands of an electrician" in text
    assert "newsletter" not in text
    assert "Imprint" not in text


@pytest.mark.parametrize("extractor", list(WebExtractor))
def test_every_extractor_reads_the_prose(extractor):
    (text,) = read_html(page(), extractor).pages
    assert "wallbox draws its current" in text


def test_a_title_with_a_hyphen_stays_whole():
    found = read_html(page("<title>Level-2 charging at home - Site</title>"))
    assert found.title == "Level-2 charging at home"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("<title>Plug basics | The Site</title><meta property='og:site_name' content='The Site'>",
         "Plug basics"),
        ("<title>Plug basics &#8212; EVerest documentation</title>", "Plug basics"),
        ("<title>x</title><meta property='og:title' content='Type 2 - a guide'>",
         "Type 2 - a guide"),
        ("<title>Home-charging in 2024</title>", "Home-charging in 2024"),
    ],
)  # fmt: skip
def test_titles_without_a_heading(head, expected):
    body = BODY.replace("<h1>Level-2 charging\u2060 at home</h1>", "")
    assert read_html(page(head, body)).title == expected


def test_metadata_is_what_the_page_states():
    head = """<title>T</title><meta name="author" content="Jane Doe and Max Moritz">
    <meta property="article:published_time" content="2024-03-12">
    <link rel="canonical" href="https://x.example/a">"""
    found = read_html(page(head))
    assert found.authors == ["Jane Doe", "Max Moritz"]
    assert found.published == "2024-03-12"
    assert found.url == "https://x.example/a"
    assert found.language == "en"
    assert found.license == "CC-BY-SA-4.0"


def test_nothing_stated_is_nothing_invented():
    found = read_html(page(attributes="", body=BODY.split("<footer>")[0]))
    assert (found.authors, found.published, found.url, found.license) == ([], None, None, None)


@pytest.mark.parametrize(
    "head",
    [
        '<link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/">',
        '<meta name="license" content="CC0">',
        '<script type="application/ld+json">{"license": "https:\\/\\/creativecommons.org'
        '\\/publicdomain\\/zero\\/1.0"}</script>',
    ],
)
def test_a_licence_is_found_wherever_it_is_stated(head):
    assert read_html(page(head)).license == "CC0-1.0"


@pytest.mark.parametrize(
    ("stated", "spdx"),
    [
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("CC-BY-SA-3.0", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("Creative Commons Attribution-NoDerivatives 4.0", "CC-BY-ND-4.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "public-domain"),
        ("MIT License", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("GPLv3", "GPL-3.0"),
        ("All rights reserved", "All rights reserved"),
        ("  ", None),
    ],
)
def test_licences_have_one_spelling(stated, spdx):
    assert normalise_license(stated) == spdx


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b" \n\t", "empty_file"),
        (b"just some words", "not_html"),
        (b"%PDF-1.4 \x00\x01", "not_html"),
        (b"<html></html>", "no_text"),
        (b"<html><body><script>var a = 1;</script></body></html>", "no_text"),
    ],
)
def test_what_is_no_page_has_a_reason(data, reason):
    with pytest.raises(UnreadableError) as error:
        read_html(data)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Größe".encode(), "Größe"),
        (b"\xef\xbb\xbfbom", "bom"),
        ("Größe".encode("utf-16"), "Größe"),
        (b'<meta charset="iso-8859-1">Gr\xf6\xdfe', '<meta charset="iso-8859-1">Größe'),
        (b"Gr\xf6\xdfe", "Größe"),
        (b'<meta charset="no-such">x', '<meta charset="no-such">x'),
    ],
)
def test_bytes_become_text_by_their_charset(data, text):
    assert decode(data).removeprefix("\ufeff") == text


AWFUL = [
    b"<div>" * 3000 + b"<p>" + b"word " * 60 + b"</p>",
    b"<html>\x00<p>a</p>",
    b"<p>" + b"a<b>" * 500,
    b"<table>" * 50,
]


@pytest.mark.parametrize("data", AWFUL)
def test_awful_markup_ends_in_text_or_a_reason(data, tmp_path):
    path = tmp_path / "a.html"
    path.write_bytes(data)
    raw = RawFile(source="a.html", kind="html", path=path, sha256="0" * 64, num_bytes=len(data))
    found = read_one(raw, SourcesConfig())
    assert isinstance(found, Document) or found.reason in ("no_text", "damaged", "not_html")
