"""The offline generator: questions from headings, sentences, lists and tables, no network.

Each rule knows one form of sentence (``template``) and how a person would ask for what it says.
The answer is the source's own sentence, so that its quote supports it by construction.
"""

from collections.abc import Iterable, Iterator

from evqa.config.data import QAConfig
from evqa.qa.candidate import Candidate, Passage, to_pair
from evqa.qa.offline.categories import categorise
from evqa.qa.offline.field_questions import field_questions
from evqa.qa.offline.heading_questions import heading_questions
from evqa.qa.offline.list_questions import list_questions
from evqa.qa.offline.sentence_questions import sentence_questions
from evqa.qa.offline.table_questions import table_questions
from evqa.qa.offline.term_questions import term_questions
from evqa.qa.offline.value_questions import value_questions
from evqa.qa.offline.vocabulary import Vocabulary
from evqa.records import Chunk, QAPair

QUESTION_WEIGHT, HEADING_WEIGHT, TITLE_WEIGHT = 3.0, 1.0, 1.0


def generate_extractive(
    passages: Iterable[Passage], config: QAConfig
) -> Iterator[tuple[QAPair, Chunk]]:
    """Yield candidate pairs of every passage in order, at most the configured number each.

    Args:
        passages: Gone through twice: first to learn how the corpus writes its words.
        config: Categories and limits.
    """
    vocabulary = Vocabulary.of_texts(passage.chunk.text for passage in passages)
    for passage in passages:
        candidates = [
            candidate
            for candidate in candidates_of(passage, vocabulary)
            if config.confirmations or candidate.template != "yes"
        ]
        for candidate in _chosen(candidates, config.max_pairs_per_chunk):
            category = _category(passage, candidate, config)
            yield (
                to_pair(passage, candidate, category=category, generator="extractive"),
                passage.chunk,
            )


def candidates_of(passage: Passage, vocabulary: Vocabulary) -> Iterator[Candidate]:
    """Yield what the rules find in a passage: headings first, then sentences, then tables."""
    yield from heading_questions(passage)
    yield from sentence_questions(passage, vocabulary)
    yield from list_questions(passage, vocabulary)
    yield from table_questions(passage, vocabulary)
    yield from field_questions(passage)
    yield from value_questions(passage)
    yield from term_questions(passage)


def _chosen(candidates: list[Candidate], limit: int) -> list[Candidate]:
    """Return at most ``limit`` candidates, second questions about one quote going first."""
    seen: dict[tuple[int, int], int] = {}
    ranked = []
    for number, candidate in enumerate(candidates):
        span = (candidate.start, candidate.end)
        ranked.append((seen.get(span, 0), number))
        seen[span] = seen.get(span, 0) + 1
    kept = sorted(number for _, number in sorted(ranked)[:limit])
    return [candidates[number] for number in kept]


def _category(passage: Passage, candidate: Candidate, config: QAConfig) -> str:
    texts = [
        (f"{candidate.question} {candidate.answer}", QUESTION_WEIGHT),
        (" ".join(passage.chunk.headings), HEADING_WEIGHT),
        (passage.document.title, TITLE_WEIGHT),
    ]
    keywords = {name: config.category_keywords.get(name, []) for name in config.categories}
    return categorise(texts, keywords)
