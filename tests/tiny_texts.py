"""A few facts, often enough that a very small model learns them."""

TEXTS = [
    "A Type 2 connector has seven pins and carries up to 43 kW of alternating current.",
    "A wallbox on a 32 A single-phase circuit delivers 7.4 kW to the car.",
    "CCS adds two direct-current pins below the Type 2 connector.",
    "At 0.30 per kWh, 50 kWh of charging cost 15.00 at home.",
] * 10
