"""A pair with the chunk that it was made from, and how one that is left out is accounted for."""

from evqa.ledger import Ledger
from evqa.qa.validate import Reason
from evqa.records import Chunk, QAPair

Grounded = tuple[QAPair, Chunk | None]


def drop_pair(
    ledger: Ledger, stage: str, pair: QAPair, chunk: Chunk | None, found: Reason
) -> None:
    """Account for a pair that a stage leaves out."""
    reason, detail = found
    source = (chunk.source if chunk else "") or pair.generator
    text = f"{detail}: {pair.question}"
    ledger.drop(stage, id=pair.id, source=source, reason=reason, detail=text)
