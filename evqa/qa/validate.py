"""Refuse pairs that are not grounded, not self-contained, empty, or there already.

The checks are mechanical: what they accept is supported by words of the source, whoever wrote it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from evqa.language import detect_language
from evqa.qa.grounding.amounts import missing_amounts
from evqa.qa.grounding.belonging import misplaced
from evqa.qa.grounding.bounds import clash
from evqa.qa.grounding.meaning import plain
from evqa.qa.grounding.novelty import (
    is_exchange,
    is_said,
    new_words,
    num_content_words,
    opposite_said,
)
from evqa.qa.grounding.polarity import negation_clash
from evqa.qa.grounding.reading import read
from evqa.qa.grounding.roles import attached_elsewhere, exchanged
from evqa.qa.grounding.strength import strength_clash
from evqa.qa.grounding.tokens import is_finite
from evqa.qa.normal import content_words, normalised, words
from evqa.records import Chunk, QAPair
from evqa.segmentation import num_words

MIN_QUESTION_WORDS = 3
MAX_QUESTION_WORDS = 45
# An answer shares at least this of its content words with the quote, the question and headings.
MIN_SUPPORT = 0.5
MIN_LANGUAGE_WORDS = 10  # fewer words do not tell their language
MIN_LANGUAGE_LEAD = 3.0
_NOT_SELF_CONTAINED = re.compile(
    r"\b(?:(?:this|the|that|these|given) (?:text|passage|document|article|section|paragraph|page|"
    r"chunk|excerpt|context|author|source|table|figure|guide|following)|(?:mentioned|described|"
    r"listed|shown|stated) (?:above|below|here|earlier)|as follows|according to (?:it|this))\b",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"^\W*(?:n/?a|none|null|nan|todo|tbd|tba|answer|question|unknown|\.\.\.|…|-+)?\W*$"
    r"|\b(?:lorem ipsum|placeholder|insert (?:the )?answer|as an ai|i (?:do not|don't) know)\b"
    r"|\[(?:answer|question|insert[^\]]*|your [^\]]*)\]|\{\w+\}|<(?:answer|question)>",
    re.IGNORECASE,
)
_YES_NO = re.compile(r"^\W*(?:yes|no)\b[\s,.;:!–—-]*", re.IGNORECASE)
# "connector_id in the Tariff object: …": what was asked for, then what the source says of it.
_LABEL = re.compile(r"^([^:]{3,90}): (?=\S)")
_CHOICE = re.compile(r"\bor\b|\bbetween\b", re.IGNORECASE)
# Letters and digits in one word, or capitals: IP54, J1772, SAE, CCS2.
_IDENTIFIER = re.compile(r"\b(?:[A-Z]+\d[\w-]*|[A-Z]{3,}\d*)\b")
Reason = tuple[str, str]
Check = Callable[[QAPair, Chunk | None], Reason | None]


def rejection(pair: QAPair, chunk: Chunk | None) -> Reason | None:
    """Return ``(reason, detail)`` of the first check that a pair fails, null for none.

    Args:
        pair: Any pair; those without a quote (imported ones) skip the checks against it.
        chunk: The chunk that the pair names, null for imported ones.
    """
    for check in _CHECKS:
        if found := check(pair, chunk):
            return found
    return None


def _empty(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    if not pair.question.strip() or not pair.answer.strip():
        return "empty", "question or answer is blank"
    for name in ("question", "answer"):
        text = getattr(pair, name)
        if is_placeholder(text) and not (name == "answer" and normalised(text) == "no"):
            return "placeholder", f"{name}: {text[:80]}"
    return None


def is_placeholder(text: str) -> bool:
    """Tell whether a text stands for one that was never written: TODO, N/A, [answer]."""
    return bool(_PLACEHOLDER.search(text))


def _question_form(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    count = num_words(pair.question)
    if not MIN_QUESTION_WORDS <= count <= MAX_QUESTION_WORDS:
        return "question_length", f"{count} words"
    if match := _NOT_SELF_CONTAINED.search(pair.question):
        return "not_self_contained", f"the question says {match[0]!r}"
    return None


def _quote_verbatim(pair: QAPair, chunk: Chunk | None) -> Reason | None:
    if pair.quote is None:
        return None
    if chunk is None:
        return "quote_not_found", f"no chunk {pair.chunk_id}"
    if not pair.quote.strip() or chunk.text[pair.quote_start : pair.quote_end] != pair.quote:
        return "quote_not_found", "the quote is not what stands in the chunk at its offsets"
    return None


def _quantities_supported(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    if pair.quote is None:
        return None
    missing = missing_amounts(pair.answer, pair.quote)
    if not missing:
        return None
    return "number_not_in_quote", f"{missing[0].value.normalize():f} {missing[0].unit}".strip()


def _words_supported(pair: QAPair, chunk: Chunk | None) -> Reason | None:
    """Refuse an answer of which most words stand nowhere in the source."""
    if pair.quote is None:
        return None
    new, num_words = _new_words(pair, chunk), num_content_words(read(pair.answer))
    if len(new) <= (1 - MIN_SUPPORT) * num_words:
        return None
    return "unsupported", f"{1 - len(new) / num_words:.0%} of its words are the quote's"


def _new_words(pair: QAPair, chunk: Chunk | None) -> list[str]:
    """Return the words of an answer that neither quote, question nor headings say in any form."""
    headings = read(" ".join(chunk.headings)).plains if chunk else frozenset()
    return new_words(read(pair.answer), read(pair.quote or ""), read(pair.question), headings)


def _restates(pair: QAPair) -> bool:
    """Tell whether an answer words its quote anew: an extract of it claims nothing else.

    A row of a table counts as an extract, for its columns are named elsewhere.
    """
    if pair.quote is None or pair.quote.lstrip().startswith("|"):
        return False
    return not _is_extract(_unlabelled(pair), pair.quote)


def _unlabelled(pair: QAPair) -> str:
    """Return an answer without the words of its question that it may begin with."""
    label = _LABEL.match(pair.answer)
    asked = frozenset(map(plain, words(pair.question)))
    if label is None or not asked.issuperset(map(plain, words(label[1]))):
        return pair.answer
    return pair.answer[label.end() :]


@lru_cache(maxsize=64)
def _is_extract(answer: str, quote: str) -> bool:
    said = normalised(_YES_NO.sub("", answer))
    return f" {said} " in f" {normalised(quote)} "


def _negation_kept(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    """Refuse an answer that adds a "not", or drops the one of the clause it restates."""
    is_whole = not _restates(pair) and any(map(is_finite, read(pair.answer).tokens))
    if pair.quote is None or is_whole or pair.quote.lstrip().startswith("|"):
        return None
    found = negation_clash(pair.answer, pair.quote, pair.question)
    return ("negation", found) if found else None


def _direction_kept(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    """Refuse an answer that says the opposite: at most for at least, DC for AC."""
    if pair.quote is None or pair.quote.lstrip().startswith("|"):
        return None
    found = clash(read(pair.answer).amounts, read(pair.quote).amounts, pair.question)
    if not found and _restates(pair):
        found = opposite_said(read(pair.answer), read(pair.quote), read(pair.question))
    return ("opposite", found) if found else None


def _strength_kept(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    """Refuse an answer that claims more than the quote: must for may, all for most."""
    if pair.quote is None or not _restates(pair):
        return None
    found = strength_clash(pair.answer, pair.quote, pair.question)
    return ("overstated", found) if found else None


def _place_kept(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    """Refuse an answer that takes what the quote says of something else, or exchanges roles."""
    if pair.quote is None:
        return None
    answer, source, asked = read(pair.answer), read(pair.quote), read(pair.question)
    is_row = pair.quote.lstrip().startswith("|")
    is_told_of_it = _unlabelled(pair) != pair.answer and not _restates(pair)
    found = None if is_row or is_told_of_it else misplaced(answer, source, asked)
    if not found and _restates(pair):
        found = exchanged(answer, source, asked) or attached_elsewhere(answer, source, asked)
    return ("misplaced", found) if found else None


def _no_new_words(pair: QAPair, chunk: Chunk | None) -> Reason | None:
    """Refuse an answer with words that the source does not say in any form.

    A word from around the quote may be added, though not put in the place of another.
    """
    if pair.quote is None or not _restates(pair):
        return None
    new = _new_words(pair, chunk)
    answer, source = read(pair.answer), read(pair.quote)
    if len(new) == 1 and is_said(new[0], answer, source, num_content_words(answer) - 1):
        return None
    if new and chunk is not None:
        around = frozenset(map(plain, words(chunk.text)))
        new = [w for w in new if plain(w) not in around or is_exchange(w, answer, source)]
    return ("word_not_in_quote", ", ".join(new[:3])) if new else None


def _says_something(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    """Refuse a short answer that only repeats words of its question."""
    if pair.quote is None or _CHOICE.search(pair.question):
        return None
    answer, asked = read(pair.answer), read(pair.question)
    content = {token.root for token in answer.tokens if token.is_content}
    is_asked = asked.tokens and asked.tokens[0].text in ("who", "whom", "where", "when")
    if not is_asked or not content or not content <= asked.roots:
        return None
    return "says_nothing", "the answer only repeats the question"


def _names_supported(pair: QAPair, chunk: Chunk | None) -> Reason | None:
    """Refuse an answer with an identifier that stands neither in quote, question nor headings."""
    if pair.quote is None:
        return None
    headings = " ".join(chunk.headings) if chunk else ""
    said = f"{pair.quote} {pair.question} {headings}".casefold()
    for name in _IDENTIFIER.findall(pair.answer):
        if name.casefold() not in said:
            return "name_not_in_quote", name
    return None


_CHECKS: tuple[Check, ...] = (
    _empty,
    _question_form,
    _quote_verbatim,
    _quantities_supported,
    _names_supported,
    _words_supported,
    _negation_kept,
    _direction_kept,
    _strength_kept,
    _place_kept,
    _no_new_words,
    _says_something,
)


@dataclass(slots=True)
class DuplicateGuard:
    """Remembers the questions seen; the first of equal ones stays.

    Two questions are equal when their words are; generated ones also when the same content words
    stand in another order. A pair whose question was asked with another answer is a duplicate
    too: a model cannot learn both.
    """

    exact: dict[str, str] = field(default_factory=dict)
    loose: dict[str, str] = field(default_factory=dict)

    def rejection(self, pair: QAPair) -> Reason | None:
        """Return why the pair is a duplicate, else remember it and return null."""
        exact = normalised(pair.question)
        asks = exact.partition(" ")[0]
        loose = " ".join([asks, *sorted(content_words(pair.question))])
        if exact in self.exact:
            return "duplicate_question", f"asked already in {self.exact[exact]}"
        if pair.generator not in ("shipped", "imported") and loose in self.loose:
            return "near_duplicate_question", f"nearly asked already in {self.loose[loose]}"
        self.exact[exact] = pair.id
        self.loose.setdefault(loose, pair.id)
        return None


def check_pairs(
    pairs: Iterable[tuple[QAPair, Chunk | None]], languages: Sequence[str] = ()
) -> Iterator[tuple[QAPair, Chunk | None, Reason | None]]:
    """Yield each pair with its chunk and why it is refused, null for a valid one.

    Args:
        pairs: Each with the chunk that it was made from, null for imported ones.
        languages: That questions and answers may be in; none: any.
    """
    guard = DuplicateGuard()
    for pair, chunk in pairs:
        found = rejection(pair, chunk) or wrong_language(pair, languages)
        yield pair, chunk, found or guard.rejection(pair)


def wrong_language(pair: QAPair, languages: Sequence[str]) -> Reason | None:
    """Return the reason when a pair is clearly in another language than those wanted."""
    found = detect_language(
        f"{pair.question} {pair.answer}", MIN_LANGUAGE_WORDS, MIN_LANGUAGE_LEAD
    )
    if not languages or found is None or found in languages:
        return None
    return "language", f"{found}, documents.languages={','.join(languages)}"
