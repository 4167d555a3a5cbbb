"""Numbers as people say them, written as figures: "half an hour" and "thirty euro cents".

General English, no domain: what `evqa.qa.quantities` reads as figures afterwards.
"""

import re
from collections.abc import Callable

_ONES_TEXT = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_TENS_TEXT = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: number for number, word in enumerate(_ONES_TEXT.split())} | {
    word: 10 * number for number, word in enumerate(_TENS_TEXT.split(), start=2)
}
_SCALES = {"hundred": 100, "thousand": 1000}
_SAID = re.compile(
    rf"\b(?:a (?=hundred|thousand))?(?:{'|'.join([*_VALUES, *_SCALES])})"
    rf"(?:(?:-| | and )(?:{'|'.join([*_VALUES, *_SCALES])}))*\b",
    re.IGNORECASE,
)
_SHARES = {"tenth": "10%", "fifth": "20%", "quarter": "25%", "third": "33%", "half": "50%"}


def _figure(match: re.Match[str]) -> str:
    """Return "twenty-five" as 25; "one" alone is mostly no number and stays."""
    if match[0].isupper():  # TEN-T is a name
        return match[0]
    total = part = 0
    for word in re.findall(r"[a-z]+", match[0].lower()):
        if word in _SCALES:
            part = max(part, 1) * _SCALES[word]
            if word == "thousand":
                total, part = total + part, 0
        else:
            part += _VALUES.get(word, 0)
    return match[0] if total + part <= 1 else str(total + part)


def _share(match: re.Match[str]) -> str:
    return _SHARES[match[1].lower()]


_REWRITES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\b(?:an|one) hour and a half\b|\bone and a half hours\b", "90 minutes"),
    (r"\b(?:a )?half[- ](?:an |a )?hours?\b", "30 minutes"),
    (r"\b(?:a )?quarter of an hour\b|\b(?:a )?quarter[- ]hour\b", "15 minutes"),
    (r"\bthree quarters of an hour\b", "45 minutes"),
    (r"\b(?:a )?half a day\b", "12 hours"),
    (r"\b(?:a|the) (?:pair|couple) of\b|\btwin\b", "2"),
    (r"\ba dozen\b|\bdozen\b", "12"),
    (r"\bround the clock\b|\baround the clock\b", "24 hours"),
    (r"\b(?:a|one) (tenth|fifth|quarter|third|half)\b(?! of an? )", _share),
    (r"\b(?:sub-?zero|(?:below|under) zero)(?: temperatures?)?\b", "below 0 °C"),
    (r"\b(?:the )?freezing(?: point)?\b", "0 °C"),
    (r"(?<=\d)\s?(?:euro|us|u\.s\.)[- ](?=cents?\b)", " "),
    (r"(?<=\d)\s?(?:degrees?|deg)\.?(?: c(?:elsius|entigrade)?\b)?", " °C"),
    (r"(?<=\d)(?:,| )(?=000\b)", ""),
    (r"(?<=\d)\s?[kK]\b(?=$|[ ?.,])", "000"),
    (r"(?<=\d)\s?(?:-|–|—|up to|through|till|until)\s?(?=\d)", " to "),
    (r"(?<=\d) (?:by|x|times|×) (?=\d)", " x "),
    (r"\b(\d+)%[- ](?=efficien)", r"\1% "),
)
_COMPILED = tuple((re.compile(said, re.IGNORECASE), figure) for said, figure in _REWRITES)


def in_figures(text: str) -> str:
    """Return a text with its numbers as figures.

    >>> in_figures("Twenty-five amps for half an hour, and a tenth is lost")
    '25 amps for 30 minutes, and 10% is lost'
    """
    written = _SAID.sub(_figure, text)
    for said, figure in _COMPILED:
        written = said.sub(figure, written)
    return written
