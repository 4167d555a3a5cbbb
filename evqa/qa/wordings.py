"""Which words mean the same in questions, which say little, and which exclude each other: data.

``data/benchmark/wordings.json`` holds general English with the vocabulary of the shipped domain in
it. Another domain only loses some recall when its own synonyms are not there.
"""

import re
from collections import defaultdict
from functools import cache

from evqa.config import data_dir
from evqa.files import read_json
from evqa.qa.normal import stem

_FILE = data_dir() / "benchmark" / "wordings.json"
_DATA = read_json(_FILE)

Phrases = tuple[tuple[re.Pattern[str], str], ...]


def _phrases(rows: list[list[str]]) -> Phrases:
    return tuple((re.compile(pattern, re.IGNORECASE), spelling) for pattern, spelling in rows)


# "Level 2" and "Type B" are names, and so is "three-phase": joined before figures are read.
_NUMBERED = r"\b(level|mode|type|case|class|range|state|part) (?=[A-Z0-9]\b|\d)"
JOINED = (*_phrases([[_NUMBERED, r"\1"]]), *_phrases(_DATA["joined"]))
# Ways to say one thing in several words, brought to one spelling before words are compared.
PHRASES = _phrases(_DATA["phrases"])


@cache
def root(word: str) -> str:
    """Return a word without its endings: swapping, swaps and swap; adoption and adopted."""
    found = stem(word)
    if len(found) > 8:
        found = re.sub(r"(?:ations?|ions?)$", "", found)
    found = re.sub(r"([bdgmnpt])\1$", r"\1", found)
    return re.sub(r"i$", "y", found).removesuffix("e") if len(found) > 3 else found


def _lines(lines: list[str]) -> dict[str, tuple[str, ...]]:
    """Return each word with the first words of its lines: what it may stand for."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        head, *others = line.split()
        for word in (head, *others):
            for spelled in {word, root(word)}:
                if head not in found[spelled]:
                    found[spelled].append(head)
    return {word: tuple(heads) for word, heads in found.items()}


_SENSES = _lines(_DATA["synonyms"])


@cache
def senses(word: str) -> tuple[str, ...]:
    """Return what a word may stand for, the likeliest first: its root when no line has it."""
    return _SENSES.get(word) or _SENSES.get(root(word)) or (root(word),)


# Words of one line exclude each other: questions that differ in them ask different things.
OPPOSITES = tuple(
    frozenset(senses(root(word))[0] for word in line.split()) for line in _DATA["opposites"]
)
# Words that exclude each other when they stand in the same place of two sentences.
TURNED = tuple(frozenset(line.split()) for line in _DATA["turned"])
# Words that turn a question when only one of two has them.
MARKED = frozenset(senses(root(word))[0] for word in _DATA["marked"])
# Words of asking, which say nothing of what is asked.
ASKING = frozenset(_DATA["asking"].split())
# Words that say little of it.
_COMMON_WORDS = frozenset(word for line in _DATA["common"] for word in line.split())
COMMON = _COMMON_WORDS | frozenset(map(root, _COMMON_WORDS))
# Those of them that name no thing: to have another of them in some place means nothing.
_THINGS = frozenset(_DATA["things"].split())
GENERAL = COMMON - _THINGS - frozenset(map(root, _THINGS))

# A noun, unit or adjective of a question → the kinds of things that it asks for.
KINDS: dict[str, frozenset[str]] = {
    word: frozenset(kind for kind, line in _DATA["kinds"].items() if word in line.split())
    for line in _DATA["kinds"].values()
    for word in line.split()
}
# A unit that is asked for ("how many kW") → its kind.
ASKED_UNITS = {word: KINDS[word] for word in _DATA["units"].split()}
# "The driver" is any driver, "the grid" the only one; "the box" is one that was spoken of before.
KNOWN_THINGS = frozenset(_DATA["known"].split())
UNIQUE_THINGS = frozenset(_DATA["unique"].split())
# What a price or a rate may be counted by: per hour, per session.
COUNTED_BY = frozenset(_DATA["counted_by"].split())
