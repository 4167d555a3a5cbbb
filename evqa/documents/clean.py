"""Clean the text of documents: characters, white space, and what printing did to PDFs."""

import dataclasses
import re
import unicodedata

from evqa.documents.layout import hyphenated_words, reflow, strip_edges
from evqa.documents.pages import map_pages, page_texts, with_pages
from evqa.records import Document
from evqa.segmentation import LineKind, line_kind

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# NFKC would glue these onto their neighbours: "4,000¹⁷" to "4,00017", "3½" to "31/2".
_KEPT_BY_NFC = re.compile("[\u00b2\u00b3\u00b9\u2070-\u209c\u00bc-\u00be\u2150-\u215f…™℠ªº]+")
_FOOTNOTE_SIGNS = re.compile(
    "(?<=[\\w.,;:!?”\"')])[\u00b9\u2070\u2074-\u2079\u00b2\u00b3]+(?!\\w)"
)
_AREA_OR_VOLUME = re.compile("(?:\\b|\\d)(?:[kcdm]?m|ft|in|CO|N)[\u00b2\u00b3]$")
# "…to install.17 The": a note's number that lost its superscript. Not after digits ("4.17").
_GLUED_FOOTNOTE = re.compile(r"(?<=[a-z)][.,;:!?”\"])\d{1,3}(?=\s+[A-Z“\"(]|\s*$)", re.MULTILINE)
_GLUED_NOTE = re.compile(r"^\d{1,3}(?=[A-Z][a-z])", re.MULTILINE)
# Marks of references in scraped encyclopedias: "[ 44 ]", "[edit]", "[citation needed]".
_CITATION = re.compile(r" ?\[ ?(?:\d{1,3}|[a-z]|edit|citation needed|note \d+) ?\]")
# "plug -in", "short- term": hyphens that another extraction set apart.
_SPLIT_HYPHEN = re.compile(
    r"(?<=[a-z]{2}) -(?=[a-z]{2})|(?<=[a-z]{3})- (?=[a-z]{3,}\b)(?!(?:and|or|to) )"
)
# What converters write between pages of plain text.
_PAGE_MARK = re.compile(
    r"^[ \t]*[-=_*]{2,}[ \t]*(?:page|seite)[ \t]*\d+[ \t]*[-=_*]{2,}[ \t]*$", re.I | re.M
)
_SPACES = re.compile(r"[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


def clean_document(document: Document) -> Document:
    """Return a document with clean text and title; page offsets follow."""
    document = dataclasses.replace(document, title=clean_characters(document.title).strip())
    document = map_pages(document, clean_characters)
    if document.kind != "html":
        document = map_pages(document, lambda text: _SPLIT_HYPHEN.sub("-", text))
    if document.kind == "pdf":
        pages = strip_edges(page_texts(document))
        known = hyphenated_words("\n".join(pages))
        pages = [unglue_footnotes(reflow(page, known)) for page in pages]
        document = with_pages(document, pages)
    return map_pages(document, normalise_space)


def clean_characters(text: str) -> str:
    """Return text in NFKC, save for superscripts and fractions; invisible signs removed.

    Superscript note marks go; exponents of units (m², km³) stay.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _PAGE_MARK.sub("", _INVISIBLE.sub("", _CONTROL.sub("", text)))
    text = _FOOTNOTE_SIGNS.sub(_unless_exponent, _CITATION.sub("", text))
    parts: list[str] = []
    done = 0
    for match in _KEPT_BY_NFC.finditer(text):
        parts += [unicodedata.normalize("NFKC", text[done : match.start()]), match[0]]
        done = match.end()
    return "".join([*parts, unicodedata.normalize("NFKC", text[done:])])


def _unless_exponent(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 3) : match.end()]
    return match[0] if _AREA_OR_VOLUME.search(before) else ""


def unglue_footnotes(text: str) -> str:
    """Return text without note numbers glued to the end of a clause, or to the note itself."""
    return _GLUED_NOTE.sub("", _GLUED_FOOTNOTE.sub("", text))


def normalise_space(text: str) -> str:
    """Return text with single spaces, single blank lines, and code's indent kept."""
    tidy = []
    for line in text.split("\n"):
        if line_kind(line) is LineKind.code:
            tidy.append(line.rstrip())
        else:
            tidy.append(_SPACES.sub(" ", line).strip())
    joined = re.sub(r"\n{3,}", "\n\n", "\n".join(tidy))
    return joined.strip("\n")
