"""What a run leaves is nobody's but peft's: other trainers load it and go on."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from evqa.config import TrainConfig, from_dict, to_dict
from evqa.data.dataset import build_samples
from evqa.ledger import Ledger
from evqa.models.base import load
from evqa.models.load import attach_adapter
from evqa.records import QAPair
from evqa.tracking import Tracker
from evqa.training.fit import fit
from evqa.training.run import prepare_process

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers" / "trl_continue.py"
PEER = "EVQA_PEER_PYTHON"


@pytest.fixture(scope="module")
def adapter(tiny_config, tiny_folder, tmp_path_factory):
    """The adapter folder of a short training."""
    config = from_dict(TrainConfig, to_dict(tiny_config))
    config.trainer.num_epochs, config.callbacks.progress_bar = 2, False
    prepare_process(0, 1)
    base = load(tiny_folder, config.model, config.quantization, "cpu")
    model = attach_adapter(base.model, config.lora)
    pairs = [
        QAPair(
            id=f"p{n}", question=f"How much is {n}?", answer=f"It is {n} kW.", quote=None,
            quote_start=None, quote_end=None, chunk_id=None, document_id=None, category="x",
            difficulty="easy", split="train", generator="shipped", provenance={},
        )
        for n in range(32)
    ]  # fmt: skip
    samples = build_samples(pairs, base.tokenizer, 128, Ledger())
    folder = tmp_path_factory.mktemp("run")
    fit(config, model, base.tokenizer, samples, folder, Tracker(None))
    return folder / "adapter"


def test_plain_peft_loads_it_and_goes_on(adapter, tiny_folder):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(adapter)
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    model = PeftModel.from_pretrained(base, adapter, is_trainable=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert any("lora_B" in n and p.abs().max() > 0 for n, p in model.named_parameters())
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    ids = torch.tensor([tokenizer.encode("How much is 5? It is 5 kW.")])
    losses = []
    for _ in range(6):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_trl_goes_on_with_it(adapter, tiny_folder):
    """TRL lives in an environment of its own: EVQA_PEER_PYTHON names its python."""
    peer = os.environ.get(PEER)
    if not peer:
        pytest.skip(f"{PEER} is not set: TRL has an environment of its own")
    done = subprocess.run(
        [peer, SCRIPT, tiny_folder, adapter],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["trainable"] > 0
    assert result["moved"] > 0
    assert result["losses"][-1] < result["losses"][0]
