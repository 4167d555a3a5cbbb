"""Which words and ways to ask mean the same in questions on a technical domain, and which do not.

General English and the vocabulary of electric-vehicle charging; another domain only loses some
recall when its own synonyms are not here.
"""

import re

# What is asked for → how that is asked.
_ASKED = {
    "current": r"\b(?:what (?:is|was) the (?:\w+ ){0,3}?current\b|how (?:much|many|strong) (?:a )?(?:current|amp|ampere|milliamp)|(?:what|which) (?:\w+ )?"
    r"(?:current|amperage|fuse|breaker)|how many (?:amps|amperes|ma|a)\b|at (?:what|which|how many) "
    r"(?:current|amps|amperes|ma)|amperage|breaker (?:size|rating)|(?:size|rating) of (?:circuit )?breaker)",
    "power": r"\b(?:how much (?:\w+ ){0,3}?power|(?:what|which) (?:\w+ ){0,3}?power|how many "
    r"(?:kw|kilowatts?|watts?|mw|kva)\b|how (?:fast|quick|strong|powerful)|power (?:level|rating)|"
    r"(?:what|which) (?:\w+ )?(?:rating|wattage|output)|to (?:what|which) power)",
    "energy": r"\b(?:how much (?:\w+ ){0,2}?energy|how many (?:kwh|kilowatt[- ]hours?)|"
    r"(?:what|which) (?:\w+ ){0,3}?energy|how much electricity)",
    "voltage": r"\b(?:what (?:is|was) the (?:\w+ ){0,3}?voltage|how many volts|(?:what|which) (?:\w+ ){0,2}?voltage|voltage of|how much voltage)",
    "duration": r"\b(?:how long (?:does|do|is|will|would|must|can|may|did|should|have|has|it)|how many "
    r"(?:minutes|hours|seconds|months|days|weeks|years)|(?:what|which) (?:\w+ )?(?:time|duration|"
    r"wait|delay)|how much time|for how long|time (?:needed|required|limit)|in what time)",
    "price": r"\b(?:how much (?:money|does .{1,80} (?:cost|charge|pay)|do .{1,80} (?:cost|pay|charge)|"
    r"(?:is|are) the .{0,40}(?:price|fee|cost|charge)|must .{1,60} pay|will .{1,60} (?:cost|pay)|would)|"
    r"(?:what|which) (?:\w+ ){0,4}?(?:price|fee|tariff|cost|rate|charge)s?\b|what (?:does|do|did|will|"
    r"would|must) .{1,80}\b(?:cost|pay|charge)s?\b|price of|how many (?:cents|pence|euros|dollars|pounds)|"
    r"how expensive|what is charged)",
    "date": r"(?:^(?:when|since when)\b|\b(?:since (?:what|which)|(?:in|on|from|by) (?:what|which) (?:year|date|day|"
    r"month)|what (?:year|date)|which (?:year|date)|how old|from which date)\b)",
    "place": r"\b(?:where|in (?:what|which) (?:country|place|city|document))\b",
    "person": r"\b(?:who|whom|whose|(?:what|which) (?:\w+ )?(?:company|carmaker|manufacturer|maker|"
    r"firm|party|authority|operator))\b",
    "reason": r"\b(?:why|for what reason|what (?:is|was) the (?:reason|purpose)|how come)\b",
    "share": r"\b(?:share of|percentage of|at what rate of|(?:what|which) (?:\w+ )?(?:share|percentage|proportion|fraction|per ?cent|part|uptime|"
    r"efficienc(?:y|ies)|vat|soc|state of charge)|how many (?:percent|per cent)|how (?:reliable|"
    r"efficient))",
    "distance": r"\b(?:how (?:far|high|deep|wide|tall)|how many (?:km|kilometres|miles|metres|"
    r"inches|mm|nautical)|(?:what|which) (?:\w+ )?(?:distance|height|range|depth|interval|spacing)|"
    r"how much (?:cable|range)|between (?:what|which) heights)",
    "temperature": r"\b(?:how (?:warm|hot|cold)|(?:what|which) (?:\w+ )?temperature)",
    "frequency": r"\b(?:(?:what|which) (?:\w+ ){0,2}?frequency|how many (?:khz|hz|hertz|kilohertz))",
    "standard": r"\b(?:(?:what|which|under which|by which|as which) (?:\w+ ){0,3}?\b(?:standards?\b|norm|"
    r"regulation|number(?! of)|specification|qualification|certificate|document))",
    "size": r"\b(?:(?:what|which|with what|with which) (?:\w+ ){0,3}?(?:size|cross-section|gauge|diameter|"
    r"thickness)|how thick|how large|how big)",
    "resistance": r"\b(?:(?:what|which) (?:\w+ ){0,2}?(?:resistor|resistance)|how many ohms)",
    "count": r"\b(?:how many (?!kw|kilowatt|watts?\b|mw\b|kva|amp|milliamp|ma\b|a\b|kwh|volts|minutes|hours|seconds|"
    r"months|days|weeks|years|cents|pence|euros|dollars|pounds|percent|per cent|km\b|kilomet|miles|"
    r"metres|inches|mm\b|nautical|khz|hz|hertz|ohms)|what (?:is the )?(?:number|count|total) of|"
    r"how large a number)",
    "definition": r"\b(?:stands? for|short for|abbreviat|acronym|what (?:is|are) (?:a |an |the )?"
    r"[\w/&-]+(?: [\w/&-]+)?\?|define|definition|meant by|what does .{1,50} mean\b)",
    "often": r"\b(?:how (?:often|frequently))\b",
}
ASKED = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _ASKED.items()}

# Ways to say one thing in several words, brought to one spelling before words are compared.
_PHRASES = (
    (r"\b(?:level|mode|type|case|class|range|state|part) (?=[A-Z0-9]\b|\d)", lambda m: m[0].rstrip()),
    (r"\b(?:electric(?:al)?|plug-in) (?:vehicle|car|automobile)s?\b", "car"),
    (r"\b(?:evs?|bevs?)\b", "car"),
    (r"\bbattery[- ]electric (?:vehicle|car)s?\b", "batterycar"),
    (r"\bplug-?in hybrids?(?: (?:vehicle|car)s?)?\b", "hybridcar"),
    (r"\b(?:united kingdom|great britain|uk|british)\b", "britain"),
    (r"\b(?:united states|u\.?s\.?a?|american|america)\b(?! \w+ charging standard)", "usa"),
    (r"\b(?:european union|eu)\b", "europeanunion"),
    (r"\b(?:single|one)[- ]phase\b|\bon (?:a single|one) phase\b", "singlephase"),
    (r"\bthree[- ]phases?\b", "threephase"),
    (r"\bstate of charge\b|\bsoc\b", "chargestate"),
    (r"\bcharg(?:e|ing) (?:point|post|station|pole|unit)s?\b", "charger"),
    (r"\bwall[- ]?(?:box(?:es)?|charger|connector|unit)s?\b", "wallbox"),
    (r"\bresidual[- ]current (?:device|breaker)s?\b|\brcds?\b", "rcd"),
    (r"\bcircuit breakers?\b", "breaker"),
    (r"\bdirect current\b", "DC"),
    (r"\balternating current\b", "AC"),
    (r"\bon[- ]?board charger\b", "onboardcharger"),
    (r"\b(?:domestic|household|ordinary|regular|normal) (?:wall )?(?:socket|outlet)s?\b", "homesocket"),
    (r"\bduty (?:cycle|ratio)\b", "dutycycle"),
    (r"\bper (?:month|monthly)\b|\beach month\b|\ba month\b|\bmonthly\b", "permonth"),
    (r"\bper (?:year|annum)\b|\beach year\b|\ba year\b|\byearly\b|\bannual(?:ly)?\b", "peryear"),
    (r"\bper (?:day|daily)\b|\beach day\b|\ba day\b|\bdaily\b", "perday"),
    (r"\bper night\b|\beach night\b|\bovernight\b|\bat night\b|\bby night\b|\bnightly\b", "night"),
    (r"\bper hour\b|\beach hour\b|\ban hour\b|\bhourly\b", "perhour"),
    (r"\bcomes? into (?:force|effect)\b|\btakes? effect\b|\bcame into (?:force|effect)\b|"
     r"\bbecomes? law\b|\btook effect\b|\bbecame binding\b", "apply"),
    (r"\bat (?:least|a minimum)\b|\bno less than\b|\bminimum\b|\bminimal\b", "minimum"),
    (r"\bat (?:most|a maximum)\b|\bno more than\b|\bup to\b|\bmaximum\b|\bmaximal\b|\btop\b|\bpeak\b",
     "maximum"),
    (r"\bgerman\b", "germany"), (r"\bfrench\b", "france"), (r"\bchinese\b", "china"),
    (r"\bnorwegian\b", "norway"), (r"\beuropean\b", "europe"), (r"\bworld-?wide\b", "world"),
    (r"\bwhen (?:the )?(?:car|vehicle) is (?=charg)", "while "),
    (r"\b(?:more than|over|exceeding)\b", "above"),
    (r"\bout of (?:order|service|action)\b|\bunavailable\b|\bbroken\b", "down"),
)  # fmt: skip
PHRASES = tuple((re.compile(pattern, re.IGNORECASE), value) for pattern, value in _PHRASES)

# One line, one meaning: the first word stands for the rest.
_SYNONYMS_TEXT = """
current amp amps ampere amperes amperage a milliampere milliamp ma
power kw kilowatt kilowatts watt watts wattage rating rate fast quick quickly rapidly speed powerful strong capability output
energy kwh kilowatt-hour kilowatt-hours electricity
voltage volt volts v
duration time minute minutes hour hours long
price cost costs fee pay paid charged charges tariff expensive money expense bill priced
plug connector coupler
pin pins contact contacts
socket outlet receptacle
car vehicle automobile
driver motorist
charger chargepoint chargepost evse
charge charging recharge recharging charged
cable cord lead
fill filling filled top replenish
deliver delivers delivered supply supplies supplied provide provides provided offer output yield feed gives
draw draws drawn pull pulls consume consumes take takes
share percentage proportion fraction percent
distance far spacing interval apart gap km kilometre kilometres miles mile metres inches
operator company firm
standard norm specification standardised specified
law regulation rule regulations act
introduced introduce launched launch appeared debuted started unveiled
founded established created set
electrician installer
limited restrict restricted capped cap limit limits throttled dim dimmed curtail
needed required require requires must demand demands call calls necessary obligatory stipulate prescribe
usual usually typical typically normally commonly customary standardly
lost lose loses loss losses wasted
home house household domestic residential residence
street kerb roadside
truck lorry hgv
run runs operate operates running
contain contains comprise holds include includes counted counts
between among
allow allows permit permits allowed permitted
reach reaches attain achieve
communication communicate talk
split divided divide sharing shared
equal equals correspond corresponds equivalent amount
remain remains left available
notify notified report reported registered
mounted fixed attached installed
outdoors outside outdoor
depot garage
survey study investigation
test tested tried tester testers checked
found find finds discovered
world worldwide globe global globally
motorway highway freeway
harbour marina port
boat vessel ship
resident residents inhabitant inhabitants local locals
visitor visitors guest guests outsider outsiders nonresident
swap swaps exchange exchanges
rent rents rental lease hire
begin begins start starts commence
end ends finish finishes
earn saving save
petrol gasoline gas
month monthly
owner owns own
contract agreement
wireless wirelessly inductive cordless
heat warmth thermal
loss dissipated
height heights high tall
cross-section size gauge
wait queue waiting
session sessions
working functional operational functioning
quote state cite advertise
danger risk hazard peril
begin start
throttle limited
ohm resistor resistance
nominal nominally
tax taxed vat
public-charger chargepoint
open opened opens
permit allow
reported registered notify
wire wired wiring
launch introduced
temperature warm warmth hot cold
wireles wireless
announce announced
consent agree approve approval
bear carry carries
define defines defined
cover covers covered deal
lay laid
uptime reliability availability reliable
nation country state
subscription membership
"""


def _synonyms(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.strip().splitlines():
        head, *others = line.split()
        for word in (head, *others):
            found.setdefault(word, head)
    return found


SYNONYMS = _synonyms(_SYNONYMS_TEXT)

# Words of one line exclude each other: questions that differ in them ask different things.
_OPPOSITES_TEXT = """
ac dc
singlephase threephase
minimum maximum average median mean
most least fewest
highest lowest
largest smallest
strongest weakest
home public work motorway supermarket street
before after during
increase decrease
rise fall
input output
winter summer
night day
weekday weekend saturday sunday
old new
first second third last
previous next
cheapest dearest
britain usa germany france europeanunion norway china japan netherlands europe spain italy ireland scotland california
car truck bus boat van hybridcar batterycar motorcycle taxi
discharge charge
fast slow
rapid ultra-rapid
upper lower
start end
resident visitor
member nonmember
tenant landlord
driver operator
north south east west
left right
core comprehensive
red blue
copper aluminium
outdoors indoors
male female
plug socket inlet cable
fire water
buy sell
kilometre mile
with without
smart public
earth neutral phase
install remove
empty full
january february march april may june july august september october november december
"""
OPPOSITES = tuple(frozenset(line.split()) for line in _OPPOSITES_TEXT.strip().splitlines())

# Words that turn a question when only one of two has them.
MARKED = frozenset(
    ["ac", "dc", "truck", "bus", "boat", "ultra", "non", "park", "heat", "hybridcar"]
)

# Words that say little of what is asked: questions may differ in them on both sides.
_LIGHT_TEXT = """
before without after other beside adopt since date
deliver draw limited needed contain allow reach run equal remain notify mounted begin end used use
become go come bring add stand belong carry keep offer find hold receive obtain expect describe
house include cover comprise known work function set put pass away back again still already then
them each both together kept case time part place side year day month hour amount rate level while
ahead colder below under given give large high low long certain own new main whole entire full
first last same different single double normal nominal real actual possible average least most
usual fill size number figure kind type power price share duration distance current voltage energy
date year cost minute quote state serve open opened take taken buy sell be only more less than
maximum minimum drive driv lead show say ask tell call name per connect connected across along
within inside toward between among around near public electric sort store
"""
LIGHT = frozenset(_LIGHT_TEXT.split())
