"""Questions from tables, row by row: the first column names what the others tell about."""

from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.segmentation import Line, LineKind, lines

MIN_ROWS, MAX_CELL_WORDS = 3, 8


def table_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield questions of every table that has a header and one value a cell."""
    return
    yield


def _tables(text: str) -> Iterator[list[Line]]:
    rows: list[Line] = []
    for line in lines(text):
        if line.kind is LineKind.row:
            rows.append(line)
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows
