"""Words that mean the same, that exclude each other, and that say little: lists on disk.

They are general English (``words/*.txt``, a line starting with # is a remark). A word that stands
in none of them is only itself and its inflections.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent / "words"


def word_lines(name: str) -> list[str]:
    """Return the lines of a word list, without remarks.

    Args:
        name: Of the list: synonyms, opposites, light, function, verbs, irregular or adjectives.
    """
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def word_list(name: str) -> list[str]:
    """Return the words of a list in order."""
    return [word for line in word_lines(name) for word in line.split()]
