"""Whether a question says what it is about: a stranger knows no "the initiative", no "sales"."""

import re

from evqa.qa.wordings import UNIQUE_THINGS

_WORD = r"(?!(?:of|in|for|to|that|which|who|with|between|from|on|at|by|as|than)\b)[a-z][a-z-]*"
_DEFINITE = re.compile(
    rf"\bthe (?P<things>(?:{_WORD} ){{0,3}}?{_WORD})"
    r"(?=\?|,| (?:is|are|was|were|be|been|by|with|from|on|at|and|or|as|when|if|can|may|must|will|"
    r"should|would|could|has|have|do|does|did|during|after|before|via|using|without|under|until|"
    r"once|unless|while|into|over|against|[A-Z]\S*)\b)"
)
_UNITS = frozenset({"TWh", "GWh", "MWh", "kWh", "GW", "MW", "USD", "EUR", "CNY", "GBP", "CO2"})
_NAME = re.compile(
    r"(?<=[\s(“‘'/-])(?:[A-Za-z]*[A-Z]{2,}[\w.-]*|[A-Z][a-z]{2,}[\w.-]*|\w+[._]\w+)"
)


def has_vague_thing(question: str) -> bool:
    """Tell whether a question names "the initiative": one that was spoken of, and no other."""
    for match in _DEFINITE.finditer(question):
        words = match["things"].split()
        if UNIQUE_THINGS.isdisjoint(words) and words[-1].removesuffix("s") not in UNIQUE_THINGS:
            return True
    return False


def is_anchored(question: str) -> bool:
    """Tell whether a question has a name in it, of a country, a law, a product, a message."""
    return any(match[0].strip(".?") not in _UNITS for match in _NAME.finditer(question))
