"""Offline, isolated, in no order: what every test stands on."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from tiny_texts import TEXTS

# a shell that starts the tests in the background has them, and their children, ignore Ctrl-C
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_hydra():
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def tiny_config():
    """The model config of a base of 0.1 M parameters."""
    from evqa.config import load_config

    return load_config(
        "train",
        [
            "model.architecture.num_layers=2",
            "model.architecture.hidden_size=64",
            "model.architecture.intermediate_size=128",
            "model.architecture.num_attention_heads=4",
            "model.architecture.num_key_value_heads=2",
            "model.architecture.head_dim=16",
            "model.architecture.vocab_size=384",
            "model.pretrain.num_epochs=1",
            "model.pretrain.sequence_tokens=32",
            "model.pretrain.batch_size=2",
            "model.max_length_tokens=128",
            "memory=none",
            "logger=none",
            "trainer=cpu",
        ],
    )


@pytest.fixture(scope="session")
def tiny_folder(tiny_config, tmp_path_factory):
    """A small Llama in Hugging Face format, made as the embedded base is."""
    from evqa.models.tiny import ensure_tiny

    cache = tmp_path_factory.mktemp("models")
    return ensure_tiny(tiny_config.model, TEXTS, cache, lambda *_: None)


@pytest.fixture
def tiny_base(tiny_config, tiny_folder):
    """The small model loaded in NF4 with its tokenizer."""
    from evqa.models.base import load

    return load(tiny_folder, tiny_config.model, tiny_config.quantization, "cpu")
