"""Filters: each document passes, or leaves with a named reason.

The quality thresholds follow the Gopher rules (https://arxiv.org/abs/2112.11446, appendix A1.1),
loosened for technical pages with tables.
"""

import dataclasses
import re
from collections.abc import Callable

from evqa.config.data import DocumentsConfig, LicenseConfig, UnknownLicense
from evqa.language import detect_language
from evqa.records import Document
from evqa.segmentation import num_words

MIN_ALPHABETIC_SHARE = 0.5  # of the words, with at least one letter
MAX_MEAN_WORD_LENGTH = 14.0
MIN_MEAN_WORD_LENGTH = 2.0
MAX_CONTROL_SHARE = 0.02
MIN_STOP_WORDS = 2
_STRANGE = re.compile("[\x00-\x08\x0e-\x1f\ufffd\ue000-\uf8ff]")
_STOP_WORDS_TEXT = """
the be to of and that have with a in is for
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())

Reason = tuple[str, str]


def with_language(document: Document) -> Document:
    """Return the document with the language of its text, where that is clear.

    What the text shows wins over what the file states: templates often state a wrong one.
    """
    language = detect_language(document.text) or document.language
    return dataclasses.replace(document, language=language)


def rejection(document: Document, config: DocumentsConfig) -> Reason | None:
    """Return ``(reason, detail)`` of the first filter that a document fails, null for none."""
    for check in _CHECKS:
        if found := check(document, config):
            return found
    return None


def _too_short(document: Document, config: DocumentsConfig) -> Reason | None:
    count = num_words(document.text)
    if count >= config.min_words:
        return None
    return "too_short", f"{count} words, documents.min_words={config.min_words}"


def _wrong_language(document: Document, config: DocumentsConfig) -> Reason | None:
    if not config.languages or document.language is None:
        return None
    if document.language in config.languages:
        return None
    return "language", f"{document.language}, documents.languages={','.join(config.languages)}"


def _broken_text(document: Document, _config: DocumentsConfig) -> Reason | None:
    share = len(_STRANGE.findall(document.text)) / max(len(document.text), 1)
    if share <= MAX_CONTROL_SHARE:
        return None
    return "broken_text", f"{share:.0%} of the characters are not text"


def _low_quality(document: Document, _config: DocumentsConfig) -> Reason | None:
    words = re.findall(r"[^\s|#-]\S*", document.text)
    alphabetic = sum(any(map(str.isalpha, word)) for word in words) / max(len(words), 1)
    if alphabetic < MIN_ALPHABETIC_SHARE:
        return "low_quality", f"only {alphabetic:.0%} of the words have letters"
    mean = sum(map(len, words)) / max(len(words), 1)
    if not MIN_MEAN_WORD_LENGTH <= mean <= MAX_MEAN_WORD_LENGTH:
        return "low_quality", f"words are {mean:.1f} characters long on average"
    if document.language in (None, "en"):
        found = _STOP_WORDS & {word.lower() for word in words}
        if len(found) < MIN_STOP_WORDS:
            return "low_quality", "no running text: hardly any of the commonest words"
    return None


def _license(document: Document, config: DocumentsConfig) -> Reason | None:
    return license_rejection(document.license, config.license)


def license_rejection(license_id: str | None, policy: LicenseConfig) -> Reason | None:
    """Return why the policy refuses a licence, null when it may be trained on."""
    if license_id is None:
        if policy.unknown is UnknownLicense.drop:
            return "license_unknown", "states no licence, documents.license.unknown=drop"
        return None
    name = license_id.casefold()
    if name in {denied.casefold() for denied in policy.deny}:
        return "license_denied", license_id
    if policy.allow and name not in {allowed.casefold() for allowed in policy.allow}:
        return "license_not_allowed", license_id
    return None


_CHECKS: tuple[Callable[[Document, DocumentsConfig], Reason | None], ...] = (
    _too_short,
    _broken_text,
    _license,
    _low_quality,
    _wrong_language,
)
