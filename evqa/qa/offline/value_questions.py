"""Questions from enumerations that lost their table: a value, and the sentence that explains it.

``Accepted Identifier is allowed for charging. Blocked Identifier has been blocked.`` stands under
the title of its type, after the words "Value Description".
"""

import re
from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.offline.field_questions import place_of
from evqa.segmentation import LineKind, lines, num_words

MIN_MEANING_WORDS, MAX_MEANING_WORDS, MAX_BEFORE = 2, 40, 8_000
_HEADER = re.compile(r"\bVALUE DESCRIPTION\b|\bValue Description\b")
# What begins another table, whose rows are no values.
_OTHER = re.compile(
    r"\b(?:Property|Field(?: Name)?|Parameter) (?:Type|Datatype)\b|FIELD NAME|\bMethod\b|\n#"
)
_OWNER = re.compile(r"\b\d+(?:\.\d+)+ (?P<name>[A-Z]\w+) (?P<kind>enum|[Oo]bject|class)\b")
_VALUE = re.compile(
    r"(?:^|(?<=[.)] ))(?!VALUE|Charge |Central )"
    r"(?P<value>[A-Z][A-Z0-9_]{2,}|[A-Z][a-z]+(?:[A-Z][a-z0-9]+)+|[A-Z][a-z]+ed) "
    r"(?P<meaning>[A-Z](?:[^.]|\.(?=\S))+\.)"
)
# Signs of the next value in a meaning, or of the next title.
_DEBRIS = re.compile(
    r"[{}<>|\[\]]|\d+\.\d|\bDescription\b|\bi\.$|\be\.$|[A-Z0-9]_[A-Z]|[a-z] [A-Z]{4,} [A-Z]|"
    r"[a-z] [A-Z][a-z]+[A-Z]\w* [A-Z][a-z]"
)


def value_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield what each value of an enumeration means, where its title is known."""
    for line in lines(passage.chunk.text):
        if line.kind is not LineKind.prose:
            continue
        for match in _VALUE.finditer(line.text):
            start = passage.chunk.start + line.start + match.start("value")
            before = passage.document.text[max(0, start - MAX_BEFORE) : start]
            place = _place(before, place_of(passage.chunk.headings))
            if place and _is_clean(match):
                yield from _of_value(match, line.start, place)


def _place(before: str, heading: str) -> str:
    """Return "in the Facility enum", "in GenericStatusEnumType"; empty for no enumeration."""
    headers = list(_HEADER.finditer(before))
    if not headers or _OTHER.search(before[headers[-1].end() :]):
        return ""
    owners = list(_OWNER.finditer(before))
    if owners and owners[-1]["kind"] == "enum":
        return f"in the {owners[-1]['name']} enum"
    return heading if heading.endswith("EnumType") else ""


def _is_clean(match: re.Match[str]) -> bool:
    meaning = match["meaning"]
    is_sized = MIN_MEANING_WORDS <= num_words(meaning) <= MAX_MEANING_WORDS
    return is_sized and not _DEBRIS.search(meaning)


def _of_value(match: re.Match[str], offset: int, place: str) -> Iterator[Candidate]:
    value = match["value"]
    for question in (
        f"What does the value {value} mean {place}?",
        f"What is meant by the value {value} {place}?",
    ):
        yield Candidate(
            question=question,
            answer=f"{value} {place}: {match['meaning']}",
            start=offset + match.start("value"),
            end=offset + match.end("meaning"),
            template="value",
            difficulty="medium",
        )
