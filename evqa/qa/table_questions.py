"""Questions from tables, row by row: the first column names what the others tell about."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import (
    POINTING,
    THIRD,
    Vocabulary,
    is_plural,
    lower_first,
    with_article,
)
from evqa.qa.quantities import NUMBER_WORDS
from evqa.segmentation import Line, LineKind, cells, lines, num_words

MIN_ROWS = 2  # with the header
MAX_COLUMNS = 8
MAX_CELL_WORDS = 8
MAX_DESCRIPTION_WORDS = 40
MAX_HEADER_WORDS = 4
PAIRS_PER_ROW = 6
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
_ODD_HEADER = re.compile(r"^\w/\w$|[<>{}=]")
_DATE = re.compile(r"^\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}")
_WITH_THE = frozenset({"European Union", "United Kingdom", "United States", "Netherlands"})
_PER = re.compile(r"(?:per|for|in|at|from|with) ", re.IGNORECASE)
_ABBREVIATION = re.compile(r"^[A-Z][A-Z0-9/.-]+$")


def table_questions(passage: Passage, vocabulary: Vocabulary) -> Iterator[Candidate]:
    """Yield questions of every table that has a header and tells rows apart by one column."""
    for rows in tables(passage.chunk.text):
        grid = [cells(row.text) for row in rows]
        if is_askable(grid):
            yield from _of_table(rows, grid, vocabulary, passage.chunk.headings)


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
    rows: list[Line], grid: list[list[str]], vocabulary: Vocabulary, headings: Sequence[str]
) -> Iterator[Candidate]:
    header = grid[0]
    names = Counter(row[0].casefold() for row in grid[1:])
    for line, row in zip(rows[1:], grid[1:], strict=True):
        if names[row[0].casefold()] > 1 or not _is_key(row[0]):
            continue
        cells_of_row = zip(header[1:], row[1:], strict=True)
        asked = [
            (c, v)
            for c, v in cells_of_row
            if _is_cell(v, _max_words(c)) and c.lower() not in _VAGUE and not _ODD_HEADER.search(c)
        ]
        key = _key(header[0], row[0], vocabulary)
        place = _place(row[0], headings)
        for column, value in asked[:PAIRS_PER_ROW]:
            asked_as = technical(row[0], column, value, place) or wording(key, column, value)
            *questions, answer = asked_as
            for question in questions:
                yield Candidate(
                    question=question[0].upper() + question[1:],
                    answer=answer[0].upper() + answer[1:],
                    start=line.start,
                    end=line.end,
                    template="table",
                    difficulty="medium",
                )


def technical(name: str, column: str, value: str, place: str) -> tuple[str, ...] | None:
    """Return two questions and the answer for a cell of a table of fields, null for others.

    Args:
        name: The first cell of the row, an identifier such as ``SessionID``.
        column: The header of the cell.
        value: The cell.
        place: Where the field belongs: "in eRoamingAuthorizeStart"; empty when that is unknown.
    """
    kind = _TECHNICAL.get(column.casefold().strip(" .:"))
    if kind is None or not _IDENTIFIER.search(name):
        return None
    where = f" {place}" if place else ""
    if kind == "description":
        said = f"{name}{where}: {value.rstrip('.')}."
        return f"What does {name} mean{where}?", f"What is {name} used for{where}?", said
    said = f"The {kind} of {name}{where} is {value.rstrip('.')}."
    which = f"Which {kind} does {name} have{where}?"
    return f"What is the {kind} of {name}{where}?", which, said


# Headers of tables of fields, as they are asked for.
_TECHNICAL = {
    "type": "type",
    "data type": "data type",
    "datatype": "data type",
    "field type": "field type",
    "description": "description",
    "definition": "description",
    "meaning": "description",
    "default": "default value",
    "default value": "default value",
    "field length": "field length",
    "length": "length",
    "unit": "unit",
    "card.": "cardinality",
    "card": "cardinality",
    "cardinality": "cardinality",
}
_IDENTIFIER = re.compile(r"[a-z][A-Z]|_|^--?\w|^[a-z]+[-.]\w|^[A-Z][A-Z_]{3,}$|^[A-Z][a-z]+[A-Z]")


def _place(name: str, headings: Sequence[str]) -> str:
    """Return where a field belongs, by the innermost heading that names something."""
    for heading in reversed(headings):
        title = re.sub(r"^[\d.]+\s*", "", heading).strip()
        is_named = bool(title) and num_words(title) <= MAX_HEADER_WORDS
        if is_named and not POINTING.search(title) and name not in title:
            return f"in {title}"
    return ""


def wording(key: str, column: str, value: str) -> tuple[str, ...]:
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


def _is_cell(value: str, max_words: int | None = None) -> bool:
    return (
        "?" not in value
        and value.casefold() not in _NO_ANSWER
        and len(value.split()) <= (max_words or MAX_CELL_WORDS)
    )


def _max_words(column: str) -> int:
    is_description = _TECHNICAL.get(column.casefold()) == "description"
    return MAX_DESCRIPTION_WORDS if is_description else MAX_CELL_WORDS


def _is_key(name: str) -> bool:
    return _is_cell(name) and not _PER.match(name) and not _DATE.match(name)


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
