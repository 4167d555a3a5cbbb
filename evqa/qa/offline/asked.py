"""A question before it has its answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a clause, the rule that asked it, and how hard it is."""

    question: str
    template: str
    difficulty: str = "easy"
