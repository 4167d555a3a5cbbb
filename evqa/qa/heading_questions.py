"""Questions that a document asks itself: a heading with a question mark, answered below it."""

from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import is_self_contained
from evqa.segmentation import LineKind, heading_title, lines, num_words, sentence_spans

# Sentences are taken into the answer until it has so many words.
ENOUGH_WORDS = 14
MAX_SENTENCES = 3


def heading_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield the question of each heading that is one, with the first sentences below it."""
    found = list(lines(passage.chunk.text))
    for heading, body in zip(found, _next_filled(found), strict=True):
        title = heading_title(heading.text)
        if heading.kind is not LineKind.heading or not title.endswith("?") or body is None:
            continue
        question = _without_label(title)
        if body.kind is not LineKind.prose or not is_self_contained(question):
            continue
        end = body.start + _answer_end(body.text)
        yield Candidate(
            question=question,
            answer=passage.chunk.text[body.start : end],
            start=body.start,
            end=end,
            template="heading",
        )


def _next_filled(found: list) -> list:  # type: ignore[type-arg]
    following = []
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
