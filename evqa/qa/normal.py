"""One spelling of questions and answers, for comparing them."""

import re

_KEPT = re.compile(r"\d+(?:[.,]\d+)*|\w+|[%€$£]")
_SUFFIXES = (("ies", "y"), ("sses", "ss"), ("s", ""), ("ing", ""), ("ed", ""))
_STOP_WORDS_TEXT = """
a an the of to in on at for by with and or is are was were be been do does did has have had it
its this that which what who when where how why can could will would should may might must you
your i my we our there as from than
"""
STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


def words(text: str) -> list[str]:
    """Return the lower-case words and numbers of a text; units stand apart from numbers."""
    apart = re.sub(r"(\d)([A-Za-z%])", r"\1 \2", text.lower())
    return [word.replace(",", "") if word[0].isdigit() else word for word in _KEPT.findall(apart)]


def normalised(text: str) -> str:
    """Return a text as its words, one space between: equal for spellings that mean the same."""
    return " ".join(words(text))


def stem(word: str) -> str:
    """Return a word without its commonest endings; numbers and short words stay."""
    if len(word) <= 4 or word[0].isdigit():
        return word[:-1] if len(word) == 4 and word.endswith("s") else word
    for suffix, replacement in _SUFFIXES:
        if word.endswith(suffix) and not word.endswith(("ss", "us")):
            return word[: -len(suffix)] + replacement
    return word


def content_words(text: str) -> list[str]:
    """Return the stems of a text's words that are not stop words."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]
