"""What an answer says in words of its own: opposites of the source's words, and words it lacks."""

from evqa.qa.grounding.amounts import counted_units, shares
from evqa.qa.grounding.meaning import BASES, PAST, THIRD, is_family, is_negated, opposites
from evqa.qa.grounding.polarity import is_negative
from evqa.qa.grounding.reading import Reading
from evqa.qa.grounding.tokens import Token, is_finite

_TIMES = frozenset({"before", "after", "until", "once"})
MIN_SUPPORTED = 3
MIN_SHARED = 2


def opposite_said(answer: Reading, source: Reading, asked: Reading) -> str | None:
    """Return the word of an answer whose opposite its source says instead, null for none."""
    given = source.plains | asked.plains
    for clause in answer.clauses:
        for token in clause:
            if token.amount is not None:
                continue
            found = (
                _instead(token, clause, answer.plains, source, asked)
                if token.plain in given
                else _opposite_in(token, source)
            )
            if found and token.text in _TIMES and not _is_of_same(token, clause, found, source):
                continue
            if found and not _is_turned(clause, source, asked, found.text):
                return f"the answer says {token.text!r}, the quote {found.text!r}"
    return None


def _opposite_in(token: Token, source: Reading) -> Token | None:
    excluded = opposites(token.text)
    for other in source.tokens:
        if other.amount is not None or other.root == token.root:
            continue
        if other.plain in excluded or is_negated(token.plain, other.plain):
            return other
    return None


def _is_of_same(token: Token, clause: tuple[Token, ...], other: Token, source: Reading) -> bool:
    """Tell whether before and after are said of the same: "before X" is no "after Y"."""
    ours = {t.root for t in clause if t.start > token.start and t.is_content}
    theirs = {t.root for t in source.tokens if t.start > other.start and t.is_content}
    return bool(ours & theirs) or not ours


def _instead(
    token: Token,
    clause: tuple[Token, ...],
    said: frozenset[str],
    source: Reading,
    asked: Reading,
) -> Token | None:
    """Return the opposite that stands in the clause restated, where the word itself does not."""
    excluded = opposites(token.text)
    if not excluded & source.plains:
        return None
    wanted = {t.root for t in clause if t.is_content and t.plain != token.plain}
    if not any(map(is_finite, clause)):
        wanted |= asked.roots
    shared = {id(s): len(wanted & (s.roots | s.shared_roots)) for s in source.statements}
    ranked = sorted(source.statements, key=lambda s: -shared[id(s)])
    if not ranked or shared[id(ranked[0])] < MIN_SHARED:
        return None
    plains = {t.plain: t for t in ranked[0].tokens}
    others = (excluded & plains.keys()) - said
    holding = [s for s in source.statements if token.plain in s.plains]
    theirs = max((shared[id(s)] for s in holding), default=0)
    is_better = shared[id(ranked[0])] > theirs
    return plains[min(others)] if others and token.plain not in plains and is_better else None


def _is_turned(clause: tuple[Token, ...], source: Reading, asked: Reading, other: str) -> bool:
    """Tell whether a "not" makes up for an opposite: "not closed" is open."""
    theirs = [part for part in source.clauses if any(t.text == other for t in part)]
    negative = is_negative(clause)
    if not any(map(is_finite, clause)):
        negative ^= any(map(is_negative, asked.clauses))
    return bool(theirs) and all(is_negative(part) != negative for part in theirs)


def new_words(
    answer: Reading, source: Reading, asked: Reading, around: frozenset[str]
) -> list[str]:
    """Return the words of an answer that stand in no form in its source, question or around it.

    Args:
        answer: What is judged.
        source: Its quote.
        asked: Its question.
        around: Base forms of what stands around the quote and may be said too.
    """
    given = source.plains | asked.plains | around
    roots = source.roots | asked.roots
    said = {*shares(answer.text), *counted_units(answer.text, source.text)}
    return [
        token.text
        for token in answer.tokens
        if token.is_heavy
        and token.root not in roots
        and token.text not in said
        and not any(is_family(token.plain, word) for word in given)
    ]


def is_said(word: str, answer: Reading, source: Reading, num_supported: int) -> bool:
    """Tell whether a new word may pass: how something is done, beside enough that is supported."""
    is_manner = (
        word.endswith(("ly", "ed", "ing")) or word in THIRD or word in PAST or word in BASES
    )
    return is_manner and num_supported >= MIN_SUPPORTED and not is_exchange(word, answer, source)


def num_content_words(answer: Reading) -> int:
    """Return how many words of an answer say something, amounts aside."""
    return sum(token.is_content and token.amount is None for token in answer.tokens)


def is_exchange(word: str, answer: Reading, source: Reading) -> bool:
    """Tell whether a new word stands where its source has another: the neighbours are the same."""
    ours = [token for token in answer.tokens if token.is_content]
    theirs = [token.root for token in source.tokens if token.is_content]
    place = next(n for n, token in enumerate(ours) if token.text == word)
    before = ours[place - 1].root if place else ""
    after = ours[place + 1].root if place + 1 < len(ours) else ""
    said = {token.root for token in ours}
    return any(
        theirs[n] not in said
        and not theirs[n].startswith("#")
        and before in ("", theirs[n - 1] if n else "")
        and after in ("", theirs[n + 1] if n + 1 < len(theirs) else "")
        and (before or after)
        for n in range(len(theirs))
    )
