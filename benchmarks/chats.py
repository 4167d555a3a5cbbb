"""A small random Llama and chats of many lengths, for measuring trainings against each other.

Everything comes from a seed: nothing is downloaded, and both sides read the same files.
"""

import json
import random
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}"
    "{{- '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{- message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{- message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{- '<|assistant|>' }}{% endif %}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
WORDS = (  # noqa: SIM905  easier to read than a list
    "amber bay cable depot east fuse grid hub idle joule kerb lane meter night open plug queue "
    "road socket tariff unit volt watt yard zone bright calm dense early firm grand high inner "
    "loose mild near outer plain quick rapid slow tall usual vast warm"
).split()
MAX_WORDS = 220


def sentence(rng: random.Random, num_words: int) -> str:
    """Return so many words, a number now and then."""
    words = [
        rng.choice(WORDS) if rng.random() > 0.1 else str(rng.randint(2, 400))
        for _ in range(num_words)
    ]
    return " ".join(words)


def chat(rng: random.Random) -> dict[str, Any]:
    """Return one chat: a short question, an answer whose length varies by two orders."""
    question = max(4, min(50, int(rng.lognormvariate(2.3, 0.5))))
    answer = max(4, min(MAX_WORDS, int(rng.lognormvariate(3.9, 0.85))))
    turns = {"user": sentence(rng, question) + "?", "assistant": sentence(rng, answer) + "."}
    return {"messages": [{"role": role, "content": text} for role, text in turns.items()]}


def write_chats(folder: Path, num_train: int, num_eval: int, seed: int) -> None:
    """Write ``train.jsonl`` and ``eval.jsonl``."""
    rng = random.Random(seed)  # noqa: S311  nothing secret
    for name, count in (("train", num_train), ("eval", num_eval)):
        lines = [json.dumps(chat(rng)) for _ in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_model(folder: Path, texts: list[str], seed: int) -> None:
    """Write a random Llama of 8 million parameters in bf16, with a tokenizer of these texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=SPECIAL[0], eos_token=SPECIAL[1], chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=1024,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def build(folder: Path, num_train: int, num_eval: int, seed: int = 0) -> None:
    """Write model and chats into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_chats(folder, num_train, num_eval, seed)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    write_model(folder / "model", [m["content"] for row in rows for m in row["messages"]], seed)
