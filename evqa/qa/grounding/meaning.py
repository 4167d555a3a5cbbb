"""What a word stands for: its base form, what means the same, and what excludes it."""

import re
from functools import lru_cache

from evqa.qa.grammar import BASES as _BASES
from evqa.qa.grammar import PAST as _PAST
from evqa.qa.grammar import THIRD as _THIRD
from evqa.qa.grammar import regular_past, third_person
from evqa.qa.grounding.thesaurus import word_lines, word_list

BASES = _BASES | frozenset(word_list("verbs")) | frozenset(_PAST.values())
THIRD = {third_person(base): base for base in BASES if len(base) > 1} | _THIRD
PAST = {regular_past(base): base for base in BASES if len(base) > 1} | _PAST
_IRREGULAR = {
    form: base for base, *forms in map(str.split, word_lines("irregular")) for form in forms
}
_ADJECTIVES = frozenset(word_list("adjectives"))
_SUFFIXES = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", ""))
_KEEP_S = ("ss", "us", "is", "ous")
MIN_FAMILY = 5
_PREFIXES = ("un", "non", "dis", "in", "im", "ir", "il", "mis", "de")
MIN_REST = {"un": 4, "non": 4, "dis": 4}
MIN_REST_ELSE = 6
# What begins like an opposite and is none.
_NO_OPPOSITE = frozenset(
    {"indicate", "install", "improve", "import", "inform", "intend", "invest"}
)


@lru_cache(maxsize=20_000)
def base(word: str) -> str:
    """Return the base form of a lower-case word: charged, charging and charges are charge."""
    known = word if word in BASES else THIRD.get(word) or PAST.get(word)
    if found := _IRREGULAR.get(word) or known:
        return found
    if word.endswith(("er", "est")) and (positive := _positive(word)):
        return positive
    if word.endswith("ly") and len(word) > 5:
        return base(_without_ly(word))
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return _without_ending(word[: -len(ending)])
    return _singular(word)


def _singular(word: str) -> str:
    if len(word) <= 3 or word.endswith(_KEEP_S):
        return word
    for suffix, replacement in _SUFFIXES:
        if word.endswith(suffix):
            return word[: -len(suffix)] + replacement
    return word


def _positive(word: str) -> str:
    """Return the adjective that a comparative or superlative is made of, empty for none."""
    rest = word.removesuffix("est") if word.endswith("est") else word.removesuffix("er")
    doubled = rest[:-1] if rest[-1:] == rest[-2:-1] else rest
    for found in (rest, f"{rest}e", doubled, f"{rest[:-1]}y"):
        if found in _ADJECTIVES:
            return found
    return ""


def _without_ly(word: str) -> str:
    if word.endswith("ily"):
        return f"{word[:-3]}y"
    return (
        f"{word[:-1]}e" if word.endswith(("bly", "ply", "tly")) and word[-3] in "bp" else word[:-2]
    )


def _without_ending(rest: str) -> str:
    """Return the verb that "-ing" or "-ed" was put to."""
    if rest in BASES:
        return rest
    if f"{rest}e" in BASES:
        return f"{rest}e"
    if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz":
        return rest[:-1]
    if rest.endswith(("at", "iz", "is", "v", "uc", "ur", "rg", "nc", "dg", "as", "us", "bl")):
        return f"{rest}e"
    return re.sub(r"i$", "y", rest)


def _short(word: str) -> str:
    """Return a base form without its last e: forms that the rules read differently meet."""
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def _groups() -> dict[str, tuple[str, ...]]:
    """Return what each word may stand for: the first words of the lines that it is in."""
    found: dict[str, tuple[str, ...]] = {}
    for line in word_lines("synonyms"):
        words = line.split()
        for word in words:
            short = _short(base(word))
            found[short] = (*found.get(short, ()), _short(base(words[0])))
    return found


_MEANT = _groups()


@lru_cache(maxsize=20_000)
def plain(word: str) -> str:
    """Return a word's base form, spelled for comparing."""
    return _short(base(word))


@lru_cache(maxsize=20_000)
def meant(word: str) -> str:
    """Return what a word first of all stands for: equal for words that mean the same."""
    short = plain(word)
    return _MEANT.get(short, (short,))[0]


FUNCTION_WORDS = frozenset(word_list("function"))
LIGHT = frozenset(plain(word) for word in word_list("light"))


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in word_lines("opposites"):
        columns = [{plain(word) for word in column.split("/")} for column in line.split()]
        for ours in columns:
            for word in ours:
                others = set().union(*(column for column in columns if column is not ours))
                found.setdefault(word, set()).update(others - ours)
    return {word: frozenset(others) for word, others in found.items()}


_OPPOSITES = _opposites()
_NONE: frozenset[str] = frozenset()


def opposites(word: str) -> frozenset[str]:
    """Return the base forms that a word excludes, by the table."""
    return _OPPOSITES.get(plain(word), _NONE)


@lru_cache(maxsize=20_000)
def is_negated(word: str, other: str) -> bool:
    """Tell whether one of two base forms is the other with un-, dis-, non- … before it."""
    short, long = sorted((word, other), key=len)
    if not long.endswith(short) or long in _NO_OPPOSITE:
        return False
    prefix = long[: len(long) - len(short)].rstrip("-")
    return prefix in _PREFIXES and len(short) >= MIN_REST.get(prefix, MIN_REST_ELSE)


@lru_cache(maxsize=50_000)
def is_family(word: str, other: str) -> bool:
    """Tell whether two base forms may say the same: heat and heating, finish and complete."""
    if word == other or set(_MEANT.get(word, (word,))) & set(_MEANT.get(other, (other,))):
        return True
    size = min(len(word), len(other), MIN_FAMILY)
    is_alike = size >= MIN_FAMILY and word[:size] == other[:size]
    return is_alike and abs(len(word) - len(other)) <= 6 and _is_doer(word) == _is_doer(other)


def _is_doer(word: str) -> bool:
    """Tell whether a word names who or what does something: charger, operator."""
    if not word.endswith(("er", "or")):
        return False
    rest = word[:-2]
    return (
        rest in BASES or f"{rest}e" in BASES or (rest[-1:] == rest[-2:-1] and rest[:-1] in BASES)
    )
