"""Does an answer say what its quote says: statement by statement, by rules and word lists."""
