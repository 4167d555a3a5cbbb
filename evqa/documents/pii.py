"""Replace personal data by what it was: e-mail addresses, phone and card numbers, IBANs.

Numbers count only when their check digits hold, or when they are written as phone numbers are,
so that "62196-2", "230 V 400 V" and prices stay.
"""

import re

EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d-]|[.,]\d)")
# +49 30 1234567; (555) 123-4567; 555-123-4567; or any digits after a word that announces them.
PHONE = re.compile(
    r"(?<![\w.])(?:"
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}"
    r"|\d{3}[-.]\d{3}[-.]\d{4}"
    r")(?![\w-]|\.\d)"
)
ANNOUNCED_PHONE = re.compile(
    r"(?i)\b((?:tel|phone|telephone|mobile|fax|hotline|call(?: us)?(?: on| at)?)\.?:?\s+)"
    r"(\(?\d[\d ()/.-]{5,18}\d)(?!\w)"
)
MIN_PHONE_DIGITS = 7


# German "B-AB 1234", British "AB12 CDE", French "AB-123-CD"; the letters must be capitals.
PLATE = re.compile(
    r"(?<![\w-])(?:[A-ZÄÖÜ]{1,3}-[A-Z]{1,2} ?\d{1,4}[EH]?|[A-Z]{2}\d{2} [A-Z]{3}|"
    r"[A-Z]{2}-\d{3}-[A-Z]{2})(?![\w-])"
)


def scrub(text: str, *, plates: bool = False) -> str:
    """Return text with personal data as ``[email]``, ``[phone]``, ``[card]`` or ``[iban]``.

    Args:
        text: Any.
        plates: Replace number plates of cars by ``[plate]`` too; product names can look like one.
    """
    if plates:
        text = PLATE.sub("[plate]", text)
    text = EMAIL.sub("[email]", text)
    text = IBAN.sub(lambda match: "[iban]" if is_iban(match[0]) else match[0], text)
    text = CARD.sub(lambda match: "[card]" if is_card(match[0]) else match[0], text)
    text = PHONE.sub("[phone]", text)
    return ANNOUNCED_PHONE.sub(_announced, text)


def _announced(match: re.Match[str]) -> str:
    num_digits = sum(map(str.isdigit, match[2]))
    return f"{match[1]}[phone]" if num_digits >= MIN_PHONE_DIGITS else match[0]


def is_card(number: str) -> bool:
    """Tell whether 13 to 19 digits satisfy the Luhn check (ISO/IEC 7812-1, annex B)."""
    digits = [int(sign) for sign in number if sign.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(number: str) -> bool:
    """Tell whether an account number satisfies the check of ISO 13616 (remainder 1 of 97)."""
    compact = number.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1
