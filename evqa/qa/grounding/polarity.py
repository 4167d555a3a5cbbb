"""Does an answer say "not" where its source does? Judged clause by clause.

A clause is negative when an odd number of words in it negate. The clause of the source that an
answer's clause restates is the one that shares most words with it.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

from evqa.qa.grounding.meaning import BASES, is_negated, opposites, plain
from evqa.qa.grounding.reading import Reading, read
from evqa.qa.grounding.tokens import Token, is_auxiliary, is_finite

_NEGATORS = frozenset(["not", "no", "never", "none", "neither", "nor", "nobody", "nothing"])
# Words that turn a clause round without "not": where one side has one of them more, they balance.
_TURNING_TEXT = """
forbid forbidden prohibit ban exempt exemption refuse avoid exclude excluded excluding lack
discourage prevent fail unable free except exception excused excuse seldom rarely hardly
unless stop impossible unnecessary optional instead until deny reject waive less
disconnect alone unavailable few little too missing absent rather against barely
"""
_TURNING = frozenset(plain(word) for word in _TURNING_TEXT.split())
_IDIOM = re.compile(
    r"\b(?:not|never) (?:be )?exceed(?:ed)?\b|\bnot (?:only|just|merely|least|necessarily)\b|"
    r"\bif not\b|\bor not\b",
    re.IGNORECASE,
)
_SUBJECTS = frozenset({"they", "we", "you", "i"})
_OBJECTS = frozenset({"the", "a", "an", "it", "its", "your", "them"})
_SUBORDINATING = frozenset({"if", "when", "because", "once", "after", "before", "until", "while"})
_OTHERS = frozenset({"other", "another", "else", "anyone", "any", "anything", "rest"})
_ANSWER = re.compile(r"^\W*(?P<says>yes|no)\b(?=\s*[,.;:!–—-]|\s*$)[\s,.;:!–—-]*", re.IGNORECASE)
_YES_NO = re.compile(
    r"^(?:is|are|was|were|does|do|did|can|could|may|must|should|will|would|has|have|had)\b", re.I
)
MIN_SHARE = 0.5
MIN_DENIED = 2
TIE = 0.65  # closer than one word of the answer
MIN_DENIED_SHARE = 0.4
QUESTION_WEIGHT = 0.3


def negation_clash(answer: str, quote: str, question: str) -> str | None:
    """Return how an answer's "not" differs from its source's, null when it does not."""
    says = _ANSWER.match(answer)
    rest = answer[says.end() :] if says else answer
    asked, source = read(_IDIOM.sub("", question)), read(_IDIOM.sub("", quote))
    if says and _YES_NO.match(question) and not rest:
        return _plain_answer(says["says"].lower(), asked, source)
    said = read(_IDIOM.sub("", rest))
    # A fragment ("between 8 pm and 7 am") is one answer, however many parts it has.
    is_adverbial = bool(said.tokens) and said.tokens[0].text in _SUBORDINATING
    is_fragment = (is_adverbial and _asks_negatively(asked)) or not _tells(said.tokens)
    is_fragment = is_fragment and not is_negative(said.tokens)
    for clause in (said.tokens,) if is_fragment else said.clauses:
        found = _clause_clash(clause, source, asked, is_fragment=is_fragment)
        if found:
            return found
    return _denied(said, source, asked)


def _denied(said: Reading, source: Reading, asked: Reading) -> str | None:
    """Judge an answer without any "not" whose words stand only where the source denies."""
    is_denying = any(token.text == "without" for token in (*said.tokens, *asked.tokens))
    if is_denying or any(map(is_negative, (*said.clauses, *asked.clauses))):
        return None
    denied: frozenset[str] = frozenset()
    # "Is it so?" asks for the words, and does not say them.
    allowed = frozenset[str]() if _YES_NO.match(asked.text) else asked.roots
    for clause in _with_denied(source, said.roots | asked.roots):
        is_claim = any(map(_verb_like, clause)) or (clause and clause[0].text == "no")
        if (
            is_claim
            and is_negative(clause)
            and not _is_balanced((*said.tokens, *asked.tokens), clause, source)
        ):
            denied |= _roots(clause)
        else:
            allowed |= _roots(clause)
    wanted = said.roots & source.roots
    only_denied = wanted & (denied - allowed)
    if len(only_denied) >= MIN_DENIED and len(only_denied) >= MIN_DENIED_SHARE * len(wanted):
        return "the quote negates, the answer does not"
    return None


def _with_denied(source: Reading, wanted: frozenset[str]) -> Iterator[tuple[Token, ...]]:
    """Yield the clauses of what is asked about; what stands after "without" is one that denies."""
    about = max(source.parts, key=lambda part: len(wanted & _roots(part)), default=())
    for clause in source.clauses:
        if clause[0] not in about:
            continue
        place = next((n for n, token in enumerate(clause) if token.text == "without"), None)
        yield clause[:place]
        if place is not None:
            yield (replace(clause[place], text="no"), *clause[place + 1 :])


def _plain_answer(says: str, asked: Reading, source: Reading) -> str | None:
    """Judge a bare "yes" or "no" by the clause that the question asks about."""
    content = {token.root for token in asked.tokens if token.is_content}
    closest = max(source.clauses, key=lambda c: len(content & _roots(c)), default=())
    shared = content & _roots(closest)
    if len(shared) < MIN_SHARE * len(content) or _is_balanced(asked.tokens, closest, source):
        return None
    agrees = is_negative(asked.tokens) == is_negative(closest)
    if says == "yes" and not agrees:
        return "the answer says yes, the quote says it is not so"
    return "the answer says no, the quote says it is so" if says == "no" and agrees else None


def _clause_clash(
    clause: tuple[Token, ...], source: Reading, asked: Reading, *, is_fragment: bool
) -> str | None:
    wanted = _roots(clause) & source.roots
    if not wanted:
        return None
    negative = is_negative(clause)
    context = asked.roots if is_fragment else asked.roots - _roots(clause)
    if is_fragment:
        negative ^= _asks_negatively(asked)
    closest = _closest(source.clauses, wanted, context)
    if any(is_negative(other) == negative for other in closest):
        return None
    # "but not the charges set by the owner": who sets them is not denied.
    if is_fragment and not any(map(_verb_like, closest[0])):
        return None
    shared = len(wanted & _roots(closest[0]))
    said = (*clause, *asked.tokens) if is_fragment else clause
    if shared < MIN_SHARE * len(wanted) or _is_balanced(said, closest[0], source):
        return None
    return (
        "the answer negates, the quote does not"
        if negative
        else "the quote negates, the answer does not"
    )


def _closest(
    clauses: tuple[tuple[Token, ...], ...], wanted: frozenset[str], context: frozenset[str]
) -> list[tuple[Token, ...]]:
    """Return the clauses that share most with what is said, and as much as the best of them."""
    shared = [len(wanted & _roots(clause)) for clause in clauses]
    scores = [
        common + QUESTION_WEIGHT * len(context & _roots(clause))
        for common, clause in zip(shared, clauses, strict=True)
    ]
    best = max(scores)
    least = max(common for common, score in zip(shared, scores, strict=True) if score == best)
    ranked = sorted(range(len(clauses)), key=lambda number: -scores[number])
    return [clauses[n] for n in ranked if scores[n] >= best - TIE and shared[n] >= least]


def _verb_like(token: Token) -> bool:
    """Tell whether a clause with this word says what is so: it has a verb that "not" turns."""
    return is_auxiliary(token) or token.text in _NEGATORS - {"no", "not"}


def _asks_negatively(asked: Reading) -> bool:
    return any(is_negative(clause) for clause in asked.clauses)


def is_negative(clause: tuple[Token, ...]) -> bool:
    """Tell whether an odd number of words of a clause negate it."""
    words = [token.text for token in clause]
    count = sum(word in _NEGATORS for word in words)
    if "neither" in words or "not" in words or "no" in words:
        count -= words.count("nor")
    return count % 2 == 1


def _is_balanced(said: tuple[Token, ...], clause: tuple[Token, ...], source: Reading) -> bool:
    """Tell whether another word makes up for a "not": "not permitted" is "forbidden"."""
    ours = {token.plain for token in said}
    theirs = {token.plain for token in clause}
    differing = (ours - source.plains) | (theirs - ours)
    if differing & _TURNING or ("only" in differing and ours & _OTHERS):
        return True
    return any(
        opposites(word) & (theirs - ours) or any(is_negated(word, other) for other in theirs)
        for word in ours - theirs
    )


def _roots(clause: tuple[Token, ...]) -> frozenset[str]:
    return frozenset(
        token.root for token in clause if token.is_content and token.text not in _NEGATORS
    )


def _tells(tokens: tuple[Token, ...]) -> bool:
    """Tell whether words have a verb of their own, or give an order."""
    if not tokens:
        return False
    first = tokens[0]
    is_order = first.text in BASES or (
        len(tokens) > 1 and first.is_heavy and tokens[1].text in _OBJECTS
    )
    is_plural = any(
        two.text in BASES and (one.text in _SUBJECTS or one.text.endswith("s"))
        for one, two in itertools.pairwise(tokens)
    )
    return is_order or is_plural or any(map(is_finite, tokens))
