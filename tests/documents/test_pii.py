"""Personal data goes; voltages, standards, prices and dates stay."""

import pytest

from evqa.documents.pii import is_card, is_iban, scrub


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+ev@mail.example.co.uk.", "Write to [email]."),
        ("Call +49 30 1234567 now", "Call [phone] now"),
        ("+1 (555) 123-4567", "[phone]"),
        ("(555) 123-4567", "[phone]"),
        ("555-123-4567", "[phone]"),
        ("Tel.: 030 / 1234 567", "Tel.: [phone]"),
        ("Phone 0800 123456 today", "Phone [phone] today"),
        ("Card 4111 1111 1111 1111 expired", "Card [card] expired"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
        ("GB82WEST12345698765432", "[iban]"),
    ],
)
def test_personal_data_becomes_what_it_was(text, expected):
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "IEC 62196-2 and IEC 61851-1 apply at 230 V, 400 V and 32 A.",
        "On 30 June 2022 there were 73,334 points, 37% more.",
        "It costs $1,234,567.89 for 2,000,000 kWh.",
        "ISO 15118-20:2022, UL 2594, NEMA 14-50.",
        "Regulation (EU) 2023/1804 of 13 September 2023",
        "4111 1111 1111 1112 fails its check digit",
        "DE89 3704 0044 0532 0130 01 fails its check digits",
        "10.0.0.1 and 192.168.178.23 are addresses",
        "Call 32 A the limit",
        "0000 0000 0000 0000",
        "version 1.2.3.4567",
    ],
)
def test_figures_stay(text):
    assert scrub(text) == text


def test_scrubbing_twice_changes_nothing():
    text = "jane@x.example, +49 30 1234567, 4111111111111111, DE89370400440532013000"
    assert scrub(scrub(text)) == scrub(text) == "[email], [phone], [card], [iban]"


def test_check_digits():
    assert is_card("5500-0000-0000-0004")
    assert not is_card("5500-0000-0000-0005")
    assert is_iban("FR14 2004 1010 0505 0001 3M02 606")
    assert not is_iban("FR14 2004 1010 0505 0001 3M02 607")
    assert not is_iban("DE89")


@pytest.mark.parametrize("plate", ["B-AB 1234", "M-X 7E", "AB12 CDE", "AB-123-CD"])
def test_number_plates_are_replaced_only_when_asked_for(plate):
    text = f"The car {plate} was parked at the post."
    assert scrub(text) == text
    assert scrub(text, plates=True) == "The car [plate] was parked at the post."


@pytest.mark.parametrize(
    "text", ["CCS-AC", "Type 2", "IEC 61851-1", "J1772", "OCPP-J 1.6", "GB/T 20234"]
)
def test_names_of_plugs_and_standards_are_no_plates(text):
    assert scrub(text, plates=True) == text
