"""How a corpus writes its words, learned from it: which are names, and which are never."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from evqa.qa.grammar import DETERMINERS, HEDGES
from evqa.qa.quantities import NUMBER_WORDS


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How a corpus writes its words: what it writes in lower case, and what are names.

    Attributes:
        lower: Written in lower case at least as often as with a capital inside a sentence.
        names: Written with a capital inside a sentence.
        small: Hardly ever written with a capital inside a sentence.
        counts: How often a word stands there in lower case.
        countable: Nouns that stand there in the plural, too: connectors.
        articled: Names of two words that have an article more often than not: the Charge Point.
    """

    lower: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    small: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)
    countable: frozenset[str] = frozenset()
    articled: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Return the vocabulary of a text; a capital inside a sentence marks a name."""
        return cls.of_texts([text])

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "Vocabulary":
        """Return the vocabulary of several texts; only their words are kept."""
        counts: Counter[str] = Counter()
        names: Counter[str] = Counter()
        bare: Counter[str] = Counter()
        for text in texts:
            counts.update(_LOWER_WORD.findall(text))
            names.update(_INNER_NAME.findall(text))
            for article, name in _TWO_NAMES.findall(text):
                bare[name] += -1 if article else 1
        lower = {word for word in counts if counts[word] >= names[word.capitalize()]}
        small = {
            word for word in lower if counts[word] >= MIN_SMALL * (1 + names[word.capitalize()])
        }
        countable = {w for w in counts if counts[f"{w}s"] > max(MIN_PLURALS * counts[w], 2)}
        return cls(
            frozenset(lower),
            frozenset(names),
            frozenset(small),
            counts,
            frozenset(countable),
            frozenset(name for name in bare if bare[name] < -MIN_ARTICLES),
        )

    def lacks_name_article(self, sentence: str) -> bool:
        """Tell whether a sentence has "Central System" where the corpus says "the …"."""
        return any(
            name in self.articled and not article and not sentence[:at].endswith(("’s ", "'s "))
            for article, name, at in (
                (match[1], match[2], match.start(2)) for match in _TWO_NAMES.finditer(sentence)
            )
        )

    def lacks_article(self, subject: str) -> bool:
        """Tell whether a subject is one of many things and has no article: "user pays"."""
        head = re.split(r" (?:of|in|on|with|for|at|from|to|that|which|who|by) ", subject)[0]
        words = head.split()
        is_bare = words[0].lower() not in DETERMINERS and all(map(str.islower, words))
        return is_bare and words[-1] in self.countable

    def is_ordinary(self, word: str) -> bool:
        """Tell whether a capitalised word is only the first of its sentence."""
        plain = re.split(r"[-,’']", word)[0].lower()
        if plain in self.lower or plain in NUMBER_WORDS or plain.endswith("ing"):
            return True
        return plain.capitalize() not in self.names and bool(_ORDINARY_END.search(plain))


# Words inside addresses and identifiers say nothing about how a word is written.
_LOWER_WORD = re.compile(r"(?<![\w./:@#-])[a-z]+(?![\w/:@]|\.\w)")
_INNER_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
_TWO_NAMES = re.compile(r"\b(?:([Tt]he|[Aa]n?|[Ee]ach|[Ee]very) )?([A-Z][a-z]+ [A-Z][a-z]+)\b")
MIN_SMALL, MIN_PLURALS, MIN_ARTICLES = 6, 0.4, 5
_ORDINARY_END = re.compile(
    r"(?:s|al|ic|ive|ent|ant|ary|ous|ed|er|est|ly|tion|sion|ship|ment|ness|ance|ence)$"
)


def lower_first(text: str, vocabulary: Vocabulary) -> str:
    """Return a subject as it is written inside a sentence."""
    words = text.split()
    first, following = words[0], words[1] if len(words) > 1 else "x"
    if first.lower() in DETERMINERS or first.lower() in HEDGES:
        return text[0].lower() + text[1:]
    if first[1:] != first[1:].lower() or any(map(str.isdigit, first)):
        return text
    # "Type 2", "Mode 3", "Plug & Charge" are names made of ordinary words.
    is_name = (following[0].isdigit() and not first.endswith("ing")) or following == "&"
    # "Urban Green Energy" is a name, "Various Indian states" are none.
    after = words[2] if len(words) > 2 else "X"
    is_name = is_name or bool(re.match(r"[A-Z][a-z]+$", following) and after[0].isupper())
    return text if is_name or not vocabulary.is_ordinary(first) else text[0].lower() + text[1:]
