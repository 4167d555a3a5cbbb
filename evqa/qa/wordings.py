"""Which words and ways to ask mean the same in questions on a technical domain, and which do not.

Ways to ask are general English and stand here; phrases, synonyms and opposites are data
(``data/benchmark/wordings.json``, with the vocabulary of the shipped domain in it). Another domain
only loses some recall when its own synonyms are not there.
"""

import re

from evqa.config import data_dir
from evqa.files import read_json

# What is asked for → how that is asked.
_ASKED = {
    "current": r"\b(?:what (?:is|was) the (?:\w+ ){0,3}?current\b|how (?:much|many|strong) (?:a )?(?:current|amp|ampere|milliamp)|(?:what|which) (?:\w+ )?"
    r"(?:current|amperage|fuse|breaker)|how many (?:amps|amperes|ma|a)\b|at (?:what|which|how many) "
    r"(?:current|amps|amperes|ma)|amperage|breaker (?:size|rating)|(?:size|rating) of (?:circuit )?breaker)",
    "power": r"\b(?:how much (?:\w+ ){0,3}?power|(?:what|which) (?:\w+ ){0,3}?power|how many "
    r"(?:kw|kilowatts?|watts?|mw|kva)\b|how (?:fast|quick|strong|powerful)|power (?:level|rating)|"
    r"(?:what|which) (?:\w+ )?(?:rating|wattage|output)|to (?:what|which) power)",
    "energy": r"\b(?:how much (?:\w+ ){0,2}?energy|how many (?:kwh|kilowatt[- ]hours?)|"
    r"(?:what|which) (?:\w+ ){0,3}?energy|how much electricity)",
    "voltage": r"\b(?:what (?:is|was) the (?:\w+ ){0,3}?voltage|how many volts|(?:what|which) (?:\w+ ){0,2}?voltage|voltage of|how much voltage)",
    "duration": r"\b(?:how long (?:does|do|is|will|would|must|can|may|did|should|have|has|it)|how many "
    r"(?:minutes|hours|seconds|months|days|weeks|years)|(?:what|which) (?:\w+ )?(?:time|duration|"
    r"wait|delay)|how much time|for how long|time (?:needed|required|limit)|in what time)",
    "price": r"\b(?:how much (?:money|does .{1,80} (?:cost|charge|pay)|do .{1,80} (?:cost|pay|charge)|"
    r"(?:is|are) the .{0,40}(?:price|fee|cost|charge)|must .{1,60} pay|will .{1,60} (?:cost|pay)|would)|"
    r"(?:what|which) (?:\w+ ){0,4}?(?:price|fee|tariff|cost|rate|charge)s?\b|what (?:does|do|did|will|"
    r"would|must) .{1,80}\b(?:cost|pay|charge)s?\b|price of|how many (?:cents|pence|euros|dollars|pounds)|"
    r"how expensive|what is charged)",
    "date": r"(?:^(?:when|since when)\b|\b(?:since (?:what|which)|(?:in|on|from|by) (?:what|which) (?:year|date|day|"
    r"month)|what (?:year|date)|which (?:year|date)|how old|from which date)\b)",
    "place": r"\b(?:where|in (?:what|which) (?:country|place|city|document))\b",
    "person": r"\b(?:who|whom|whose|(?:what|which) (?:\w+ )?(?:company|carmaker|manufacturer|maker|"
    r"firm|party|authority|operator))\b",
    "reason": r"\b(?:why|for what reason|what (?:is|was) the (?:reason|purpose)|how come)\b",
    "share": r"\b(?:share of|percentage of|at what rate of|(?:what|which) (?:\w+ )?(?:share|percentage|proportion|fraction|per ?cent|part|uptime|"
    r"efficienc(?:y|ies)|vat|soc|state of charge)|how many (?:percent|per cent)|how (?:reliable|"
    r"efficient))",
    "distance": r"\b(?:how (?:far|high|deep|wide|tall)|how many (?:km|kilometres|miles|metres|"
    r"inches|mm|nautical)|(?:what|which) (?:\w+ )?(?:distance|height|range|depth|interval|spacing)|"
    r"how much (?:cable|range)|between (?:what|which) heights)",
    "temperature": r"\b(?:how (?:warm|hot|cold)|(?:what|which) (?:\w+ )?temperature)",
    "frequency": r"\b(?:(?:what|which) (?:\w+ ){0,2}?frequency|how many (?:khz|hz|hertz|kilohertz))",
    "standard": r"\b(?:(?:what|which|under which|by which|as which) (?:\w+ ){0,3}?\b(?:standards?\b|norm|"
    r"regulation|number(?! of)|specification|qualification|certificate|document))",
    "size": r"\b(?:(?:what|which|with what|with which) (?:\w+ ){0,3}?(?:size|cross-section|gauge|diameter|"
    r"thickness)|how thick|how large|how big)",
    "resistance": r"\b(?:(?:what|which) (?:\w+ ){0,2}?(?:resistor|resistance)|how many ohms)",
    "count": r"\b(?:how many (?!kw|kilowatt|watts?\b|mw\b|kva|amp|milliamp|ma\b|a\b|kwh|volts|minutes|hours|seconds|"
    r"months|days|weeks|years|cents|pence|euros|dollars|pounds|percent|per cent|km\b|kilomet|miles|"
    r"metres|inches|mm\b|nautical|khz|hz|hertz|ohms)|what (?:is the )?(?:number|count|total) of|"
    r"how large a number)",
    "definition": r"\b(?:stands? for|short for|abbreviat|acronym|what (?:is|are) (?:a |an |the )?"
    r"[\w/&-]+(?: [\w/&-]+)?\?|define|definition|meant by|what does .{1,50} mean\b)",
    "often": r"\b(?:how (?:often|frequently))\b",
}
ASKED = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _ASKED.items()}

_FILE = data_dir() / "benchmark" / "wordings.json"
_DATA = read_json(_FILE)

# Ways to say one thing in several words, brought to one spelling before words are compared.
_NUMBERED = re.compile(
    r"\b(?:level|mode|type|case|class|range|state|part) (?=[A-Z0-9]\b|\d)", re.IGNORECASE
)
PHRASES = (
    (_NUMBERED, lambda match: match[0].rstrip()),
    *((re.compile(pattern, re.IGNORECASE), value) for pattern, value in _DATA["phrases"]),
)


def _synonyms(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        head, *others = line.split()
        for word in (head, *others):
            found.setdefault(word, head)
    return found


# One line of the file, one meaning: the first word stands for the rest.
SYNONYMS = _synonyms(_DATA["synonyms"])

# Words of one line exclude each other: questions that differ in them ask different things.
OPPOSITES = tuple(frozenset(line.split()) for line in _DATA["opposites"])

# Words that turn a question when only one of two has them.
MARKED = frozenset(_DATA["marked"])

# Words that say little of what is asked: questions may differ in them on both sides.
_LIGHT_TEXT = """
before without after other beside adopt since date
deliver draw limited needed contain allow reach run equal remain notify mounted begin end used use
become go come bring add stand belong carry keep offer find hold receive obtain expect describe
house include cover comprise known work function set put pass away back again still already then
them each both together kept case time part place side year day month hour amount rate level while
ahead colder below under given give large high low long certain own new main whole entire full
first last same different single double normal nominal real actual possible average least most
usual fill size number figure kind type power price share duration distance current voltage energy
date year cost minute quote state serve open opened take taken buy sell be only more less than
maximum minimum drive driv lead show say ask tell call name per connect connected across along
within inside toward between among around near public electric sort store
"""
LIGHT = frozenset(_LIGHT_TEXT.split())
