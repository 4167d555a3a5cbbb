"""``python -m evqa.pipeline``: from documents to a registered version, one stage after another.

A stage whose work is there already is not done again: the dataset by its id, the run, evaluation
and version by the hash of what went in (inputs, config, code), kept in their own manifests. So a
pipeline that was killed goes on where it was, and one with nothing changed only looks.
"""
