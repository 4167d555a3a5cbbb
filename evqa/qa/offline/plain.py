"""Whether words are one clean sentence: no caption, no heading run into it, no broken words."""

import itertools
import re

from evqa.qa.offline.vocabulary import Vocabulary
from evqa.segmentation import num_words

MIN_SENTENCE_WORDS, MAX_SENTENCE_WORDS = 5, 80
# Signs of captions, sources and broken words in what looks like a sentence.
_DEBRIS = re.compile(
    r"^(?:Source|Note|Figure|Table|Box|See|Copyright)s?\b|\b(?:Retrieved|Archived)\b|\w \. |"
    r"\b(?:int|string\(\d+\)|boolean|DateTime) (?:yes|no|[01?*+])(?!\w)|"
    r"\b(?:Figure|Table|Box) \d|\bIEA\. |\bpp?\. \d|(?<![’'.\w-])[b-hj-z] [a-z]{3,}|"
    r"\b[aA] ([b-df-hj-np-tv-z])\1|[A-Za-z] -[A-Za-z]|\w- (?!and|or|to)\w|\.\.\.|https?:|"
    r"[{}<>=|\[\]]|"
    r"\bCC BY\b|\bthe following\b|\bas follows\b|^[B-HJ-Z] [a-z]{3,}|[a-z]\.[A-Z][a-z]|"
    r"\b[Ss](?:ubs)?ections? \d|\b(?:[Cc]hapter|[Aa]ppendix|[Aa]nnex) [A-Z\d]|"
    r"(?<=\w )(?:The|This|These|However|Although|In|With|For|If|When|As|Any|An) (?=[a-z])|"
    r"(?<=[a-zA-Z] )(?:Should|Could|Would|Is|Are|Was|Has|Have|Can|Will|Must|Of) |"
    r"\b[A-Z]{5,} [A-Z]{5,}\b|\b(?:Parameter|Field|Property) (?:Data)?[tT]ype\b|"
    r"[a-z] [b-df-z]-[a-z]|\s[’']s\b|(?<!\w)_\w+_(?!\w)|"
    r"\b(?!etc|incl|approx|resp)[a-z]{3,}\. [a-z]|^[A-Z][a-z]+ed [A-Z][a-z]|^[A-Z]\d+/|"
    r"\b(\w{3,})/\2|^\w+ – [A-Z]|"
    r"\d (?:The|New) (?=[a-z])"
)
_INNER_CAPITAL = re.compile(r"\b(?<![\w.-])[a-z][a-z-]*,? (?P<word>[A-Z][a-z]+)(?= [a-z])")
_FIRST_TWO = re.compile(r"^(?P<word>[A-Z][a-z]+s) [A-Z][a-z]+ [a-z]")
_SHORT_WORDS_TEXT = """
a i am an as at be by do go he if in is it me my no of on or so to up us we ok vs id de
"""
_SHORT_WORDS = frozenset(_SHORT_WORDS_TEXT.split())
_LOWER_TOKEN = re.compile(r"(?<!\S)[a-z]+(?=[,;:.!?)]*(?:\s|$))")
MAX_CAPITALS = 0.75
MIN_JOINED, JOINED_LEAD = 5, 3


def is_plain(sentence: str, vocabulary: Vocabulary) -> bool:
    """Tell whether words are one sentence from its capital to its full stop, and nothing else.

    Args:
        sentence: As the document has it.
        vocabulary: Of the corpus: it knows the words that were broken, and the capitals that
            begin something else.
    """
    if not MIN_SENTENCE_WORDS <= num_words(sentence) <= MAX_SENTENCE_WORDS:
        return False
    begins = sentence[0].isupper() or sentence[0].isdigit()
    if not begins or not sentence.endswith((".", "!")) or _DEBRIS.search(sentence):
        return False
    words = sentence.split()
    if sum(word[0].isupper() for word in words) > MAX_CAPITALS * len(words):  # a title
        return False
    if vocabulary.lacks_name_article(sentence):
        return False
    return not runs_on(sentence, vocabulary) and not has_broken_words(sentence, vocabulary)


def runs_on(sentence: str, vocabulary: Vocabulary) -> bool:
    """Tell whether a heading ran into a sentence: "surge ahead Electrification of roads".

    A word that the corpus writes small, with a capital inside the sentence, begins another one.
    """
    found = [match["word"] for match in _INNER_CAPITAL.finditer(sentence)]
    first = _FIRST_TWO.match(sentence)
    return any(
        word.lower() in vocabulary.small for word in [*found, *([first["word"]] if first else [])]
    )


def has_broken_words(sentence: str, vocabulary: Vocabulary) -> bool:
    """Tell whether two neighbours are one word that the source broke: "ac ross", "requir e"."""
    tokens = list(_LOWER_TOKEN.finditer(sentence))
    for token in tokens:
        is_unit = re.search(r"[\d½°]\s?$", sentence[: token.start()])
        if len(token[0]) <= 2 and token[0] not in _SHORT_WORDS and not is_unit:
            return True
    for left, right in itertools.pairwise(tokens):
        if right.start() - left.end() != 1 or sentence[left.end()] != " ":
            continue
        counts = vocabulary.counts
        joined = counts.get(left[0] + right[0], 0)
        least = min(counts.get(left[0], 0), counts.get(right[0], 0))
        if joined >= MIN_JOINED and joined > JOINED_LEAD * least:
            return True
    return False
