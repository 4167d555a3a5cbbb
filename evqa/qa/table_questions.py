"""Questions from tables, row by row: the first column names what the others tell about."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import is_plural
from evqa.segmentation import Line, LineKind, cells, lines

MIN_ROWS = 3  # with the header
MAX_COLUMNS = 6
MAX_CELL_WORDS = 8
MAX_HEADER_WORDS = 4
PAIRS_PER_ROW = 2
_NO_ANSWER = frozenset({"", "-", "–", "—", "n/a", "none", "nothing", "yes", "no", "x", "✓"})
_ABBREVIATION = re.compile(r"^[A-Z0-9/.-]+$")


def table_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield questions of every table that has a header and tells rows apart by one column."""
    for rows in tables(passage.chunk.text):
        grid = [cells(row.text) for row in rows]
        if is_askable(grid):
            yield from _of_table(rows, grid)


def tables(text: str) -> Iterator[list[Line]]:
    """Yield the rows of each table of a text."""
    rows: list[Line] = []
    for line in lines(text):
        if line.kind is LineKind.row:
            rows.append(line)
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows


def is_askable(grid: Sequence[Sequence[str]]) -> bool:
    """Tell whether a table has a header of short words, even rows, and a first column of names."""
    header = grid[0]
    if len(grid) < MIN_ROWS or not 2 <= len(header) <= MAX_COLUMNS:
        return False
    if any(len(row) != len(header) for row in grid):
        return False
    is_header = all(
        name and len(name.split()) <= MAX_HEADER_WORDS and name[0].isalpha() for name in header
    )
    return is_header and len(set(map(str.casefold, header))) == len(header)


def _of_table(rows: list[Line], grid: list[list[str]]) -> Iterator[Candidate]:
    header = grid[0]
    names = Counter(row[0].casefold() for row in grid[1:])
    for line, row in zip(rows[1:], grid[1:], strict=True):
        if names[row[0].casefold()] > 1 or not _is_cell(row[0]):
            continue
        asked = [
            (column, value)
            for column, value in zip(header[1:], row[1:], strict=True)
            if _is_cell(value)
        ]
        for column, value in asked[:PAIRS_PER_ROW]:
            key = _key(header[0], row[0])
            yield Candidate(
                question=f"What is the {_inside(column)} {_joint(header[0], row[0])} {key}?",
                answer=f"The {_inside(column)} {_joint(header[0], row[0])} {key} is {value}.",
                start=line.start,
                end=line.end,
                template="table",
                difficulty="medium",
            )


def _is_cell(value: str) -> bool:
    return value.casefold() not in _NO_ANSWER and len(value.split()) <= MAX_CELL_WORDS


def _inside(name: str) -> str:
    """Return a header as it is written inside a sentence; abbreviations and names stay."""
    first = name.split()[0]
    if _ABBREVIATION.match(first) or first[1:] != first[1:].lower():
        return name
    return name[0].lower() + name[1:]


def _joint(header: str, name: str) -> str:
    return "at" if _is_amount(name) and header.lower().endswith(("voltage", "cycle")) else "for"


def _key(header: str, name: str) -> str:
    """Return what a row is about: "Type 2", "a current of 32 A", "the Norway row" never."""
    if _is_amount(name):
        noun = _inside(header)
        article = "an" if noun[0] in "aeio" else "a"
        return f"{'' if is_plural(noun) else article + ' '}{noun} of {name}"
    return name


def _is_amount(name: str) -> bool:
    return bool(re.match(r"[€$£]?\d", name))
