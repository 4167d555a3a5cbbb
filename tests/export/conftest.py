import pytest
from tiny_llama import build_tiny_adapter, build_tiny_llama


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """The base has no tokenizer: it must come from the adapter folder."""
    return build_tiny_llama(tmp_path_factory.mktemp("base") / "tiny", with_tokenizer=False)


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base, tmp_path_factory):
    return build_tiny_adapter(tiny_base, tmp_path_factory.mktemp("adapter") / "adapter")
