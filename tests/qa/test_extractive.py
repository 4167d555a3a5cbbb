"""The offline generator: golden questions, one for each form of sentence."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_for_tests import chunk, document

from evqa.config.data import QAConfig
from evqa.qa.candidate import Passage
from evqa.qa.grammar import is_plural, regular_past, third_person, with_article
from evqa.qa.offline.anchors import has_vague_thing, is_anchored
from evqa.qa.offline.categories import categorise
from evqa.qa.offline.extractive import candidates_of, generate_extractive
from evqa.qa.offline.plain import is_plain
from evqa.qa.offline.table_questions import is_glued
from evqa.qa.offline.vocabulary import Vocabulary, lower_first
from evqa.qa.validate import rejection

WORLD = (
    "the car, a wallbox, the plug, chargers, drivers, carmakers, buildings and commercial sites; "
    "in Germany, the AFIR, with Tesla, from Japan and by Mennekes"
)


def passage(text):
    owner = document(text)
    return Passage(chunk=chunk(text, owner), document=owner)


def questions(text, vocabulary=None):
    known = vocabulary or Vocabulary.of(WORLD)
    return [c.question for c in candidates_of(passage(text), known)]


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("A 7.4 kW wallbox draws 32 A at 230 V on a single phase.",
         "How much current does a 7.4 kW wallbox draw at 230 V on a single phase?"),
        ("The Type 1 plug has five pins and works on a single phase.",
         "How many pins does the Type 1 plug have?"),
        ("Adding 36 kWh at 7.4 kW takes about 4.9 hours.",
         "How long does adding 36 kWh at 7.4 kW take?"),
        ("IEC 61851 defines four charging modes, and each has its use.",
         "How many charging modes does IEC 61851 define?"),
        ("In Germany, a typical wallbox costs €900 without the work.",
         "How much does a typical wallbox cost in Germany?"),
        ("CHAdeMO came from Japan in 2010.", "When did CHAdeMO come from Japan?"),
        ("Ionity was founded in 2017 by four carmakers.", "When was Ionity founded?"),
        ("AC charging loses about 10% of the energy on the way.",
         "What percentage of the energy does AC charging lose on the way?"),
        ("CCS stands for Combined Charging System.", "What does CCS stand for?"),
        ("A control pilot is used to tell the car its limit.", "What is a control pilot used for?"),
        ("A residual-current device can be used for protection against shocks.",
         "What can a residual-current device be used for?"),
        ("The insulation of a cable must be tested with a suitable meter.",
         "What must the insulation of a cable be tested with?"),
        ("A DC charger detects faults by measuring the insulation.",
         "How does a DC charger detect faults?"),
        ("The state of a session is calculated using the last meter value.",
         "How is the state of a session calculated?"),
        ("A smart tariff allows drivers to charge cheaply at night.",
         "What does a smart tariff allow drivers to do?"),
        ("A charging station sends meter values to the back end.",
         "What does a charging station send to the back end?"),
        ("The Tariffs module publishes current prices for every OCPI connector of a station.",
         "Which module publishes current prices for every OCPI connector of a station?"),
        ("Local installers must report every new wallbox to the Energy Office.",
         "Who must report every new wallbox to the Energy Office?"),
        ("A control pilot is used to tell cars the limit of Mode 3 sites.",
         "What is used to tell cars the limit of Mode 3 sites?"),
        ("Public sites in Germany have been fitted with extra lighting.",
         "Have public sites in Germany been fitted with extra lighting?"),
        ("Circumstances in which a charger could request an exception include a fault.",
         "What do circumstances in which a charger could request an exception include?"),
        ("The index of carmakers consists of 14 pure-play EV companies.",
         "How many pure-play EV companies does the index of carmakers consist of?"),
        ("Public sites may be opened in May 2030.",
         "Is it true that public sites may be opened in May 2030?"),
        ("BS 7671 is the British wiring standard.", "What is BS 7671?"),
        ("The Type 2 plug was developed by the company Mennekes.",
         "Who developed the Type 2 plug?"),
        ("NACS is standardised as SAE J3400.", "What is NACS standardised as?"),
        ("The nominal frequency of wireless charging is 85 kHz.",
         "What is the nominal frequency of wireless charging?"),
        ("Carmakers limit the current because ordinary sockets overheat.",
         "Why do carmakers limit the current?"),
        ("Part S has applied in England since 15 June 2022.",
         "Since when has Part S applied in England?"),
        ("A European socket limited to 10 A delivers 2.3 kW.",
         "How much power does a European socket limited to 10 A deliver?"),
        ("A 40 A charger needs a 50 A breaker.", "What does a 40 A charger need?"),
        ("By the end of 2027 each pool must offer at least 600 kW.",
         "How much power must each pool offer by the end of 2027?"),
        ("At the end of 2024 there were more than 200,000 public ports.",
         "How many public ports were there at the end of 2024?"),
    ],
)  # fmt: skip
def test_a_form_of_sentence_gives_its_question(sentence, question):
    assert question in questions(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "It has five pins and one phase.",
        "This limit is 32 A at 230 V.",
        "They need a circuit of their own.",
        "The box contains a control pilot.",
        "Nobody pays €900 for such a thing.",
        "If the charger trips, the car needs 30 minutes.",
        "Never use a 16 A cable for 32 A.",
        "The same rule requires another 30 mA device.",
        "Press the button for 5 seconds and wait.",
        "A sentence without end",
        "Yes.",
        "Figures, figures, figures.",
        "The red line shows the current of a car.",
        "The next section describes the current of a car.",
        "Your car can charge with a current of 16 A.",
        "A wire of copp er carries the current of a car.",
        "Figure 3.2 shows the current of a car.",
        "The wiring rules are shown in section 7 of a standard.",
        "Opening Federally Funded Charging Stations Across Every State.",
        "Every time a car arrives it needs 30 minutes.",
        "A similar one needs a current of 16 A.",
        "Higher voltages need thicker insulation.",
        "Error occurred before a charger delivers a current.",
        "Accepted Identifier is allowed for charging.",
        "Defines how a charger measures the current.",
        "30 or fewer were sold in Japan.",
        "The recommended settings is a current of 16 A.",
        "Common are mainly the chargers at home.",
        "The time a charger is idle is reduced by a fast plug.",
        "Sales in Japan grew to 40% of the market.",
        "There are two roles.",
        "Subsection 3.2 describes a plug for the charger.",
        "The 2022 trend reflects the market of cars.",
        "Public sites have been fitted with extra lighting.",
        "Assume functions called by a charger may run at the same time.",
        "Temporal – Most data is stored by a charger of the grid.",
        "The AFIR bodies will keep/keeps a list of chargers in Japan.",
    ],
)
def test_a_sentence_that_leans_on_others_gives_none(sentence):
    assert questions(sentence) == []


def test_at_most_two_questions_a_sentence_and_both_clauses_are_asked():
    text = (
        "An 11 kW wallbox uses three phases at 16 A each, "
        "and a 22 kW wallbox uses three phases at 32 A each."
    )
    found = list(candidates_of(passage(text), Vocabulary.of(WORLD)))
    assert len(found) == 2
    assert {"11 kW" in c.question for c in found} == {True, False}
    assert all(c.answer.endswith("A each.") and c.answer[0] == "A" for c in found)
    assert all(text[c.start : c.end] == text for c in found)


TABLE = """| Plug | Standard | Pins | Highest power |
| Type 1 | SAE J1772 | 5 | 19.2 kW |
| Type 2 | IEC 62196-2 | 7 | 43 kW |"""


VOCABULARY = Vocabulary.of(
    f"{WORLD}; the governments of the world, as governments do, and other governments, for "
    "governments and their governments and more governments; an owner and all owners, the copper, "
    "copper, copper, copper and copper; while Tesla and with Tesla; tesla"
)


@pytest.mark.parametrize(
    ("sentence", "is_kept"),
    [
        ("Many governments have made a plan for chargers.", True),
        ("Public chargers Governments have made a plan for chargers.", False),
        ("Carmakers use copper for the windings of a motor.", True),
        ("Carmakers use cop per for the windings of a motor.", False),
        ("Carmakers use t he copper for the windings of a motor.", False),
        ("Carmakers use 16 mm of copper for a motor.", True),
        ("Carmakers use a file. limit int no Maximum of objects.", False),
    ],
)
def test_the_words_of_the_corpus_tell_run_on_headings_and_broken_words(sentence, is_kept):
    assert is_plain(sentence, VOCABULARY) is is_kept


def test_a_subject_that_is_one_of_many_needs_its_article():
    known = Vocabulary.of(f"{WORLD}; owner, owners, owners, owners")
    assert questions("An owner in Japan measures the current of a car.", known)
    assert questions("Owners in Japan measure the current of a car.", known)
    assert questions("Owner in Japan measures the current of a car.", known) == []


def test_a_name_that_has_an_article_elsewhere_needs_it():
    known = Vocabulary.of("in the Charge Point; " * 6 + "at the Charge Point’s own Central System")
    assert is_plain("A car stops when the Charge Point is lost.", known)
    assert not is_plain("A car stops when Charge Point is lost.", known)
    assert is_plain("A car stops when another’s Charge Point is lost.", known)
    assert is_plain("A car stops when Central System is lost.", known)


def test_a_name_keeps_its_capital_though_addresses_write_it_small():
    known = Vocabulary.of("with Tesla, by Tesla, as in www.tesla.com, tesla_meter and @tesla")
    assert lower_first("Tesla", known) == "Tesla"
    assert lower_first("Urban Green Energy", Vocabulary.of("in urban places")).startswith("Urban")
    assert lower_first("Urban Green sites", Vocabulary.of("in urban places")).startswith("urban")


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        # Whether it is so is asked only where nothing else is.
        ("A locked plug prevents the theft of cables at public stations.", "Does a locked"),
        # What was spoken of before.
        ("A smart charger reads the meter values of the data for the list.", "What reads"),
        ("Public sites may be opened by drivers of the list.", "Is it true"),
        # Half of a statement: a list, what a colon announces, a second verb, a place.
        (
            "Public chargers serve cars, buses near sites and large trucks of the depot.",
            "Do public",
        ),
        ("Public chargers have been sold in two forms of plug: fixed and loose.", "Have public"),
        ("Public chargers have been tested and the report has been lost since.", "Have public"),
        ("Public chargers have been sold in Paris, Texas to drivers.", "Have public"),
        # A thing wants nothing.
        ("A new company of carmakers in Japan wants to build many large chargers.", "What wants"),
        # Announced what? A single event needs its time.
        ("The carmakers of Japan announced a plug.", "What did"),
        ("The Charge Point checks all the messages of the session.", "What does"),
        # Sales grew where, and when?
        ("Sales of cars increased by 40% and more.", "By how much"),
        ("Carmakers have been tested since they use shutters.", "Why"),
        ("Tesla is the leader among carmakers in Germany.", "What is Tesla"),
        ("The power of chargers is about 310 GW in Germany.", "What is the power of chargers GW"),
        # Nobody asks what an amount is expected to do.
        ("The demand for cars in Germany is projected to reach 20 million by 2030.", "What is"),
        # News of a day, and things that nobody has named.
        ("Carmakers in Japan will be opening commercial sites with Tesla.", "Will"),
        ("Tesla has various commercial sites with chargers.", "Does Tesla"),
        # Whether something can be done, when a total was, who wants it.
        ("Repairs can be done in Germany by Tesla.", "Can repairs"),
        ("A customer of Tesla wants to book a charger in Germany.", "Who wants"),
        # A short condition that names nothing.
        (
            "If a discrepancy is found, Tesla might push an update to the carmakers.",
            "What happens",
        ),
    ],
)
def test_no_question_that_says_half_or_leans_on_others(sentence, wrong):
    assert not [text for text in questions(sentence) if text.startswith(wrong)]


def test_brackets_and_connectives_are_left_out():
    assert "Have carmakers in Japan dominated the market for chargers?" in questions(
        "Historically, carmakers in Japan have dominated the market for chargers."
    )
    text = "However, a residual-current device (RCD) protects the driver of a car against shocks."
    found = {c.question: c.answer for c in candidates_of(passage(text), Vocabulary.of(WORLD))}
    question = "What does a residual-current device protect?"
    assert found[question].startswith("A residual-current device (RCD) protects")


def test_a_condition_in_the_past_happened():
    assert questions("When Tesla opened its plug, other carmakers adopted it.") == []
    asked = questions("When Tesla opened a new site in Japan, many drivers came by car.")
    assert asked == ["What happened when Tesla opened a new site in Japan?"]
    assert questions("If cables are worn, cut or loose at their ends, a charger stops.") == []


@pytest.mark.parametrize(
    ("question", "is_vague", "is_named"),
    [
        ("Who serves as the co-ordinator of the initiative?", True, False),
        ("What happens if the second value is lost?", True, False),
        ("What happens if the battery of the car is cold?", False, False),
        ("Does the end of the year matter in Germany?", False, True),
        ("Is it true that chargers had 40 GW in 2024?", False, False),
        ("Does SessionID name an eMSP session?", False, True),
        ("Must a server answer Authorize.req at once?", False, True),
    ],
)
def test_a_stranger_knows_names_and_no_initiative(question, is_vague, is_named):
    assert has_vague_thing(question) is is_vague
    assert is_anchored(question) is is_named


def test_a_statement_is_confirmed_when_it_has_a_name_or_holds_in_general():
    assert "Do small cars come in many sizes at home?" in questions(
        "Small cars come in many sizes at home.", Vocabulary.of("in small buildings")
    )
    assert questions("The vehicles will come in many sizes in 2024.") == []


VALUES = (
    "8.4.12 Facility enum\n\nValue Description\n\nHOTEL A hotel. BUS_STOP A bus stop. TRAIN A train "
    "station OTHER_PLACE None of these.\n\nThe Plug is red. Blocked Plug is blocked."
)


def test_values_that_lost_their_table_are_asked_for_in_their_enumeration():
    found = {c.question: c.answer for c in candidates_of(passage(VALUES), Vocabulary())}
    assert found["What does the value HOTEL mean in the Facility enum?"] == (
        "HOTEL in the Facility enum: A hotel."
    )
    assert "What is meant by the value BUS_STOP in the Facility enum?" in found
    assert not [question for question in found if "TRAIN" in question or "The mean" in question]


@pytest.mark.parametrize("before", ["", "Value Description\n\nProperty Type Card.\n\n"])
def test_words_under_no_enumeration_are_no_values(before):
    text = VALUES.replace("Value Description\n\n", before)
    assert not [c for c in candidates_of(passage(text), Vocabulary()) if c.template == "value"]


@pytest.mark.parametrize(
    ("intro", "question"),
    [
        ("A home installation needs two things:", "Which things does a home installation need?"),
        ("A home installation consists of the following parts:",
         "Which parts does a home installation consist of?"),
        ("A home installation consists of:", "What does a home installation consist of?"),
        ("A home installation needs the owner to buy:", None),
    ],
)  # fmt: skip
def test_a_list_is_asked_for_by_what_announces_it(intro, question):
    asked = questions(f"{intro}\n\n- a dedicated circuit\n- a residual-current device")
    assert asked == ([question] if question else [])


FIELDS = (
    "8.3.1 Tariff object\n\nProperty Type Card. Description id string(36) 1 Uniquely identifies the "
    "tariff. end_date DateTime ? Day on which the tariff ends. elements Element + List of prices"
)


def test_fields_that_lost_their_table_are_asked_for_in_their_object():
    found = {c.question: c.answer for c in candidates_of(passage(FIELDS), Vocabulary())}
    assert found["What does end_date mean in the Tariff object?"] == (
        "end_date in the Tariff object: Day on which the tariff ends."
    )
    assert found["Is end_date required or optional in the Tariff object?"] == (
        "end_date is optional in the Tariff object."
    )
    assert found["What is the type of the field id in the Tariff object?"] == (
        "The type of the field id in the Tariff object is string(36)."
    )
    assert not [
        question for question in found if "elements" in question and "required" in question
    ]


def test_parameters_are_told_from_fields_and_broken_descriptions_are_left_out():
    text = (
        "# 8 Tariffs module\n\n8.2 Request Parameters\n\nParameter Datatype Required Description "
        "offset int no Where the list begins. link URL no Standard of the list (http://x.y/z."
    )
    asked = [
        candidate.question
        for candidate in candidates_of(
            Passage(
                chunk=dataclasses.replace(
                    chunk(text, document(text)), headings=["8 Tariffs module"]
                ),
                document=document(text),
            ),
            Vocabulary(),
        )
    ]
    assert "What does the parameter offset mean in the Tariffs module?" in asked
    assert not [question for question in asked if "link" in question]


def test_fields_of_nobody_are_not_asked_for():
    assert questions(FIELDS.removeprefix("8.3.1 Tariff object")) == []


OPTIONS = """## simulate.py

| Name | Data Type | M/O | Description |
| SessionID | String | M | Names the session. See below. |
| –days | Integer | O | Number of days. |
| plain words | String | O | Says nothing. |"""


def test_a_table_of_fields_is_asked_by_kind():
    found = {c.question: c.answer for c in candidates_of(passage(OPTIONS), Vocabulary())}
    assert found["Is SessionID mandatory or optional?"] == "SessionID is mandatory."
    assert found["What does SessionID mean?"] == "SessionID: Names the session."
    assert "What does the command-line option –days do?" in found
    assert not [question for question in found if "plain words" in question]


def test_a_table_that_goes_on_in_the_next_chunk_keeps_its_header():
    whole = f"# Plugs\n\n{TABLE}"
    owner = document(whole)
    start = whole.index("| Type 2")
    rest = dataclasses.replace(chunk(whole, owner), start=start, text=whole[start:])
    found = [c.question for c in candidates_of(Passage(chunk=rest, document=owner), Vocabulary())]
    assert "What is the standard for Type 2?" in found
    alone = dataclasses.replace(rest, start=0)
    assert list(candidates_of(Passage(chunk=alone, document=owner), Vocabulary())) == []


@pytest.mark.parametrize(
    ("value", "is_one"),
    [("station_iduser_id", True), ("station_id", False), ("energy", False)],
)
def test_cells_glued_together_are_seen(value, is_one):
    assert is_glued(value, "station_id and user_id, then energy") is is_one


@pytest.mark.parametrize(
    ("line", "short"),
    [
        ("The Open Charge Point Protocol (OCPP) is old.", "OCPP"),
        ("It speaks OCPP (Open Charge Point Protocol).", "OCPP"),
        ("- CSO: Charging Station Operator", "CSO"),
        ("| CSO | Charging Station Operator |", "CSO"),
        ("The Department of Energy’s (DOE) grants", "DOE"),
    ],
)
def test_abbreviations_are_asked_both_ways(line, short):
    found = {c.question: c.answer for c in candidates_of(passage(line), Vocabulary())}
    long = found[f"What does {short} stand for?"].removeprefix(f"{short} stands for ").rstrip(".")
    assert "’" not in long
    assert f"What is the abbreviation for {long}?" in found


@pytest.mark.parametrize(
    ("line", "is_term"),
    [
        ("Port Count: The number of ports that can be used at the same time.", True),
        ("| Port Count | The number of ports in use at the same time. |", True),
        ("Solar: The percentage shows how much energy comes from the roof.", False),
        ("Grid Relay: A relay of the provider is connected to the board.", False),
        ("Possible values: A number between nought and one hundred.", False),
    ],
)
def test_a_term_is_explained_by_a_thing_and_not_by_a_sentence(line, is_term):
    asked = [c for c in candidates_of(passage(line), Vocabulary()) if c.template == "term"]
    assert bool(asked) is is_term


def test_a_table_is_asked_by_row():
    found = {c.question: c.answer for c in candidates_of(passage(TABLE), Vocabulary())}
    assert found["What is the standard for Type 1?"] == "The standard for Type 1 is SAE J1772."
    assert found["How many pins does Type 2 have?"] == "Type 2 has 7 pins."
    assert found["What is the highest power for Type 2?"] == (
        "The highest power for Type 2 is 43 kW."
    )


@pytest.mark.parametrize(
    "table",
    [
        "| only | header |",
        "| A | B |\n| x | y |",
        "| A | B |\n| same | 1 V |\n| same | 2 V |",
        "| A | B |\n| x |\n| y | z |",
        "| A | |\n| x | 1 |\n| y | 2 |",
        "| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |",
        "| A | A |\n| x | 1 |\n| y | 2 |",
        "| Plug | Note |\n| x | - |\n| y | n/a |",
    ],
)
def test_tables_that_tell_nothing_apart_give_none(table):
    assert questions(table) == []


def test_headings_that_ask_are_answered_by_what_follows():
    answer = "Seven: three phases, neutral, earth and two pilots."
    text = f"## How many pins does Type 2 have?\n\n{answer} Blue. Red."
    (found, *_) = candidates_of(passage(text), Vocabulary())
    assert found.question == "How many pins does Type 2 have?"
    assert found.answer.startswith("Seven: three phases")


@pytest.mark.parametrize(
    "text",
    [
        "# What is it all about?\n\nJane, 2024",
        "## And here?\n\nYes, it does.",
        "## Wh?\n\n| a | b |",
    ],
)
def test_titles_and_fragments_are_no_questions(text):
    assert questions(text) == []


def test_a_list_answers_its_introduction():
    text = "A home installation needs:\n\n- a dedicated circuit\n- a residual-current device"
    assert "What does a home installation need?" in questions(text)
    (found,) = candidates_of(passage(text), Vocabulary.of(WORLD))
    assert found.answer == "a dedicated circuit; a residual-current device."


def test_the_number_of_pairs_a_chunk_is_bounded_and_second_questions_go_first():
    text = " ".join(f"A {n} kW wallbox draws {n + 10} A at home." for n in range(10, 20))
    config = QAConfig(max_pairs_per_chunk=5)
    found = [pair for pair, _ in generate_extractive([passage(text)], config)]
    assert len(found) == 5
    assert len({p.quote for p in found}) == 5


SENTENCES = st.sampled_from(
    [
        "A 7.4 kW wallbox draws 32 A at 230 V.",
        "CCS stands for Combined Charging System.",
        "| Plug | Pins |\n| Type 1 | 5 |\n| Type 2 | 7 |",
        "## What is a wallbox?",
        "It depends; nobody knows, and 5 of 7 agree.",
        "- item of 3 kW:",
        "A station needs: ",
        "€ 5 , 6 % , and -- ?",
        "The the the has has 3 of of.",
    ]
)


@settings(deadline=None)
@given(st.lists(SENTENCES, max_size=8))
def test_whatever_stands_there_every_answer_is_supported(parts):
    held = passage("\n\n".join(parts))
    for found, _ in generate_extractive([held], QAConfig()):
        text = held.chunk.text
        assert text[found.quote_start : found.quote_end] == found.quote
        assert (
            rejection(found, held.chunk) is None
            or rejection(found, held.chunk)[0] != "quote_not_found"
        )


@pytest.mark.parametrize(
    ("base", "third", "past"),
    [
        ("need", "needs", "needed"),
        ("carry", "carries", "carried"),
        ("pass", "passes", "passed"),
        ("use", "uses", "used"),
        ("drop", "drops", "dropped"),
        ("stay", "stays", "stayed"),
        ("go", "goes", "goed"),
    ],
)
def test_regular_forms_of_verbs(base, third, past):
    assert (third_person(base), regular_past(base)) == (third, past)


@pytest.mark.parametrize(
    ("subject", "plural"),
    [
        ("a plug", False),
        ("carmakers", True),
        ("the pins of a plug", True),
        ("each of the plugs", False),
        ("CCS", False),
        ("AC and DC", True),
        ("the status", False),
    ],
)
def test_number_of_a_subject(subject, plural):
    assert is_plural(subject) is plural


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("A wallbox", "a wallbox"),
        ("A 16 A charger", "a 16 A charger"),
        ("Type 2 plugs", "Type 2 plugs"),
        ("Tesla drivers", "Tesla drivers"),
        ("AFIR rules", "AFIR rules"),
        ("Carmakers in Japan", "carmakers in Japan"),
        ("Adding 36 kWh", "adding 36 kWh"),
        ("Plug & Charge", "Plug & Charge"),
    ],
)
def test_the_first_word_loses_its_capital_unless_it_is_a_name(text, inside):
    assert lower_first(text, Vocabulary.of(WORLD)) == inside


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("plug", "a plug"),
        ("inlet", "an inlet"),
        ("uptime", "an uptime"),
        ("unit", "a unit"),
        ("hour", "an hour"),
        ("11 kW car", "an 11 kW car"),
        ("8 A fuse", "an 8 A fuse"),
        ("EV", "an EV"),
        ("CCS car", "a CCS car"),
    ],
)
def test_articles_follow_the_sound(noun, expected):
    assert with_article(noun) == expected


def test_categories_go_by_weight_and_whole_words():
    keywords = {"pricing": ["price", "fee"], "speed": ["kw"]}
    assert categorise([("The price and the fee", 1.0), ("50 kW", 1.0)], keywords) == "pricing"
    assert categorise([("The price", 1.0), ("50 kW", 3.0)], keywords) == "speed"
    assert categorise([("feedback, kwh", 1.0)], keywords) == "general"
    assert categorise([("x", 1.0)], {}) == "general"
