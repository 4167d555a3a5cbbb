"""Refuse pairs that are not grounded, not self-contained, empty, or there already.

The checks are mechanical: what they accept is supported by words of the source, whoever wrote it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from evqa.language import detect_language
from evqa.qa.normal import content_words, normalised
from evqa.qa.quantities import quantities
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
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|cannot|nothing|nobody)\b|n['’]t\b", re.IGNORECASE
)
_CLAUSE_END = re.compile(r"[,;:.](?:\s|$)| (?:and|but|because|while|whereas) ")
# Letters and digits in one word, or capitals: IP54, J1772, SAE, CCS2.
_IDENTIFIER = re.compile(r"\b(?:[A-Z]+\d[\w-]*|[A-Z]{3,}\d*)\b")
# Of each line, an answer may not say one where the source says another.
_OPPOSITES_TEXT = """
at least|at most|up to
more than|less than|fewer than|up to
more|less|fewer
above|below|under
before|after
minimum|maximum
ac|dc
indoors|outdoors
increases?|decreases?
increased|decreased
rises?|falls?
rose|fell
highest|lowest
largest|smallest
winter|summer
germany|france|britain|united kingdom|united states|norway|china|japan|netherlands|spain|italy
copper|aluminium
first|last
"""
_OPPOSITES = tuple(tuple(line.split("|")) for line in _OPPOSITES_TEXT.strip().splitlines())

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
    missing = quantities(pair.answer) - quantities(pair.quote)
    if not missing:
        return None
    first = min(missing, key=lambda quantity: (quantity.value, quantity.unit))
    return "number_not_in_quote", f"{first.value.normalize():f} {first.unit}".strip()


def _words_supported(pair: QAPair, chunk: Chunk | None) -> Reason | None:
    if pair.quote is None or chunk is None:
        return None
    wanted = content_words(pair.answer)
    given = {*content_words(pair.quote), *content_words(pair.question)}
    given |= {word for heading in chunk.headings for word in content_words(heading)}
    share = sum(word in given for word in wanted) / len(wanted) if wanted else 1.0
    return (
        ("unsupported", f"{share:.0%} of its words are the quote's")
        if share < MIN_SUPPORT
        else None
    )


def _negation_kept(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    """Refuse an answer that adds a "not", or drops the one of the clause it restates."""
    if pair.quote is None or pair.answer in pair.quote:
        return None
    answer = set(content_words(pair.answer))
    parts = [part for part in _CLAUSE_END.split(pair.quote) if part.strip()]
    closest = max(parts, key=lambda part: len(answer & set(content_words(part))), default="")
    in_answer, in_quote = (bool(_NEGATION.search(text)) for text in (pair.answer, closest))
    overlap = len(answer & set(content_words(closest))) / max(len(answer), 1)
    if in_answer and not in_quote and not _NEGATION.search(pair.question):
        return "negation", "the answer negates, the quote does not"
    if in_quote and not in_answer and overlap > 0.8:
        return "negation", "the quote negates, the answer does not"
    return None


def _direction_kept(pair: QAPair, _chunk: Chunk | None) -> Reason | None:
    """Refuse an answer that says the opposite: at most for at least, DC for AC."""
    if pair.quote is None:
        return None
    said = f"{pair.quote} {pair.question}".lower()
    answer = pair.answer.lower()
    for group in _OPPOSITES:
        ours = {word for word in group if re.search(rf"\b{word}\b", answer)}
        theirs = {word for word in group if re.search(rf"\b{word}\b", said)}
        if ours - theirs and theirs - ours:
            word = min(ours - theirs)
            return "opposite", f"the answer says {word!r}, the quote {min(theirs - ours)!r}"
    return None


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
    _words_supported,
    _negation_kept,
    _direction_kept,
    _names_supported,
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
