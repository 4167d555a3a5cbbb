"""Tell the language of a text by its commonest words; no model, no download."""

import re
from collections import Counter

# Each language's most frequent function words that few of the others share.
COMMON_WORDS = {
    "en": "the of and to in is that for with are this be by from or which can will was it as a at "
    "how what does do not has have on",
    "de": "der die und den das von mit ist nicht für auf des dem ein eine werden sich auch wird",
    "fr": "le la les des et du une pour dans que est sur par pas plus avec sont vous au aux",
    "es": "el los las del una por con para que se es su como más al esta este entre sus",
    "it": "il della che di per una non sono con del nel alla dei gli anche come è dal",
    "nl": "de het een van en dat niet zijn voor met op aan te wordt door ook bij naar deze",
    "pt": "o os as uma do da dos não com para que por mais como é ao pela são um",
    "sv": "och att det som en på är av för med till den inte ett har kan om från eller",
    "da": "og at det som en på er af for med til den ikke et har kan om fra eller",
    "pl": "i w na z nie się do jest że oraz dla przez od po jak są lub tym",
}
_SETS = {language: frozenset(words.split()) for language, words in COMMON_WORDS.items()}
MIN_WORDS = 20
# A text in a language has well over a tenth of its words among that language's commonest.
MIN_SHARE = 0.08
MIN_LEAD = 1.25
# Technical texts are full of names of no language: fewer common words do when the lead is great.
MAX_WORDS = 20_000


def detect_language(
    text: str, min_words: int = MIN_WORDS, min_lead: float = MIN_LEAD
) -> str | None:
    """Return the two-letter language of a text, or null when it is too short or unclear.

    Args:
        text: Any.
        min_words: Fewer words tell nothing.
        min_lead: How many times more of its common words must be there than of the second best.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())[:MAX_WORDS]
    if len(words) < min_words:
        return None
    counts = Counter(words)
    shares = {
        language: sum(counts[word] for word in common) / len(words)
        for language, common in _SETS.items()
    }
    best, second = sorted(shares, key=lambda language: (-shares[language], language))[:2]
    lead = shares[best] / max(shares[second], 1e-9)
    is_clear = shares[best] >= MIN_SHARE and lead >= min_lead
    is_clear_among_names = shares[best] >= MIN_SHARE / 3 and lead >= 2 * min_lead
    return best if is_clear or is_clear_among_names else None
