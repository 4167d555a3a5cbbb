"""The chat template, applied in one place for training, evaluation and serving.

The training system prompt becomes the default of the saved template, so that a client who sends
only a user message gets the same token ids as in training. Labels cover the assistant's words and
the token that ends its turn; they come from the template's generation markers where it has them,
else from a verified prefix.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evqa.errors import UserError
from evqa.files import sha256_bytes

Message = dict[str, str]
IGNORED_LABEL = -100  # torch.nn.CrossEntropyLoss leaves these positions out
# Llama 3's template prints today's date unless told one: prompts would change every day.
FIXED_DATE = "26 Jul 2024"

OWN_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'assistant' %}"
    "{{- '<|assistant|>' }}"
    "{%- generation %}{{- message['content'] + '<|end|>' }}{%- endgeneration %}"
    "{%- else %}"
    "{{- '<|' + message['role'] + '|>' + message['content'] }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)
OWN_SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")


def with_default_system(template: str, system_prompt: str) -> str:
    """Return a template that says ``system_prompt`` first when the caller gives no system turn."""
    system = json.dumps({"role": "system", "content": system_prompt}, ensure_ascii=False)
    opening = (
        "{%- if messages and messages[0]['role'] != 'system' %}"
        f"{{%- set messages = [{system}] + messages %}}"
        "{%- endif %}"
    )
    return (
        (opening if system_prompt else "")
        + f"{{%- if date_string is not defined %}}{{%- set date_string = '{FIXED_DATE}' %}}"
        "{%- endif %}" + template
    )


def prepare_tokenizer(tokenizer: Any, system_prompt: str) -> Any:
    """Give a tokenizer the template with our default system prompt, and a pad token.

    Raises:
        UserError: a tokenizer without an end-of-sequence token, or a template that refuses a
            system turn.
    """
    if tokenizer.eos_token_id is None:
        raise UserError(f"{tokenizer.name_or_path}: the tokenizer has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    template = tokenizer.chat_template
    if not template:
        template = _plain_template(tokenizer.eos_token)
    tokenizer.chat_template = with_default_system(template, system_prompt)
    _try_template(tokenizer)
    return tokenizer


def _try_template(tokenizer: Any) -> None:
    from jinja2 import TemplateError

    try:
        prompt_ids(tokenizer, question_messages("?"))
    except TemplateError as error:
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template fails ({error}); where it knows no "
            "system turn, set model.system_prompt=''"
        ) from None


def _plain_template(eos_token: str) -> str:
    """Return the template of base models that bring none: roles as words, one turn a line."""
    end = json.dumps(eos_token)
    return (
        "{%- for message in messages %}"
        "{{- message['role'] | capitalize + ': ' }}"
        "{%- if message['role'] == 'assistant' %}"
        f"{{%- generation %}}{{{{- message['content'] + {end} }}}}{{%- endgeneration %}}"
        "{%- else %}{{- message['content'] }}{%- endif %}{{- '\\n' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- 'Assistant: ' }}{%- endif %}"
    )


def question_messages(question: str) -> list[Message]:
    """Return the conversation that asks one question."""
    return [{"role": "user", "content": question}]


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Return the token ids that the model is asked to continue."""
    ids = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return [int(token) for token in ids]


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """A conversation as token ids; ``labels`` repeats those that are trained on."""

    input_ids: list[int]
    labels: list[int]

    @property
    def num_label_tokens(self) -> int:
        """How many tokens count in the loss."""
        return sum(label != IGNORED_LABEL for label in self.labels)


def labelled_ids(tokenizer: Any, messages: Sequence[Message]) -> LabelledIds:
    """Tokenise a conversation that ends with the assistant, labels on its words and their end.

    Raises:
        UserError: the template's prompt is not a prefix of the conversation, so that nobody can
            tell which tokens are the assistant's.
    """
    if (
        "{% generation %}" in tokenizer.chat_template
        or "{%- generation" in tokenizer.chat_template
    ):
        return _from_markers(tokenizer, messages)
    return _from_prefix(tokenizer, messages)


def _from_markers(tokenizer: Any, messages: Sequence[Message]) -> LabelledIds:
    encoded = tokenizer.apply_chat_template(
        list(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids = [int(token) for token in encoded["input_ids"]]
    mask = encoded["assistant_masks"]
    labels = [token if kept else IGNORED_LABEL for token, kept in zip(ids, mask, strict=True)]
    return LabelledIds(ids, labels)


def _from_prefix(tokenizer: Any, messages: Sequence[Message]) -> LabelledIds:
    prompt = prompt_ids(tokenizer, messages[:-1])
    whole = tokenizer.apply_chat_template(list(messages), tokenize=True, return_dict=False)
    ids = [int(token) for token in whole]
    if ids[: len(prompt)] != prompt:
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template has no generation markers and its "
            "prompt is not a prefix of the conversation; give it a template with {% generation %}"
        )
    labels = [IGNORED_LABEL] * len(prompt) + ids[len(prompt) :]
    return LabelledIds(ids, labels)


def ids_sha256(ids: Sequence[int]) -> str:
    """Return the hash by which prompts are compared: SHA-256 of the ids, comma-separated."""
    return sha256_bytes(",".join(map(str, ids)).encode())
