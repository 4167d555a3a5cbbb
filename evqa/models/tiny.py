"""The embedded base model: a small Llama with a byte-level BPE tokenizer, made from documents.

Pre-trained once on the training documents and cached under the hash of everything that goes into
it, so a second run finds it ready. Shapes: B sequences of S tokens a step.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from evqa.architectures import Architecture
from evqa.config.compose import to_dict
from evqa.config.model import ModelConfig
from evqa.errors import UserError
from evqa.files import atomic_folder, folder_lock, sha256_json, write_json
from evqa.models.chat import OWN_SPECIAL_TOKENS, OWN_TEMPLATE
from evqa.models.load import quiet_bars

RECIPE_VERSION = 1  # raise it when the same inputs would give another model
WARMUP_FRACTION = 0.1

OnStep = Callable[[int, int, float], None]


def tiny_id(model: ModelConfig, texts: Sequence[str]) -> str:
    """Return the folder name that a base from these texts has: the hash of all that goes in."""
    recipe = to_dict(model.architecture) | to_dict(model.pretrain)
    return "tiny-" + sha256_json([RECIPE_VERSION, torch.__version__, recipe, list(texts)])[:16]


def ensure_tiny(
    model: ModelConfig, texts: Sequence[str], cache_dir: Path, on_step: OnStep
) -> Path:
    """Return the folder of the embedded base, making it first when it is not there yet.

    Args:
        model: Its architecture and how to pre-train it.
        texts: The training documents.
        cache_dir: Where it is kept; two processes at once make it once.
        on_step: Called with (step, number of steps, loss).

    Raises:
        UserError: there is too little text for one step.
    """
    folder = cache_dir / tiny_id(model, texts)
    if (folder / "config.json").is_file():
        return folder
    with folder_lock(cache_dir):
        if not (folder / "config.json").is_file():
            with atomic_folder(folder) as temporary:
                _build(model, texts, temporary, on_step)
    return folder


def _build(model: ModelConfig, texts: Sequence[str], folder: Path, on_step: OnStep) -> None:
    quiet_bars()
    tokenizer = train_tokenizer(texts, model.architecture.vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.pretrain.seed)
        network = build_llama(model, tokenizer)
        losses = pretrain(network, _token_stream(tokenizer, texts), model, on_step)
    network.save_pretrained(folder)
    # Set after the documents were encoded whole: it makes the tokenizer warn of long texts.
    tokenizer.model_max_length = model.architecture.max_position_embeddings
    tokenizer.save_pretrained(folder)
    write_json(folder / "pretraining.json", {"num_steps": len(losses), "loss": losses[-1:]})


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> Any:
    """Train a byte-level BPE tokenizer (https://arxiv.org/abs/1508.07909) with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(OWN_SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",  # noqa: S106  a token of the vocabulary
        eos_token="<|end|>",  # noqa: S106
        extra_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        chat_template=OWN_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_llama(model: ModelConfig, tokenizer: Any) -> Any:
    """Return a randomly initialised Llama of ``model.architecture``; seed torch before."""
    from transformers import LlamaConfig, LlamaForCausalLM

    values = Architecture.from_config(model.architecture).transformers_values()
    config = LlamaConfig(
        **{**values, "vocab_size": max(values["vocab_size"], len(tokenizer))},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).to(torch.float32)


def _token_stream(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    ids: list[int] = []
    for text in texts:
        ids.extend(tokenizer.encode(text, add_special_tokens=False))
        ids.append(tokenizer.eos_token_id)
    return torch.tensor(ids)


def pretrain(
    network: Any, stream: torch.Tensor, model: ModelConfig, on_step: OnStep
) -> list[float]:
    """Train the network on the documents' tokens, and return the loss of each step.

    Raises:
        UserError: fewer tokens than one sequence holds.
    """
    plan = model.pretrain
    starts_end = len(stream) - plan.sequence_tokens
    if starts_end < 1:
        raise UserError(
            f"model.pretrain needs at least {plan.sequence_tokens + 1} tokens of training "
            f"documents, but got {len(stream)}"
        )
    tokens_a_step = plan.batch_size * plan.sequence_tokens
    num_steps = max(1, plan.num_epochs * len(stream) // tokens_a_step)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.lr, weight_decay=0.1)
    network.train()
    losses = []
    for step in range(num_steps):
        _set_lr(optimizer, plan.lr, step, num_steps)
        starts = torch.randint(0, starts_end, (plan.batch_size,))
        batch = torch.stack([stream[s : s + plan.sequence_tokens] for s in starts.tolist()])
        loss = network(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        on_step(step + 1, num_steps, losses[-1])
    return losses


def _set_lr(optimizer: torch.optim.Optimizer, peak: float, step: int, num_steps: int) -> None:
    warmup = min(1.0, (step + 1) / (WARMUP_FRACTION * num_steps + 1))
    cosine = 0.1 + 0.45 * (1 + math.cos(math.pi * step / num_steps))
    for group in optimizer.param_groups:
        group["lr"] = peak * warmup * cosine
