"""What kind of thing a question asks for: a power, a duration, a reason, how many buses.

The words that open the question are read, and the noun phrase after them; which noun or unit
speaks for which kind is data (``kinds`` of ``wordings.json``).
"""

import re

from evqa.qa.normal import words
from evqa.qa.wordings import ASKED_UNITS, KINDS

Kinds = frozenset[str]
NOTHING: Kinds = frozenset()

_AUXILIARY = (
    r"(?:do|does|did|is|are|was|were|can|could|has|have|had|must|may|should|will|would|'s|’s)"
)
_WORDS_AFTER_NOUNS = """
do does did is are was were can could have has had must may might should will would s
in on at for per to there from with that which what how when if until before after by between and
or as under over into it they you i we a an the
"""
_AFTER_NOUNS = frozenset(_WORDS_AFTER_NOUNS.split())
# "how …" → what is asked for.
_ADJECTIVES_TEXT = """
long duration
soon duration
quickly duration
early duration date
late duration date
old date
far distance
powerful power
strong power
fast power speed
warm temperature
hot temperature
cold temperature
often often share
frequently often share
likely share often
reliable share
efficient share
heavily share
expensive price
thick size
heavy weight
"""
_ADJECTIVES = {
    adjective: frozenset(kinds)
    for adjective, *kinds in map(str.split, _ADJECTIVES_TEXT.strip().splitlines())
}
_EXTENTS_TEXT = "power energy current share count size distance weight standard thing"
_EXTENTS = frozenset(_EXTENTS_TEXT.split())
THING = frozenset({"thing"})  # of some other kind
_VAGUE_NOUNS_TEXT = """
total value amount limit maximum minimum figure rating extent quantity ceiling window most
least kind type sort case way sum range
"""
_VAGUE_NOUNS = frozenset(_VAGUE_NOUNS_TEXT.split())
_NEVER_THINGS = frozenset(("price", "duration", "date", "count", "often"))
_NO_ADJECTIVE = re.compile(rf"{_AUXILIARY}|much|to|it|come|about|exactly|and|an?|the|i|you|we")
_HEIGHTS = frozenset(("high", "deep", "tall", "wide"))
_ASKING = re.compile(
    rf"\bhow (?P<how>\w+)|\b(?P<what>what(?! if)|which)\b|"
    rf"\b(?P<bare>when|where)(?= {_AUXILIARY}\b)|\b(?:since|until|by|from) (?P<since>when)\b|"
    rf"(?:^|[,:;.] )(?P<who>who|whom|whose|why)\b|\b(?P<number>number|count|total)(?= of)",
    re.IGNORECASE,
)
_BARE = {"when": "date", "where": "place", "why": "reason"}
_OPENING = re.compile(rf"\s*{_AUXILIARY}\b(?: there)?\s*(?:(?:the|a|an|its|my)\b)?", re.IGNORECASE)
_AFTER_WHAT = re.compile(rf"\w*\s+(?:{_AUXILIARY}|of)\b", re.IGNORECASE)
_PAID = re.compile(r"\b(?:costs?|comes? to|pays?|charges?|paid|owe|bill)\b", re.IGNORECASE)
_DEFINED = re.compile(
    r"\b(?:stands? for|short for|abbreviat\w+|acronym|letters|define\b|definition|meant by|"
    r"what do(?:es)? .{1,50} mean\b|"
    r"^what (?:is|are) (?:an? )?(?!the |it |its |my |your )[\w/&-]+(?: [\w/&-]+)?\?$)",
    re.IGNORECASE,
)
_REASON = re.compile(r"\b(?:for what reason|how come|what .{0,12}(?:reason|purpose))\b", re.I)
_PER = re.compile(r" (?:(?:is|was) (?:it|that) )?per\b", re.IGNORECASE)
_IN_UNIT = re.compile(r"\b(?:in|as an?) (\w+)\b", re.IGNORECASE)


def sought(question: str) -> Kinds:
    """Return the kinds of things that a question asks for, none when that is not plain."""
    found = NOTHING
    for match in _ASKING.finditer(question):
        found |= _kinds_of(match, question[match.end() :])
    if not _ASKING.search(question):
        found |= _noun_kinds(re.split(r"[:,] ", question)[-1]) or _noun_kinds(question)
    for unit in _IN_UNIT.findall(question):
        found |= ASKED_UNITS.get(unit.casefold(), NOTHING)
    if _DEFINED.search(question):
        found |= {"definition"}
    return found | {"reason"} if _REASON.search(question) else found


def may_be_one(left: Kinds, right: Kinds) -> bool:
    """Tell whether questions for these kinds may be the same; "some thing" is no plain kind."""
    if "reason" in left ^ right:
        return False
    if not left or not right or left & right:
        return True
    return THING in (left, right) and not (left | right) & _NEVER_THINGS


def counted(question: str) -> str:
    """Return the noun phrase of the things whose number a question asks for."""
    for match in re.finditer(r"\b(?:how many|(?:number|count|total) of) (.*)", question, re.I):
        phrase = _phrase(match[1])
        if phrase and not any(word in ASKED_UNITS for word in phrase):
            return " ".join(phrase)
    return ""


def amount_of(question: str) -> str:
    """Return the noun phrase after "how much" that no kind stands for: heat, water."""
    for match in re.finditer(r"\bhow much (.*)", question, re.IGNORECASE):
        phrase = _phrase(match[1])
        if phrase and not any(word in KINDS for word in phrase):
            return " ".join(phrase)
    return ""


def _kinds_of(match: re.Match[str], rest: str) -> Kinds:
    if match["number"]:
        return _number_of(rest.partition(" of ")[2])
    bare = (match["bare"] or match["since"] or match["who"] or "").casefold()
    if bare:
        return frozenset({_BARE.get(bare, "person")})
    if match["how"]:
        paid = match.string[: match.start()] if rest.strip() in ("?", "") else ""
        return _kinds_how(match["how"].casefold(), rest + paid)
    return _kinds_what(rest)


def _kinds_how(how: str, rest: str) -> Kinds:
    if how == "many":
        return _number_of(re.sub(r"^ of (?:the |these |those )?", "", rest))
    if how in _ADJECTIVES:
        return _ADJECTIVES[how]
    if found := _noun_kinds(re.sub(r"^\s*an? ", "", rest)):
        return found
    if _PAID.search(rest) or (how == "much" and _PER.match(rest)):
        return frozenset({"price"})
    opened = _OPENING.match(rest)
    return (_noun_kinds(rest[opened.end() :]) if opened else NOTHING) or _extent(how)


def _number_of(things: str) -> Kinds:
    """Return the kind of a unit, "count" when things are counted."""
    units = [ASKED_UNITS[word] for word in _phrase(things) if word in ASKED_UNITS]
    return units[0] if units else frozenset({"count"})


def _extent(how: str) -> Kinds:
    if how in _HEIGHTS:
        return frozenset({"distance"})
    return NOTHING if _NO_ADJECTIVE.fullmatch(how) else _EXTENTS


def _kinds_what(rest: str) -> Kinds:
    if found := _noun_kinds(rest):
        return found
    opened = _OPENING.match(rest)
    if not opened:
        named = _phrase(rest)
        is_noun = bool(named) and _AFTER_WHAT.match(rest.partition(named[-1])[2]) is not None
        return THING if is_noun and named[-1] not in _VAGUE_NOUNS else NOTHING
    is_copula = re.match(r"\s*(?:is|are|was|were|'s|’s)\b", rest)
    if is_copula and (found := _noun_kinds(rest[opened.end() :])):
        return found
    return frozenset({"price"}) if _PAID.search(rest) else NOTHING


def _phrase(text: str) -> list[str]:
    """Return the words of the noun phrase that a text begins with, five at most."""
    found = []
    for word in words(text)[:6]:
        if word in _AFTER_NOUNS or word == "of":
            break
        found.append(word)
    return found


def _noun_kinds(text: str) -> Kinds:
    """Return the kinds of the noun phrase that a text begins with: those of its last noun.

    "size of circuit breaker" asks for a breaker too.
    """
    found = NOTHING
    text = re.split(r"[,:;()]", text, maxsplit=1)[0]
    for word in words(text)[:8]:
        if word in _AFTER_NOUNS:
            break
        if word == "of":
            others = text.partition(" of ")[2]
            return _number_of(others) if "count" in found else found | _noun_kinds(others)
        if not (found and word in _VAGUE_NOUNS):
            found = KINDS.get(word, found)
    return found
