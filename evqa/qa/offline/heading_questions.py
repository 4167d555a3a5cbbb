"""Questions that a document asks itself: a heading with a question mark, answered below it."""

import re
from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import is_self_contained
from evqa.segmentation import (
    Line,
    LineKind,
    heading_level,
    heading_title,
    lines,
    num_words,
    sentence_spans,
)

# Sentences are taken into the answer until it has so many words.
_ASKS = re.compile(
    r"(?:(?:at|for|since|from|by|in|on|with|my) )?(?:what|which|who|whom|whose|where|when|why|how|"
    r"do|does|did|is|are|was|were|can|could|may|must|should|will|would|has|have|post|car)\b",
    re.IGNORECASE,
)
ENOUGH_WORDS = 14
MAX_SENTENCES = 3
MIN_LEVEL = 2  # the title of a document may ask, but its first line seldom answers


def heading_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield the question of each heading that is one, with the first sentences below it."""
    found = list(lines(passage.chunk.text))
    for heading, body in zip(found, _next_filled(found), strict=True):
        title = heading_title(heading.text)
        if heading.kind is not LineKind.heading or not title.endswith("?") or body is None:
            continue
        question = _without_label(title)
        if heading_level(heading.text) < MIN_LEVEL or body.kind is not LineKind.prose:
            continue
        if not _ASKS.match(question) or not is_self_contained(question):
            continue
        end = body.start + _answer_end(body.text)
        yield Candidate(
            question=question,
            answer=passage.chunk.text[body.start : end],
            start=body.start,
            end=end,
            template="heading",
        )


def _next_filled(found: list[Line]) -> list[Line | None]:
    """Return, for each line, the first line after it that is not blank."""
    following: list[Line | None] = []
    after = None
    for line in reversed(found):
        following.append(after)
        if line.kind is not LineKind.blank:
            after = line
    return following[::-1]


def _without_label(title: str) -> str:
    """Return "Which plug?" of "One: which plug?" and "3. Which plug?"."""
    head, colon, rest = title.partition(": ")
    if colon and num_words(head) <= 2 and rest:
        return rest[0].upper() + rest[1:]
    return title.lstrip("0123456789.) ")


def _answer_end(text: str) -> int:
    end = 0
    for start, stop in sentence_spans(text)[:MAX_SENTENCES]:
        if end and num_words(text[:end]) >= ENOUGH_WORDS:
            break
        end = stop if start < stop else end
    return end
