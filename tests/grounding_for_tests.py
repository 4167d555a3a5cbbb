"""How validation judges an answer to a question by a quote, for the tests of its rules."""

from records_for_tests import chunk, pair

from evqa.qa.validate import rejection


def reason(quote, question, answer, around=""):
    """Why the answer is refused, null when it is kept."""
    found = rejection(pair(question, answer, quote), chunk(f"{quote}{around}"))
    return found and found[0]
