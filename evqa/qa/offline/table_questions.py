"""Questions from tables, row by row: the first column names what the others tell about."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import (
    POINTING,
    THIRD,
    is_plural,
    with_article,
)
from evqa.qa.offline.vocabulary import Vocabulary, lower_first
from evqa.qa.quantities import NUMBER_WORDS
from evqa.segmentation import Line, LineKind, cells, lines, num_words

MIN_ROWS = 2  # with the header
MAX_COLUMNS = 8
MAX_TABLE_CHARACTERS = 40_000
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
        "dependencies",
    }
)
_ODD_HEADER = re.compile(r"^\w/\w$|[<>{}=]| per version")
_DATE = re.compile(r"^\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}")
_WITH_THE = frozenset({"European Union", "United Kingdom", "United States", "Netherlands"})
_PER = re.compile(r"(?:per|for|in|at|from|with) ", re.IGNORECASE)
_ABBREVIATION = re.compile(r"^[A-Z][A-Z0-9/.-]+$")


def table_questions(passage: Passage, vocabulary: Vocabulary) -> Iterator[Candidate]:
    """Yield questions of every table that has a header and tells rows apart by one column."""
    for rows in tables(passage.chunk.text):
        header = header_above(passage, rows[0].start)
        whole = [Line(LineKind.row, 0, 0, header), *rows] if header else rows
        grid = [cells(row.text) for row in whole]
        if is_askable(grid):
            yield from _of_table(whole, grid, vocabulary, passage)


def header_above(passage: Passage, start: int) -> str:
    """Return the header of a table that began in the chunk before, empty for one of its own.

    Args:
        passage: Its chunk may begin in the middle of a table.
        start: Of the table's first row in the chunk.
    """
    begin = passage.chunk.start + start
    if passage.chunk.text[:start].strip() or not begin:
        return ""
    above = passage.document.text[max(0, begin - MAX_TABLE_CHARACTERS) : begin]
    block = above[above.rfind("\n\n") + 1 :].strip("\n").split("\n")
    is_table = above.endswith("\n") and all(line.startswith("|") for line in block)
    return block[0] if is_table else ""


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
    rows: list[Line], grid: list[list[str]], vocabulary: Vocabulary, passage: Passage
) -> Iterator[Candidate]:
    header, text = grid[0], passage.document.text
    names = Counter(row[0].casefold() for row in grid[1:])
    for line, row in zip(rows[1:], grid[1:], strict=True):
        if names[row[0].casefold()] > 1 or not _is_key(row[0]):
            continue
        cells_of_row = zip(header[1:], row[1:], strict=True)
        asked = [
            (c, v)
            for c, v in cells_of_row
            if _is_cell(v, _max_words(c)) and c.lower() not in _VAGUE and not _is_odd(c)
            if not v.startswith("(") and not is_glued(v, text)
        ]
        key = _key(header[0], row[0], vocabulary)
        place = _place(row[0], passage.chunk.headings)
        for column, cell in asked[:PAIRS_PER_ROW]:
            value = _SEE.sub("", cell)
            if _CODE.search(row[0]) or column.casefold() in _DESCRIBING:
                asked_as = technical(row[0], column, value, place)
            else:
                asked_as = wording(key, column, value)
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


def is_field(name: str) -> bool:
    """Tell whether the first cell of a row is an identifier: ``SessionID``, ``--days``."""
    return bool(_IDENTIFIER.search(name)) and " " not in name


def technical(name: str, column: str, value: str, place: str) -> tuple[str, ...]:
    """Return two questions and the answer for a cell of a table of fields, null for others.

    Args:
        name: The first cell of the row, an identifier such as ``SessionID``.
        column: The header of the cell.
        value: The cell.
        place: Where the field belongs: "in eRoamingAuthorizeStart"; empty when that is unknown.
    """
    kind = _TECHNICAL.get(column.casefold().strip(" .:"))
    if kind is None or not is_field(name):
        return ("",)
    where = f" {place}" if place else ""
    if kind == "mandatory":
        need = _NEED.get(value)
        is_it = f"Is {name} mandatory or optional{where}?"
        return (is_it, f"{name} is {need}{where}.") if need else ("",)
    if kind == "description" and _DASHES.match(name):
        option = f"the command-line option {name}"
        said = f"{option}{where}: {value.rstrip('.')}."
        return f"What does {option} do{where}?", f"What is {option} used for{where}?", said
    if kind == "description":
        said = f"{name}{where}: {value.rstrip('.')}."
        return f"What does {name} mean{where}?", f"What is {name} used for{where}?", said
    said = f"The {kind} of {name}{where} is {value.rstrip('.')}."
    return f"What is the {kind} of {name}{where}?", f"Which {kind} does {name} have{where}?", said


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
    "m/o": "mandatory",
    "short form": "short form",
}
_NEED = {"M": "mandatory", "O": "optional"}
_DASHES = re.compile(r"[-–—]{1,2}\w")
_DESCRIBING = frozenset(_TECHNICAL) - {"meaning", "length", "unit"}
_IDENTIFIER = re.compile(
    r"[a-z][A-Z]|_|^[-–—]{1,2}\w|^[a-z]+[-.]\w|^[A-Z][A-Z_]{3,}$|^[A-Z][a-z]+[A-Z]"
)


_SEE = re.compile(r"\s*\(?\bSee (?:also )?(?:below|above)[^.]*\.?\)?$", re.IGNORECASE)
_CODE = re.compile(r"^[-–—]{1,2}\w|\w_\w|^[a-z]+[A-Z]\w*[a-z]")


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


def is_glued(value: str, text: str) -> bool:
    """Tell whether a cell is two identifiers of a text that lost what stood between them."""
    if "_" not in value or not re.fullmatch(r"\w+", value):
        return False
    known = set(re.findall(r"\w+", text))
    parts = ((value[:end], value[end:]) for end in range(3, len(value) - 3))
    return any("_" in left and left in known and right in known for left, right in parts)


def _is_odd(header: str) -> bool:
    return bool(_ODD_HEADER.search(header)) and header.casefold() not in _TECHNICAL


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
