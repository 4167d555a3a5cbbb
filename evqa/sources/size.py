"""How many words the configured files hold, from a sample of them: reading all takes minutes."""

from collections.abc import Sequence

from evqa.config.data import SourcesConfig
from evqa.records import Document
from evqa.sources.collect import list_files, list_urls
from evqa.sources.raw import RawFile
from evqa.sources.read import read_one

SAMPLE_FILES = 6  # of each kind, spread over the list
WORDS_PER_URL = 1500  # a usual article


def estimated_words(config: SourcesConfig) -> int:
    """Return about how many words will be read; pages not yet fetched count as usual articles.

    Raises:
        UserError: when a folder or the file of addresses does not exist.
    """
    files = list_files(config)
    kinds = ("html", "pdf", "text")
    local = sum(_words_of([f for f in files if f.kind == kind], config) for kind in kinds)
    return local + WORDS_PER_URL * len(list_urls(config))


def _words_of(files: Sequence[RawFile], config: SourcesConfig) -> int:
    if not files:
        return 0
    step = max(1, len(files) // SAMPLE_FILES)
    sample = files[::step][:SAMPLE_FILES]
    num_words = 0
    for file in sample:
        found = read_one(file, config)
        num_words += len(found.text.split()) if isinstance(found, Document) else 0
    num_bytes = sum(file.num_bytes for file in sample)
    total = sum(file.num_bytes for file in files)
    return round(num_words * total / max(num_bytes, 1))
