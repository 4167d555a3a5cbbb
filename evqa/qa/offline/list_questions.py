"""Questions for lists: a sentence that ends in a colon, and the items below it."""

import re
from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import is_self_contained
from evqa.qa.offline.clauses import Clause, clauses
from evqa.qa.offline.numeric_questions import question
from evqa.qa.offline.plain import runs_on
from evqa.qa.offline.vocabulary import Vocabulary
from evqa.segmentation import Line, LineKind, lines, num_words, sentence_spans

MIN_ITEMS, MAX_ITEMS = 2, 8
MAX_ANSWER_WORDS = 90
_ANNOUNCING = re.compile(
    r"(?P<preposition>of|for|to|on|with|from|by)?\s*(?:as follows|these|"
    r"(?:the following|these|two|three|four|five|six|several)(?P<things>(?: [a-z-]+){0,3}))?"
)


def list_questions(passage: Passage, vocabulary: Vocabulary) -> Iterator[Candidate]:
    """Yield a question for every list whose introduction is a plain clause."""
    for intro, items in _lists(passage.chunk.text):
        start, end = sentence_spans(intro.text)[-1]
        found = list(clauses(intro.text[start:end].rstrip(":"), vocabulary))
        answer = "; ".join(item.text.removeprefix("- ").rstrip(".;,") for item in items) + "."
        is_clean = not runs_on(intro.text[start:end], vocabulary)
        if len(found) != 1 or num_words(answer) > MAX_ANSWER_WORDS or not is_clean:
            continue
        text = asked(found[0])
        if text and is_self_contained(text):
            yield Candidate(
                question=text,
                answer=answer,
                start=intro.start + start,
                end=items[-1].end,
                template="list",
                difficulty="hard",
            )


def asked(clause: Clause) -> str | None:
    """Return the question that a list answers: what something needs, or what it is."""
    match = _ANNOUNCING.fullmatch(clause.rest.strip())
    if match is None:
        return None
    verb = " ".join(part for part in (clause.verb, match["preposition"]) if part)
    what = f"Which{match['things']}" if match["things"] and clause.verb else "What"
    return question(f"{what} {clause.auxiliary} {clause.subject} {verb}", "", clause)


def _lists(text: str) -> Iterator[tuple[Line, list[Line]]]:
    intro: Line | None = None
    items: list[Line] = []
    for line in [*lines(text), Line(LineKind.heading, len(text), len(text), "")]:
        if line.kind is LineKind.item and intro is not None:
            items.append(line)
        elif line.kind is not LineKind.blank:
            if intro is not None and MIN_ITEMS <= len(items) <= MAX_ITEMS:
                yield intro, items
            is_intro = line.kind is LineKind.prose and line.text.endswith(":")
            intro, items = (line if is_intro else None), []
