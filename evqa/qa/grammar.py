"""stub."""

import re

_POINTS = re.compile(
    r"\b(?:this|these|those|such|it|they|them|here|above|below|there)\b", re.IGNORECASE
)


def is_self_contained(question: str) -> bool:
    """Tell whether a question can be understood without what stands before it."""
    return (
        not _POINTS.search(question)
        and not question.lower().startswith("and ")
        and len(question.split()) >= 4
    )
