"""Change a document's text without losing where its PDF pages begin and end."""

import dataclasses
from collections.abc import Callable

from evqa.records import Document

PAGE_BREAK = "\n\n"


def page_texts(document: Document) -> list[str]:
    """Return the text of each page; the whole text for documents without pages."""
    if not document.pages:
        return [document.text]
    return [document.text[start:end] for start, end in document.pages]


def with_pages(document: Document, texts: list[str]) -> Document:
    """Return the document with new page texts; an empty page keeps its number."""
    if not document.pages:
        return dataclasses.replace(document, text=PAGE_BREAK.join(texts))
    pages: list[list[int]] = []
    joined = ""
    for text in texts:
        joined += PAGE_BREAK if joined and text else ""
        pages.append([len(joined), len(joined) + len(text)])
        joined += text
    return dataclasses.replace(document, text=joined, pages=pages)


def map_pages(document: Document, change: Callable[[str], str]) -> Document:
    """Return the document with every page's text changed on its own."""
    return with_pages(document, [change(text) for text in page_texts(document)])


def page_at(document: Document, offset: int) -> int | None:
    """Return the 1-based PDF page that holds a character, null for other kinds."""
    found = None
    for number, (start, end) in enumerate(document.pages, start=1):
        if start <= offset and end > start:
            found = number
    return found
