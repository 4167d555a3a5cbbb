"""One spelling for what is written in several ways: can't, United Kingdom, kilowatt-hour."""

import re

_ANY_CASE: tuple[tuple[str, str], ...] = (
    (r"\bcan['’]t\b", "can not"),
    (r"\bwon['’]t\b", "will not"),
    (r"(?<=[a-z])['’](?:re|ve|ll|d|m)\b", ""),
    (r"(?<=[a-z])n['’]t\b", " not"),
    (r"\bcannot\b", "can not"),
    (r"\bat no (?:extra |additional )?(?:cost|charge)\b", "for free"),
    (r"\bout of (?:order|service|action)\b", "broken"),
    (r"\b(?:kilowatt-hours?|kWh)\b", "kWh"),
    # Asides stand between a subject and its verb and belong to neither.
    (
        r", (?:by contrast|on the other hand|however|in turn|therefore|meanwhile|of course|"
        r"for (?:example|instance)|in contrast|moreover|too|in addition|instead),",
        "",
    ),
    (r"\bwith no\b", "without"),
)
_AS_WRITTEN: tuple[tuple[str, str], ...] = (
    # The month, not the verb.
    (r"(?<=\d )May\b|\bMay(?= \d)|(?<=\b(?:in|by|of) )May\b|(?<=\bsince )May\b", "Maytime"),
    (r"\b(?:United Kingdom|Great Britain|UK|U\.K\.|British)(?=\W|$)", "Britain"),
    (r"\b(?:United States(?: of America)?|U\.S\.(?:A\.)?|USA|US|American)(?=\W|$)", "America"),
    (r"\b(?:European Union|EU)\b", "Europe"),
)
_RULES = tuple(
    [(re.compile(pattern, re.IGNORECASE), spelling) for pattern, spelling in _ANY_CASE]
    + [(re.compile(pattern), spelling) for pattern, spelling in _AS_WRITTEN]
)


def respelled(text: str) -> str:
    """Return a text in the spelling that validation compares."""
    for pattern, spelling in _RULES:
        text = pattern.sub(spelling, text)
    return text
