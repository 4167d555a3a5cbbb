"""Sort pairs into categories by the words that speak for each."""

import re
from collections.abc import Mapping, Sequence

OTHER = "general"


def categorise(texts: Sequence[tuple[str, float]], keywords: Mapping[str, Sequence[str]]) -> str:
    """Return the category whose keywords weigh most in the texts.

    Args:
        texts: Each text with the weight of a keyword found in it: the question says more about
            what a pair is about than the title of its document.
        keywords: Category → words and phrases; they match whole words, a plural s aside.

    Returns:
        The heaviest category, the first of equals; ``general`` when no keyword is found.
    """
    scores = dict.fromkeys(keywords, 0.0)
    for text, weight in texts:
        for category, phrases in keywords.items():
            scores[category] += weight * sum(_count(phrase, text) for phrase in phrases)
    best = max(scores, key=lambda category: scores[category], default=OTHER)
    return best if scores.get(best) else OTHER


def _count(phrase: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(phrase)}s?(?!\w)", text, re.IGNORECASE))
