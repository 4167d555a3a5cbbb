"""Go on with an adapter in TRL's SFTTrainer; runs in TRL's own venv.

usage: python trl_continue.py MODEL_FOLDER ADAPTER_FOLDER

Prints one JSON line: losses of four steps, and how far the adapter moved.
"""

import json
import sys
import tempfile

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

NUM_STEPS = 4


def main() -> None:
    """Load, train, print."""
    folder, adapter = sys.argv[1], sys.argv[2]
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter, is_trainable=True)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    messages = [
        {"role": "user", "content": "How much is it?"},
        {"role": "assistant", "content": "It is 7.4 kW."},
    ]
    with tempfile.TemporaryDirectory() as out:
        settings = SFTConfig(
            output_dir=out, max_steps=NUM_STEPS, per_device_train_batch_size=2, learning_rate=1e-3,
            logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, bf16=False,
            disable_tqdm=True, assistant_only_loss=True,
        )  # fmt: skip
        rows = Dataset.from_list([{"messages": messages}] * 8)
        trainer = SFTTrainer(
            model=model, args=settings, train_dataset=rows, processing_class=tokenizer
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    after = {n: p.detach() for n, p in trainer.model.named_parameters() if p.requires_grad}
    moved = max(float((after[n] - p).abs().max()) for n, p in before.items())
    result = {"losses": [float(x) for x in losses], "moved": moved, "trainable": len(after)}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
