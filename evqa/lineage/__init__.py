"""From a served answer back to its documents, and from a manifest back to the same bytes."""
