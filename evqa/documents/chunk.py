"""Cut documents into chunks that respect headings, sentences and tables.

A chunk is a stretch of the document's text, ``document.text[start:end]``, so that everything
made from it can be traced to characters and pages.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from evqa.config.data import DocumentsConfig
from evqa.documents.pages import page_at
from evqa.records import Chunk, Document
from evqa.segmentation import (
    Line,
    LineKind,
    heading_level,
    heading_title,
    lines,
    num_words,
    sentence_spans,
)

# A table is kept whole up to this many times the chunk size, then cut between rows.
TABLE_STRETCH = 2


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest piece that is never cut: a heading, sentence, list item or table."""

    start: int
    end: int
    num_words: int
    level: int = 0

    @property
    def is_heading(self) -> bool:
        """Whether the piece is a heading."""
        return self.level > 0


def chunk_document(document: Document, config: DocumentsConfig) -> list[Chunk]:
    """Return the chunks of a document in order.

    A new section begins a new chunk; headings with nothing between them go with what follows.
    """
    units = list(_units(document.text, config.chunk_words))
    chunks = []
    above: list[tuple[int, str]] = []
    for group in _groups(units, config):
        for unit in group:
            if unit.is_heading:
                title = heading_title(document.text[unit.start : unit.end])
                above = [*[item for item in above if item[0] < unit.level], (unit.level, title)]
        chunks.append(_chunk(document, group, [title for _, title in above]))
    return chunks


def _chunk(document: Document, group: list[Unit], headings: list[str]) -> Chunk:
    start, end = group[0].start, group[-1].end
    text = document.text[start:end]
    body = next((unit for unit in group if not unit.is_heading), group[0])
    return Chunk(
        id=Chunk.make_id(document.id, start, end, text),
        document_id=document.id,
        start=start,
        end=end,
        text=text,
        headings=headings,
        page=page_at(document, body.start),
        num_words=num_words(text),
        source=document.source,
        url=document.url,
        license=document.license,
        authors=document.authors,
        published=document.published,
        fetched=document.fetched,
        sha256=document.sha256,
    )


def _units(text: str, chunk_words: int) -> Iterator[Unit]:
    rows: list[Line] = []
    for line in lines(text):
        if line.kind is LineKind.row:
            rows.append(line)
            continue
        yield from _table_units(rows, chunk_words)
        rows = []
        if line.kind is LineKind.heading:
            yield Unit(line.start, line.end, num_words(line.text), heading_level(line.text))
        elif line.kind is LineKind.prose:
            for start, end in sentence_spans(line.text):
                words = num_words(line.text[start:end])
                yield Unit(line.start + start, line.start + end, words)
        elif line.kind is not LineKind.blank:
            yield Unit(line.start, line.end, num_words(line.text))
    yield from _table_units(rows, chunk_words)


def _table_units(rows: list[Line], chunk_words: int) -> Iterator[Unit]:
    """Yield a table as one unit, or as its rows when it is too large to stay whole."""
    sizes = [num_words(row.text) for row in rows]
    if rows and sum(sizes) <= TABLE_STRETCH * chunk_words:
        yield Unit(rows[0].start, rows[-1].end, sum(sizes))
        return
    yield from (Unit(row.start, row.end, size) for row, size in zip(rows, sizes, strict=True))


def _groups(units: list[Unit], config: DocumentsConfig) -> Iterator[list[Unit]]:
    group: list[Unit] = []
    has_body = False
    for unit in units:
        words = sum(member.num_words for member in group)
        is_full = has_body and words + unit.num_words > config.chunk_words
        if group and ((unit.is_heading and has_body) or is_full):
            yield group
            group = [] if unit.is_heading else _overlap(group, config.chunk_overlap_words)
            has_body = False
        group.append(unit)
        has_body = has_body or not unit.is_heading
    if group:
        yield group


def _overlap(group: list[Unit], num_words_wanted: int) -> list[Unit]:
    """Return the last units of a group that together hold at most so many words."""
    taken: list[Unit] = []
    for unit in reversed(group):
        words = sum(member.num_words for member in taken)
        if unit.is_heading or words + unit.num_words > num_words_wanted:
            break
        taken.insert(0, unit)
    return taken
