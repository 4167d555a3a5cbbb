"""Drop what a document says twice: scrapers that read nested elements repeat it up to 7 times."""

import itertools
import re

from evqa.documents.pages import map_pages
from evqa.documents.shingles import NGRAM_WORDS
from evqa.records import Document
from evqa.segmentation import Line, LineKind, lines

# Short lines (labels, table cells, headings) repeat for good reasons.
MIN_WORDS = 8
# Below this share of distinct 8-grams a document was scraped element within element; pages that
# were read well have .9 and more, scrapes .14 to .5.
MIN_DISTINCT_SHARE = 0.6
# A sentence of a scrape goes when this share of its 8-grams stands elsewhere already.
MAX_SEEN_SHARE = 0.7

# … but shorter ones, such as "10 kW", may stand in it as often as they like.
MIN_SHORT_WORDS = 3

Gram = tuple[str, ...]


def without_repeats(document: Document) -> Document:
    """Return a document whose longer lines of prose and list items each stand once, the first.

    Of a repeated scrape, stretches of words are compared instead, so that a line that holds the
    lines below it goes too.
    """
    seen: set[str] = set()
    document = map_pages(document, lambda text: _first_only(text, seen))
    if distinct_share(document.text) >= MIN_DISTINCT_SHARE:
        return document
    return map_pages(document, _collapsed)


def distinct_share(text: str) -> float:
    """Return the share of a text's word 8-grams that are distinct; 1 for short texts."""
    grams = _grams(_words(text))
    return len(set(grams)) / len(grams) if grams else 1.0


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _grams(words: list[str]) -> list[Gram]:
    return [tuple(words[n : n + NGRAM_WORDS]) for n in range(len(words) - NGRAM_WORDS + 1)]


def _first_only(text: str, seen: set[str]) -> str:
    kept = []
    for line in lines(text):
        key = " ".join(_words(line.text))
        if not _is_repeatable(line) and key.count(" ") >= MIN_WORDS - 1:
            if key in seen:
                continue
            seen.add(key)
        kept.append(line.text)
    return _joined(kept)


def _is_repeatable(line: Line) -> bool:
    return line.kind not in (LineKind.prose, LineKind.item)


def _joined(kept: list[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def _collapsed(text: str) -> str:
    """Return a repeated scrape with every stretch once, in the shortest line that holds it.

    The shortest lines are the innermost elements: paragraphs and items rather than the whole page.
    An outer element is its inner ones in a row, so grams go across the lines kept so far.
    """
    found = list(lines(text))
    texts = [line.text for line in found]
    sizes = [len(_words(line)) for line in texts]
    seen: set[Gram] = set()
    shorter_than = 2
    while shorter_than <= 2 * max(sizes, default=0):
        inner = [n for n, size in enumerate(sizes) if size < shorter_than // 2]
        seen.update(_grams([word for n in inner for word in _words(texts[n])]))
        for number, size in enumerate(sizes):
            if shorter_than // 2 <= size < shorter_than and not _is_repeatable(found[number]):
                texts[number] = _unseen(texts[number], seen)
        shorter_than *= 2
    return _joined(texts)


def _unseen(line: str, seen: set[Gram]) -> str:
    """Return the stretches of a line that stand nowhere else, and remember its grams."""
    found = list(re.finditer(r"\w+", line))
    words = [match[0].lower() for match in found]
    if len(words) < NGRAM_WORDS:
        gram = tuple(words)
        was_seen = len(words) >= MIN_SHORT_WORDS and gram in seen
        seen.add(gram)
        return "" if was_seen else line
    grams = _grams(words)
    repeated = [False] * len(words)
    for start, gram in enumerate(grams):
        if gram in seen:
            repeated[start : start + NGRAM_WORDS] = [True] * NGRAM_WORDS
    seen.update(grams)
    if not any(repeated):
        return line
    kept = []
    for was_seen, run in itertools.groupby(range(len(words)), key=repeated.__getitem__):
        places = list(run)
        if not was_seen and len(places) >= MIN_WORDS:
            after = places[-1] + 1
            end = found[after].start() if after < len(found) else len(line)
            kept.append(line[found[places[0]].start() : end].strip())
    return " ".join(kept)
