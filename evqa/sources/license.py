"""Spell the licence that a page or PDF states the way SPDX does (https://spdx.org/licenses)."""

import re

_CC_URL = re.compile(
    r"creativecommons\.org/(?:licenses/(?P<terms>[a-z-]+)|publicdomain/(?P<domain>zero|mark))"
    r"/(?P<version>\d\.\d)",
    re.IGNORECASE,
)
_CC_WORDS = re.compile(
    r"\bCC[ -](?P<terms>BY(?:[ -](?:NC|SA|ND))*)[ -](?P<version>[1-4]\.0)\b", re.IGNORECASE
)
_CC_NAME = re.compile(
    r"Creative Commons (?P<terms>Attribution(?:[- ]?(?:Non-?Commercial|Share-?Alike|No-?Deriv"
    r"atives|No-?Derivs))*) (?P<version>[1-4]\.0)",
    re.IGNORECASE,
)
_PLAIN = {
    "CC0-1.0": re.compile(r"\bCC0\b|CC Zero", re.IGNORECASE),
    "MIT": re.compile(r"\bMIT(?: License)?\b"),
    "Apache-2.0": re.compile(r"\bApache(?: License)?[ ,-]*(?:Version )?2\.0\b", re.IGNORECASE),
    "GPL-3.0": re.compile(r"\bGPL[- ]?v?3(?:\.0)?\b", re.IGNORECASE),
    "BSD-3-Clause": re.compile(r"\bBSD-3-Clause\b", re.IGNORECASE),
    "public-domain": re.compile(r"\bpublic domain\b", re.IGNORECASE),
}
_WORDS = {
    "attribution": "BY",
    "noncommercial": "NC",
    "sharealike": "SA",
    "noderivatives": "ND",
    "noderivs": "ND",
}


def normalise_license(stated: str) -> str | None:
    """Return the SPDX identifier of a stated licence (a URL, a name or an identifier).

    Returns:
        The statement itself when it is no licence we know, null when it is blank.
    """
    stated = " ".join(stated.split())
    found = find_creative_commons(stated)
    if found or not stated:
        return found
    for name, pattern in _PLAIN.items():
        if pattern.search(stated):
            return name
    return stated[:200]


def find_creative_commons(text: str) -> str | None:
    """Return the SPDX identifier of the first Creative Commons licence named in a text."""
    if match := _CC_URL.search(text):
        if match["domain"]:
            return "CC0-1.0" if match["domain"].lower() == "zero" else "public-domain"
        return f"CC-{match['terms'].upper()}-{match['version']}"
    if match := _CC_WORDS.search(text):
        return f"CC-{match['terms'].upper().replace(' ', '-')}-{match['version']}"
    if match := _CC_NAME.search(text):
        words = match["terms"].lower().replace("-", "").replace(" ", "")
        terms = re.findall("|".join(_WORDS), words)
        return f"CC-{'-'.join(_WORDS[term] for term in terms)}-{match['version']}"
    return "CC0-1.0" if re.search(r"\bCC0 1\.0\b|\bCC0-1\.0\b", text) else None
