"""Questions for a number: how much power, how long, how many pins, what share, when."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evqa.qa.offline.clauses import Clause
from evqa.qa.quantities import Mention, mentions

# Unit → the ways to ask for an amount of it, before "does S deliver".
ASKS = {
    "kw": ("How much power", "How many kilowatts"),
    "mw": ("How much power",),
    "w": ("How much power", "How many watts"),
    "kwh": ("How much energy", "How many kilowatt-hours"),
    "mwh": ("How much energy",),
    "a": ("How much current", "How many amps"),
    "ma": ("How much current", "How many milliamperes"),
    "v": ("How many volts", "What voltage"),
    "km": ("How many kilometres",),
    "mile": ("How many miles",),
    "m": ("How many metres",),
    "min": ("How many minutes",),
    "s": ("How many seconds",),
    "h": ("How many hours",),
    "day": ("How many days",),
    "week": ("How many weeks",),
    "month": ("How many months",),
    "year": ("How many years",),
    "mm2": ("What cross-section",),
    "mm": ("How many millimetres",),
    "c": ("What temperature",),
    "kva": ("How many kVA",),
    "khz": ("What frequency",),
    "hz": ("What frequency",),
    "ohm": ("What resistance", "How many ohms"),
}
TIME_UNITS = frozenset({"s", "min", "h", "day", "week", "month", "year"})
MONEY_UNITS = frozenset({"eur", "usd", "gbp", "cent", "pence"})
_PAYING = frozenset({"cost", "pay", "charge", "save", "receive", "earn", "need", "give"})
_ATTRIBUTIVE = re.compile(
    r"\s+(?!(?:at|on|per|for|in|of|to|from|with|by|an?|each|every|during|after|before|and|or|as|than|"
    r"when|under|over|between|within|more|less|because|into|through|out|up|if|once|while|so)\b)[A-Za-z]"
)
_TIME_VERBS = frozenset({"take", "last", "need"})
_HEDGE = (
    r"(?:about|around|roughly|approximately|up to|at least|at most|only|over|under|more than|"
    r"less than|fewer than|no more than|no less than|nearly|almost|just|just over|just under|"
    r"between|from|a total of|a maximum of|a minimum of|exactly|some|another|as much as|"
    r"as many as|"
    r"a good|well over|not more than|a mere)"
)
BEFORE_NUMBER = re.compile(rf"(?:{_HEDGE}\s+)*$", re.IGNORECASE)
# Where the part of a clause that belongs into the question ends.
BOUNDARY = re.compile(
    r"\s*(?:,(?!\d)|[;:()]|\s(?:because|since|so that|so|which|whatever|while|whereas|"
    r"although|though|if|"
    r"when|unless|until|and|but|or|including|plus|instead|not|rather|hence|even|as long|than|then|"
    r"without|before|after)\b).*$",
    re.IGNORECASE | re.DOTALL,
)
_RANGE = re.compile(r"\s*(?:to|and|or|-|–)\s*")
_COUNTED = re.compile(
    r"\s*(?P<noun>(?:[A-Za-z][\w-]+ ){0,2}?[a-z][\w-]*(?<!s)s)\b(?! (?:a|the) )(?P<after>.*)$"
)
_OF = re.compile(
    r"\s+of (?P<whole>(?:the |all |new |its )?[\w-]+(?: [\w-]+){0,3}?)"
    r"(?P<after>(?: (?:in|at|by|per|on|from|for|between|were|are)\b.*)?)$"
)
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(
    r"\b(?:in|on|since|from) (?:(?:early|late|the (?:start|end) of) )?"
    rf"(?P<date>(?:\d{{1,2}} )?(?:{_MONTHS})?,? ?(?:19|20)\d\d)\b"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """The quantity right after the verb, and what follows it inside the clause."""

    mention: Mention
    after: str


def tail(text: str) -> str:
    """Return the part of a clause's rest that a question can carry."""
    kept = BOUNDARY.sub("", text)
    if re.search(r"\bbetween \S+(?: \S+){0,3}$", kept):  # "between the meter and the battery"
        following = re.match(r" and \S+(?: [a-z-]+){0,2}", text[len(kept) :])
        kept = kept + following[0] if following else kept[: kept.rindex("between")]
    kept = re.sub(r"(?: (?:from|to|by|at|up|down|of))?(?: (?:more|less|fewer|as))+$", "", kept)
    kept = re.sub(r"(?:^| )(?:with|from|of|for|than)$", "", kept)
    return kept.strip(" .")


def trailing(text: str) -> str:
    """Return what follows an amount and tells when or where; none of the thing that is counted."""
    return (
        tail(text) if re.match(r"\s*(?:in|at|on|by|from|to|for|per|during|under)\b", text) else ""
    )


def amount_of(clause: Clause) -> Amount | None:
    """Return the amount that the clause states right after its verb."""
    found = mentions(clause.rest)
    if not found or not BEFORE_NUMBER.fullmatch(clause.rest[: found[0].start]):
        return None
    first = found[0]
    end = first.end
    if len(found) > 1 and _RANGE.fullmatch(clause.rest[end : found[1].start]):
        first, end = found[1], found[1].end
    after = clause.rest[end:]
    # "28 000": thousands apart, which are half a number here; "310 GW": a unit of no question.
    is_odd = re.match(r"\s*\d|\s[A-Z][A-Za-z]{0,2}h?\b(?! [A-Z])|\smb/d", after)
    return None if is_odd and not first.quantity.unit else Amount(first, after)


def numeric_questions(clause: Clause) -> Iterator[str]:
    """Yield the ways to ask for the amount that a clause states."""
    amount = amount_of(clause)
    if amount is not None and clause.verb:
        yield from _of_verb(clause, amount)
    elif amount is not None:
        yield from _of_being(clause, amount)
    if clause.is_past:
        yield from _when(clause, "When")
    elif clause.auxiliary in ("has", "have") and " since " in clause.rest:
        yield from _when(clause, "Since when")


def _of_verb(clause: Clause, amount: Amount) -> Iterator[str]:
    unit = amount.mention.quantity.unit
    if " " in clause.verb:
        # "reduces from 85% of chargers to 70%": the amount has a tail that no question can carry.
        if not unit and _COUNTED.match(amount.after):
            yield from _counted(clause, amount)
        elif trailing(amount.after) == tail(amount.after) and not clause.verb.endswith(" from"):
            yield _ask("What", clause, amount.after)
    elif unit == "%":
        if match := _OF.match(BOUNDARY.sub("", amount.after)):
            yield _ask(f"What percentage of {match['whole']}", clause, match["after"])
    elif unit in MONEY_UNITS:
        if clause.verb in _PAYING:
            yield _ask("How much", clause, amount.after)
    elif not unit:
        yield from _counted(clause, amount)
    else:
        yield from _measured(clause, amount)


def _measured(clause: Clause, amount: Amount) -> Iterator[str]:
    unit = amount.mention.quantity.unit
    if _ATTRIBUTIVE.match(amount.after):  # "400 kW chargers": chargers are asked for, no power
        return
    if unit in TIME_UNITS and clause.verb in _TIME_VERBS:
        yield _ask("How long", clause, amount.after)
        yield _ask(ASKS[unit][0], clause, amount.after)
    elif unit in ASKS:
        for ask in ASKS[unit]:
            yield _ask(*_with_measured(ask, amount.after, clause))


def _with_measured(ask: str, after: str, clause: Clause) -> tuple[str, Clause, str]:
    """Take "of range" after "41 km" into "How many kilometres of range"."""
    match = re.match(
        r"\s+of (?P<what>[a-z]+(?: [a-z]+){0,2}?)\b(?P<after>(?: (?:for|per|in|at|to|from|"
        r"on|every|by)\b.*)?)$",
        BOUNDARY.sub("", after),
    )
    if match is None:
        return ask, clause, re.sub(r"^\s+of \S+", "", after)
    if ask.startswith("How many"):
        return f"{ask} of {match['what']}", clause, match["after"]
    return f"How much {match['what']}", clause, match["after"]


def _counted(clause: Clause, amount: Amount) -> Iterator[str]:
    match = _COUNTED.match(amount.after)
    if match is None or not amount.after.startswith(" "):
        return
    noun, after = match["noun"].strip(), match["after"]
    if of := re.match(r" of [a-z-]+(?= (?:in|at|on|for|to|with)\b|,|$)", after):
        noun, after = f"{noun}{of[0]}", after[of.end() :]
    yield _ask(f"How many {noun}", clause, after)


def _ask(start: str, clause: Clause, after: str) -> str:
    return question(
        f"{start} {clause.auxiliary} {clause.subject} {clause.verb}", tail(after), clause
    )


# Specifications shout their modal verbs.
_REQUIREMENT = re.compile(r"\b(?:MUST|SHALL|SHOULD|MAY|CAN|NOT|AND|OR|REQUIRED|RECOMMENDED)\b")


def question(start: str, after: str, clause: Clause) -> str:
    """Return a question from its parts; what led the clause ends the question."""
    parts = [start, after, clause.lead]
    text = " ".join(" ".join(part for part in parts if part).split()) + "?"
    return _REQUIREMENT.sub(lambda match: match[0].lower().replace("shall", "must"), text)


_MEASURES_TEXT = """
voltage current power capacity limit price cost fee tariff efficiency rating size length height
width distance weight frequency resistance temperature share rate maximum minimum range
duration consumption energy number drop speed interval radius depth duty cycle vat uptime
target average floor ceiling cap charge target value time wait term error
"""
_MEASURES = _MEASURES_TEXT.split()


def _of_being(clause: Clause, amount: Amount) -> Iterator[str]:
    head = re.split(r" (?:of|in|on|for|at|from|to|between|under|with) ", clause.subject)[0]
    last = head.split()[-1].lower().removesuffix("s")
    is_measure = last in _MEASURES
    unit = amount.mention.quantity.unit
    if is_measure:
        after = trailing(amount.after)
        yield question(f"What {clause.auxiliary} {clause.subject}", after, clause)
        if unit:
            yield question(f"How high {clause.auxiliary} {clause.subject}", after, clause)
    else:
        match = re.match(
            r" (?P<how>long|deep|high|wide|thick|old|tall)\b(?P<after>.*)$", amount.after
        )
        if match:
            start = f"How {match['how']} {clause.auxiliary} {clause.subject}"
            yield question(start, tail(match["after"]), clause)


def _when(clause: Clause, ask: str) -> Iterator[str]:
    match = _DATE.search(clause.rest)
    if match is None or amount_of(clause) is not None:
        return
    before = clause.rest[: match.start()].strip(" ,")
    if len(before.split()) > 12 or BOUNDARY.search(f"{before} "):
        return
    verb = f" {clause.verb}" if clause.verb else ""
    if before.endswith((" as", " from", " to", " than")):
        return
    if not clause.verb and re.match(r"(?:the|an?) ", before):  # "… was the car sold in 2010"
        return
    if clause.verb or before:
        start = f"{ask} {clause.auxiliary} {clause.subject}{verb} {before}"
        yield question(start, "", clause)
