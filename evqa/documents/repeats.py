"""Drop what a document says twice: scrapers that read nested elements repeat it up to 7 times."""

import re

from evqa.documents.pages import map_pages
from evqa.records import Document
from evqa.segmentation import LineKind, lines

# Short lines (labels, table cells, headings) repeat for good reasons.
MIN_WORDS = 8


def without_repeats(document: Document) -> Document:
    """Return a document whose longer lines of prose and list items each stand once, the first."""
    seen: set[str] = set()
    return map_pages(document, lambda text: _first_only(text, seen))


def _first_only(text: str, seen: set[str]) -> str:
    kept = []
    for line in lines(text):
        key = " ".join(re.findall(r"\w+", line.text.lower()))
        repeatable = (
            line.kind not in (LineKind.prose, LineKind.item) or key.count(" ") < MIN_WORDS - 1
        )
        if repeatable or key not in seen:
            kept.append(line.text)
            seen.add(key)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
