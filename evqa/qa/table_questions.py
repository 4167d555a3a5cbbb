"""Questions from tables, row by row: the first column names what the others tell about."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import THIRD, Vocabulary, is_plural, lower_first, with_article
from evqa.qa.quantities import NUMBER_WORDS
from evqa.segmentation import Line, LineKind, cells, lines

MIN_ROWS = 3  # with the header
MAX_COLUMNS = 6
MAX_CELL_WORDS = 8
MAX_HEADER_WORDS = 4
PAIRS_PER_ROW = 4
MAX_LABEL_CHARACTERS = 2  # "B" says nothing without "state"
_NO_ANSWER = frozenset({"", "-", "–", "—", "n/a", "none", "nothing", "yes", "no", "x", "✓"})
_VAGUE = frozenset(
    {
        "value",
        "figure",
        "note",
        "notes",
        "remark",
        "comment",
        "example",
        "number",
        "from",
        "to",
        "since",
        "until",
        "by",
        "at",
        "for",
        "why",
        "where",
    }
)
_WITH_THE = frozenset({"European Union", "United Kingdom", "United States", "Netherlands"})
_PER = re.compile(r"(?:per|for|in|at|from|with) ", re.IGNORECASE)
_ABBREVIATION = re.compile(r"^[A-Z][A-Z0-9/.-]+$")


def table_questions(passage: Passage, vocabulary: Vocabulary) -> Iterator[Candidate]:
    """Yield questions of every table that has a header and tells rows apart by one column."""
    for rows in tables(passage.chunk.text):
        grid = [cells(row.text) for row in rows]
        if is_askable(grid):
            yield from _of_table(rows, grid, vocabulary)


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


def _of_table(
    rows: list[Line], grid: list[list[str]], vocabulary: Vocabulary
) -> Iterator[Candidate]:
    header = grid[0]
    names = Counter(row[0].casefold() for row in grid[1:])
    for line, row in zip(rows[1:], grid[1:], strict=True):
        if names[row[0].casefold()] > 1 or not _is_cell(row[0]) or _PER.match(row[0]):
            continue
        cells_of_row = zip(header[1:], row[1:], strict=True)
        asked = [(c, v) for c, v in cells_of_row if _is_cell(v) and c.lower() not in _VAGUE]
        key = _key(header[0], row[0], vocabulary)
        for column, value in asked[:PAIRS_PER_ROW]:
            question, answer = wording(key, column, value)
            yield Candidate(
                question=question[0].upper() + question[1:],
                answer=answer[0].upper() + answer[1:],
                start=line.start,
                end=line.end,
                template="table",
                difficulty="medium",
            )


def wording(key: str, column: str, value: str) -> tuple[str, str]:
    """Return the question and the answer for one cell.

    Args:
        key: What the row is about, as inside a sentence.
        column: The header of the cell.
        value: The cell.
    """
    inside = _inside(column)
    if column.lower() in THIRD:  # "Needs", "Suits"
        return f"What does {key} {THIRD[column.lower()]}?", f"{key} {inside} {value}."
    if _ABBREVIATION.match(column):  # the table is turned: its columns are the names
        verb = "are" if is_plural(key) else "is"
        return f"What {verb} the {key} for {column}?", f"The {key} for {column} {verb} {value}."
    if is_plural(inside) and (re.match(r"[\d,.]+$", value) or value in NUMBER_WORDS):
        verb, has = ("do", "have") if is_plural(key) else ("does", "has")
        counted = inside.removesuffix("s") if value == "1" else inside
        return f"How many {inside} {verb} {key} have?", f"{key} {has} {value} {counted}."
    is_are = "are" if is_plural(inside) else "is"
    return f"What {is_are} the {inside} for {key}?", f"The {inside} for {key} {is_are} {value}."


def _is_cell(value: str) -> bool:
    return (
        "?" not in value
        and value.casefold() not in _NO_ANSWER
        and len(value.split()) <= MAX_CELL_WORDS
    )


def _inside(name: str) -> str:
    """Return a header as it is written inside a sentence; abbreviations and names stay."""
    first = name.split()[0]
    if _ABBREVIATION.match(first) or first[1:] != first[1:].lower():
        return name
    return name[0].lower() + name[1:]


def _key(header: str, name: str, vocabulary: Vocabulary) -> str:
    """Return what a row is about: "Type 2", "a current of 32 A", "state B"."""
    noun = _inside(header)
    if _is_amount(name):
        return f"{noun if is_plural(noun) else with_article(noun)} of {name}"
    if len(name) <= MAX_LABEL_CHARACTERS:
        return f"{noun} {name}"
    return f"the {name}" if name in _WITH_THE else lower_first(name, vocabulary)


def _is_amount(name: str) -> bool:
    return bool(re.match(r"[€$£]?\d", name))
