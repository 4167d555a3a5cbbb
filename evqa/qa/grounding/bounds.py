"""What stands around a quantity: at least, up to, about, before; and per what it counts."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from evqa.qa.grounding.amounts import amounts, same_amounts
from evqa.qa.quantities import Mention, Quantity
from evqa.qa.wordings import COUNTED_BY

AT_LEAST, AT_MOST, ABOUT, EXACTLY, PLAIN = ">", "<", "~", "=", ""
_UP = (
    "more|greater|higher|longer|larger|bigger|faster|deeper|newer|heavier|further|later|warmer|"
    "hotter|taller|wider|thicker|broader|farther|stronger|quicker"
)
_DOWN = (
    "less|fewer|lower|shorter|smaller|slower|shallower|lighter|nearer|earlier|sooner|"
    "cheaper|colder|cooler|narrower|thinner|weaker"
)
_NOT = r"(?:\b(?:no|not|never|neither|nor|seldom|rarely|hardly|cannot|without)|n['’]t)\b(?: \w+)?"
# What ends right before a number → its direction; "not" before it turns it round.
_BEFORE = (
    (AT_LEAST, rf"\b(?:{_UP}) than"),
    (AT_MOST, rf"\b(?:{_DOWN}) than"),
    (AT_LEAST, r"\b(?:at least|a minimum of|minimum(?: of)?|in excess of|upwards? of|"
               r"as little as)"),
    (AT_MOST, r"\b(?:at (?:the )?most|up to|a maximum of|max(?:imum|\.)?(?: of)?|"
              r"as (?:much|many|long|high|far|large|fast) as|"
              r"(?:capped|limited|restricted|confined) (?:at|to))"),
    (AT_LEAST, r"\b(?:exceed(?:s|ed|ing)?|surpass(?:es|ed)?|above|over|beyond)"),
    (AT_MOST, r"\b(?:below|under|beneath|within)"),
    (AT_MOST, r"\b(?:before|until|till|prior to|by)"),
    (AT_LEAST, r"\b(?:after|since|as of|as from|from|once)"),
    (EXACTLY, r"\b(?:exactly|precisely)"),
    (ABOUT, r"(?:\b(?:about|around|roughly|approximately|some|nearly|almost|circa|close to)|~)"),
)  # fmt: skip
_FILL = (
    r"(?: (?:a|an|the|every|each|about|around|of|its|their|some|only|just|"
    r"the (?:age|end|start|beginning) of|early|late|mid))*"
)
_TRIGGER = re.compile(
    rf"\b(?:{_UP}|{_DOWN}|least|most|min|max|minimum|maximum|excess|upwards?|little|up|as|capped|"
    r"limited|restricted|confined|exceed\w*|surpass\w*|above|over|beyond|below|under|beneath|within|"
    r"before|until|till|prior|by|after|since|from|once|exactly|precisely|about|around|roughly|"
    r"approximately|some|nearly|almost|circa|close)\b|~",
    re.IGNORECASE,
)
_PATTERNS = tuple(
    (sign, re.compile(rf"(?P<not>{_NOT} )?(?P<sign>{pattern}){_FILL} ?$", re.IGNORECASE))
    for sign, pattern in _BEFORE
)
_AFTER = (
    (
        AT_LEAST,
        re.compile(
            rf"\s*(?:,? ?or (?:{_UP}|above|over|beyond|later)|(?:and|,) (?:above|over|more|up)"
            r"(?! than)|at least|(?:at )?(?:a |the )?minimum\b|onwards?|\+)",
            re.IGNORECASE,
        ),
    ),
    (
        AT_MOST,
        re.compile(
            rf"\s*(?:,? ?or (?:{_DOWN}|below|under)|(?:and|,) (?:below|under|less)(?! than)|"
            r"at (?:the )?(?:most|latest)|(?:at )?(?:a |the )?maximum\b)",
            re.IGNORECASE,
        ),
    ),
)
# These say where a span of time or place ends as well as how much: alone they bind nothing.
_WEAK = re.compile(
    r"^(?:over|within|by|before|after|since|from|once|until|till|under|above|below|as)\b", re.I
)
_RANGE = re.compile(r"\s*(?:to|until|till|and|-|–|—)\s*(?:about |around )?[€$£]?\d", re.IGNORECASE)
_FLIPPED = {AT_LEAST: AT_MOST, AT_MOST: AT_LEAST}
LOOK_BACK = 48
LOOK_AHEAD = 32
_PER = re.compile(
    r"(?:\s*/\s*|\s+(?:[a-z]+s |of \w+ )?"
    r"(?:per|for (?:each|every)|each|every|an?|in every)\s+(?:single |charging |charge )?)"
    r"(?P<per>[A-Za-z]+(?:-hours?)?)",
    re.IGNORECASE,
)
_SAME_PERIOD = {
    "kilowatt-hour": "kwh", "kilometre": "km", "kilometer": "km", "mi": "mile", "meter": "metre",
    "car": "vehicle",
}  # fmt: skip
_ADVERB = re.compile(
    r"\s+(?P<per>hourly|daily|nightly|weekly|monthly|quarterly|yearly|annually)\b", re.I
)
_OF_ADVERB = {
    "hourly": "hour", "daily": "day", "nightly": "night", "weekly": "week", "monthly": "month",
    "quarterly": "quarter", "yearly": "year", "annually": "year",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bounded:
    """A quantity where it stands, with its bound and its rate.

    Attributes:
        mention: The quantity and its place.
        bound: At least, at most, about, exactly; empty for none.
        is_weak: Whether the bound may be one of time or place only: "within", "after".
        per: What the quantity is counted by (hour, kwh); empty when not said.
        start: Where its bound begins, or itself.
        end: Where its bound ends, or itself.
    """

    mention: Mention
    bound: str
    is_weak: bool
    per: str
    start: int
    end: int

    @property
    def quantity(self) -> Quantity:
        """The number and unit."""
        return self.mention.quantity


def bounded(text: str) -> tuple[Bounded, ...]:
    """Return the quantities of a text in order, each with what binds it."""
    return tuple(_bounded(text, mention) for mention in amounts(text))


def _bounded(text: str, mention: Mention) -> Bounded:
    # "£195 a year": the article is no ampere.
    is_article = text[mention.start : mention.end].endswith(" a")
    end = mention.end - 2 * is_article
    per = _per(text[end : end + LOOK_AHEAD])
    for sign, pattern in _AFTER:
        match = pattern.match(text[mention.end : mention.end + LOOK_AHEAD])
        if match and not _RANGE.match(text[mention.end :]):
            return Bounded(mention, sign, False, per, mention.start, mention.end + match.end())
    begins = max(0, mention.start - LOOK_BACK)
    before = text[begins : mention.start]
    for sign, pattern in _PATTERNS if _TRIGGER.search(before) else ():
        match = pattern.search(before)
        if match and _binds(match["sign"].lower(), mention, text[mention.end :]):
            turned = _FLIPPED.get(sign, sign) if match["not"] else sign
            is_weak = bool(_WEAK.match(match["sign"])) and not match["not"]
            is_weak = is_weak and not match["sign"].lower().startswith("as ")
            return Bounded(mention, turned, is_weak, per, begins + match.start(), mention.end)
    return Bounded(mention, PLAIN, False, per, mention.start, mention.end)


def _binds(sign: str, mention: Mention, after: str) -> bool:
    """Tell whether a word binds the number after it: not "from 4 to 9", not "up by 27 %"."""
    if sign == "by":
        return not mention.quantity.unit
    return sign != "from" or not _RANGE.match(after)


def _per(after: str) -> str:
    adverb = _ADVERB.match(after)
    if adverb:
        return _OF_ADVERB[adverb["per"].lower()]
    match = _PER.match(after)
    if not match:
        return ""
    word = match["per"].lower()
    word = word if word in COUNTED_BY else word.removesuffix("s")
    return _SAME_PERIOD.get(word, word) if word in COUNTED_BY else ""


def clash(ours: Iterable[Bounded], theirs: Iterable[Bounded], asked: str) -> str | None:
    """Return how an answer bounds or rates a quantity otherwise than its source; null if not.

    Args:
        ours: The quantities of the answer.
        theirs: Those of the source.
        asked: The question; what it presupposes is no mistake of the answer.
    """
    theirs = tuple(theirs)
    for one in ours:
        same = [other for other in theirs if same_amounts(one.quantity, other.quantity)]
        found = same and (_other_bound(one, same, asked) or _other_rate(one, same))
        if found:
            return found
    return None


def _other_bound(one: Bounded, same: list[Bounded], asked: str) -> str | None:
    if not one.bound or any(one.bound == other.bound for other in same):
        return None
    opposite = _FLIPPED.get(one.bound)
    if any(other.bound == opposite for other in same if opposite):
        return f"{_NAMES[one.bound]} where the quote says {_NAMES[opposite or '']}"
    is_new = one.bound in (AT_LEAST, AT_MOST) and not one.is_weak
    if (is_new or one.bound == EXACTLY) and not _NAMED[one.bound].search(asked):
        return f"{_NAMES[one.bound]}, which the quote does not say"
    return None


def _other_rate(one: Bounded, same: list[Bounded]) -> str | None:
    rates = {other.per for other in same if other.per}
    if one.per and rates and one.per not in rates:
        return f"per {one.per} where the quote says per {min(rates)}"
    return None


_NAMES = {AT_LEAST: "at least", AT_MOST: "at most", ABOUT: "about", EXACTLY: "exactly", "": ""}
_NAMED = {
    AT_LEAST: re.compile(rf"\b(?:at least|minimum|least|lowest|{_UP}|above|over|exceed)", re.I),
    AT_MOST: re.compile(
        rf"\b(?:at most|maximum|most|up to|highest|limit|cap|{_DOWN}|below|under|within|how far|"
        r"peak|top|largest|greatest|rated|rating)",
        re.IGNORECASE,
    ),
    EXACTLY: re.compile(r"\bexactly\b", re.IGNORECASE),
}
