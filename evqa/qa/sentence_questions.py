"""stub."""

from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage


def sentence_questions(passage: Passage) -> Iterator[Candidate]:
    """Stub."""
    return
    yield
