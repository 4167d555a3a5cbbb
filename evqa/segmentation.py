"""The convention that ``Document.text`` follows, and how it falls into lines and sentences.

The text is a small dialect of Markdown, the same whatever the document was:

* a heading is a line ``# Title`` … ``###### Title``;
* a table row is a line ``| cell | cell |``, the first row of a table being its header;
* a list item is a line ``- item``;
* a line of code starts with four spaces;
* everything else is prose, one paragraph a line; a blank line stands between blocks.

Offsets count characters of the text given.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

HEADING = re.compile(r"(#{1,6}) +(\S.*)$")
# No sentence ends after these; single capitals (initials) are handled in the pattern below.
_ABBREVIATIONS_TEXT = """
e.g i.e etc vs cf approx no nos fig figs eq sec ch vol pp ed eds al mr mrs ms dr prof st inc
ltd co corp dept est max min resp incl excl art para u.s u.k u.n d.c a.m p.m jan feb mar apr
jun jul aug sep sept oct nov dec
"""
ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
_BOUNDARY = re.compile(r"[.!?]+[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9À-Þ])")
_WORD = re.compile(r"\S+")


class LineKind(StrEnum):
    """What a line of a document's text is."""

    blank = "blank"
    heading = "heading"
    row = "row"
    item = "item"
    code = "code"
    prose = "prose"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text; ``text`` is ``whole[start:end]``, without the line break."""

    kind: LineKind
    start: int
    end: int
    text: str


def line_kind(line: str) -> LineKind:
    """Return what a single line is."""
    if not line.strip():
        return LineKind.blank
    if line.startswith("    "):
        return LineKind.code
    if HEADING.match(line):
        return LineKind.heading
    if line.startswith("|"):
        return LineKind.row
    return LineKind.item if line.startswith("- ") else LineKind.prose


def lines(text: str) -> Iterator[Line]:
    """Yield the lines of a text with their offsets, blank ones included."""
    start = 0
    for raw in text.split("\n"):
        yield Line(line_kind(raw), start, start + len(raw), raw)
        start += len(raw) + 1


def heading_level(line: str) -> int:
    """Return 1 to 6 for a heading line, 0 for any other."""
    match = HEADING.match(line)
    return len(match[1]) if match else 0


def heading_title(line: str) -> str:
    """Return the words of a heading line."""
    match = HEADING.match(line)
    return match[2].strip() if match else ""


def cells(row: str) -> list[str]:
    r"""Return the cells of a table row, stripped; a literal ``|`` is written ``\|`` in a row."""
    inner = row.strip().removeprefix("|").removesuffix("|")
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", inner)]


def table_row(values: list[str]) -> str:
    """Return the line of a table row; the inverse of `cells` for stripped values."""
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def num_words(text: str) -> int:
    """Return the number of words, counted as stretches without white space."""
    return sum(1 for _ in _WORD.finditer(text))


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of each sentence, without the white space around it."""
    spans = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if _ends_sentence(text, start, match.start()):
            spans.append((start, match.end()))
            start = match.end()
    spans.append((start, len(text)))
    return [span for span in (_strip(text, *span) for span in spans) if span[0] < span[1]]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [text[start:end] for start, end in sentence_spans(text)]


def _ends_sentence(text: str, start: int, stop: int) -> bool:
    """Tell whether the punctuation at ``stop`` ends the sentence that begins at ``start``."""
    if text[stop] != ".":
        return True
    last = text[start:stop].split()[-1].lstrip("(\"'“‘") if text[start:stop].strip() else ""
    is_initial = len(last) == 1 and last.isalpha() and last.isupper() and last not in "AVIW"
    is_number_of_list = last.isdigit() and text[start:stop].strip() == last
    return not (last.lower() in ABBREVIATIONS or is_initial or is_number_of_list)


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
