"""References for what pages and PDFs say, made without the readers that are measured.

Web pages: the Markdown that a page was built from, or the text of the element that its site
generator puts the body into, taken by a selector of that template. PDFs: the text that PDFium (not
pypdf) finds, without the running heads and feet, bare page numbers and tables of contents that
were seen on reading the pages; PDFium marks the hyphens that only break a line. No text of the
documents is kept here.
"""

import collections
import re
from pathlib import Path

# Where each site generator of the corpus puts the body.
TEMPLATES = (
    './/article[contains(@class, "md-content__inner")]',  # MkDocs Material
    './/div[@role="main"]',  # Sphinx
    './/main[@id="main"]',  # pkgdown
    './/div[@id="content"]',  # Asciidoctor
)
_FRAME = (
    ".//script|.//style|.//nav|.//aside|.//footer|.//button|.//form|.//header[not(.//h1)]"
    '|.//a[contains(@class, "headerlink")]|.//a[contains(@class, "anchor")]'
)
_APART = frozenset(
    [
        "p",
        "div",
        "li",
        "td",
        "th",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "tr",
        "pre",
        "br",
        "dt",
        "dd",
        "section",
        "table",
    ]
)

# Lines that every page of a PDF carries, as read on its pages.
FURNITURE = {
    "gao-25-106992.pdf": r"Page \w+ GAO-25-106992.*",
    "oca_ocpp16_iso15118_plug_and_charge.pdf":
        r"Application Note|© Open Charge Alliance 2020 \d+/23.*",
    "oca_ocpp16_security_whitepaper.pdf":
        r"edition 3 FINAL, 2022-02-17.*|© Open Charge Alliance 2022 \d+",
    "oca_signed_meter_values.pdf": r"\d+",
    "ocpi_2.1.1.pdf": r"\d+",
    "ocpp_2.0.1_ed3_part1.pdf": r"Edition 3 FINAL, 2024-05-06|OCPP 2\.0\.1 Edition 3 - ©.*",
    "ocpp_2.0_part1_errata.pdf": r"OCPP 2\.0 - ©.*",
    "ocpp_2.1_part0.pdf": r"Edition 1, 2025-01-23|OCPP 2\.1 Edition 1 - ©.*",
    "ocpp_j_1.6_errata.pdf": r"\d+",
    "ocpp_j_1.6_spec.pdf": r"\d+",
    "ocpp_s_1.6_spec.pdf": r"\d+",
}  # fmt: skip
_CONTENTS_ENTRY = re.compile(r"(?:\.\s?){4,}\s*\d*$")
# The number of a note, set in superscript: glued to the sentence, and to the note itself.
_NOTE_MARK = re.compile(r"(?<=[a-z)][.,;:”\"])\d{1,2}(?=\s|$)", re.MULTILINE)
_NOTE_NUMBER = re.compile(r"^\d{1,2}(?=[A-Z][A-Za-z])", re.MULTILINE)
_JOINS = "\ufffe"  # PDFium's sign for a hyphen that breaks a line


def five_grams(text: str) -> collections.Counter:
    words = re.findall(r"\w+", text.lower())
    return collections.Counter(zip(*(words[n:] for n in range(5)), strict=False))


def recall_and_precision(text: str, reference: str) -> tuple[float, float]:
    """Shares of 5-grams, counted as often as they stand: of the reference's, and of the text's."""
    found, wanted = five_grams(text), five_grams(reference)
    common = (found & wanted).total()
    return common / max(wanted.total(), 1), common / max(found.total(), 1)


def template_body(data: bytes):
    """The element that holds a page's body, its frame removed; null for unknown templates."""
    from lxml import html

    tree = html.document_fromstring(data.decode("utf-8", errors="replace"))
    for path in TEMPLATES:
        found = tree.xpath(path)
        if found:
            body = found[0]
            for part in body.xpath(_FRAME):
                part.drop_tree()
            for element in body.iter():
                if element.tag in _APART:
                    element.text = f" {element.text or ''}"
                    element.tail = f" {element.tail or ''}"
            return body
    return None


def markdown_reference(text: str) -> str:
    """The words of a Markdown page with the title of its front matter; no reader of ours."""
    _, front, body = text.split("---\n", 2)
    title = re.search(r"^title: (.*(?:\n  .*)*)", front, re.MULTILINE)
    said = title[1].replace("\\\n  \\ ", " ").replace("\\\n  ", " ") if title else ""
    said = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda m: chr(int(m[1], 16)), said.replace("\\_", " "))
    said = re.sub(r"\\x[aA]0", " ", said).strip("\"'")
    body = re.sub(r"<[^<>]*>", "", body)
    body = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", body)
    body = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", body)
    return said + "\n" + re.sub(r"[*\\#>]", "", body)


def cells_of(body) -> collections.Counter:
    """The non-empty cells of a page's tables, as words."""
    texts = (
        " ".join(re.findall(r"\w+", cell.text_content().lower())) for cell in body.iter("td", "th")
    )
    return collections.Counter(filter(None, texts))


def rows_as_cells(text: str) -> collections.Counter:
    """The cells of the table rows of an extracted text, as words."""
    rows = (line.strip("| ") for line in text.split("\n") if line.startswith("|"))
    return collections.Counter(
        " ".join(re.findall(r"\w+", cell.lower())) for row in rows for cell in row.split(" | ")
    )


def pdf_reference(path: Path) -> str:
    """A PDF's text by PDFium, without furniture and contents, broken words joined."""
    import pypdfium2

    furniture = re.compile(FURNITURE[path.name])
    pages = []
    with pypdfium2.PdfDocument(path) as document:
        for page in document:
            lines = page.get_textpage().get_text_range().splitlines()
            entries = [bool(_CONTENTS_ENTRY.search(line)) for line in lines]
            if sum(entries) > len(lines) / 2:
                continue
            pages.append("\n".join(
                line for line, is_entry in zip(lines, entries, strict=True)
                if not is_entry and not furniture.fullmatch(line.strip())
            ))  # fmt: skip
    text = re.sub(rf"(\w+){_JOINS}\s*(\w+)", _joined("\n".join(pages)), "\n".join(pages))
    return _NOTE_MARK.sub("", _NOTE_NUMBER.sub("", text))


def _joined(text: str):
    """Joins a broken word; a hyphen stays that the document writes elsewhere, or after capitals."""
    hyphenated = {word.lower() for word in re.findall(r"\w+-\w+", text)}

    def join(match: re.Match) -> str:
        left, right = match.groups()
        keeps = f"{left}-{right}".lower() in hyphenated or not left.islower()
        return f"{left}-{right}" if keeps or not right.islower() else left + right

    return join
