"""Filters: each refusal has a name; good documents pass."""

import pytest
from records_for_tests import document

from evqa.config.data import DocumentsConfig, LicenseConfig, UnknownLicense
from evqa.documents.filters import license_rejection, rejection, with_language
from evqa.language import detect_language

ENGLISH = (
    "The wallbox draws its current from the board, and the car decides how much of it is used. "
    "A charger for the home needs a circuit of its own with a device that trips at 30 mA. "
) * 3
GERMAN = (
    "Die Wallbox wird von einer Fachkraft mit dem Netz verbunden und ist nicht für den Betrieb im "
    "Freien gedacht. Der Strom kommt aus der Steckdose und das Auto wird über Nacht geladen. "
) * 3
FRENCH = (
    "La borne est installée par un électricien et elle ne doit pas être utilisée dans la rue. Les "
    "voitures sont chargées avec une prise que vous pouvez acheter pour la maison. "
) * 3


def reason(text, config=None, **fields):
    found = rejection(with_language(document(text, **fields)), config or DocumentsConfig())
    return found and found[0]


def test_a_good_document_passes():
    assert reason(ENGLISH) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Too short to be of any use.", "too_short"),
        (GERMAN, "language"),
        (FRENCH, "language"),
        (" ".join(f"{n}.{n}" for n in range(90)), "low_quality"),
        ("Pin VCC GND R17 C4 Relay K1 Net Label Q2 " * 12, "low_quality"),
        ("\ue000\ue001\ufffd the and of " * 20, "broken_text"),
        (
            "the and of "
            + "x" * 400
            + " "
            + "verylongtokenwithoutanyspaces" * 3
            + " "
            + "ab " * 3,
            "too_short",
        ),
    ],
)
def test_each_refusal_has_its_name(text, expected):
    assert reason(text) == expected


def test_the_language_of_the_text_wins_over_the_stated_one():
    assert with_language(document(GERMAN, language="en")).language == "de"
    assert with_language(document("32 A", language="nl")).language == "nl"


def test_every_language_passes_when_none_is_asked_for():
    assert reason(GERMAN, DocumentsConfig(languages=[])) is None
    assert reason(GERMAN, DocumentsConfig(languages=["en", "de"])) is None


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (GERMAN, "de"), (FRENCH, "fr")])
def test_languages_are_told_apart(text, language):
    assert detect_language(text) == language


def test_too_little_text_has_no_language():
    assert detect_language("the and of") is None
    assert detect_language("") is None
    assert detect_language("kWh " * 100) is None


@pytest.mark.parametrize(
    ("stated", "policy", "expected"),
    [
        (None, LicenseConfig(), None),
        (None, LicenseConfig(unknown=UnknownLicense.drop), "license_unknown"),
        ("MIT", LicenseConfig(deny=["mit"]), "license_denied"),
        ("MIT", LicenseConfig(allow=["CC-BY-4.0"]), "license_not_allowed"),
        ("cc-by-4.0", LicenseConfig(allow=["CC-BY-4.0"]), None),
        ("CC-BY-4.0", LicenseConfig(allow=["CC-BY-4.0"], deny=["CC-BY-4.0"]), "license_denied"),
    ],
)
def test_the_licence_policy(stated, policy, expected):
    found = license_rejection(stated, policy)
    assert (found and found[0]) == expected
