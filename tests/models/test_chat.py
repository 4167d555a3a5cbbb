"""Prompts and labels: the same ids everywhere, labels on the assistant's words and their end."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evqa.errors import UserError
from evqa.models.chat import (
    IGNORED_LABEL,
    labelled_ids,
    prepare_tokenizer,
    prompt_ids,
    question_messages,
    with_default_system,
)
from evqa.models.load import load_tokenizer

LLAMA_LIKE = (
    "{{- '<|end|>' }}{%- for m in messages %}{{- '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<|>"), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return load_tokenizer(tiny_folder, "Answer briefly.")


def conversation(question, answer):
    return [*question_messages(question), {"role": "assistant", "content": answer}]


def test_the_default_system_prompt_is_said_and_can_be_replaced(tokenizer):
    given_none = prompt_ids(tokenizer, question_messages("Why?"))
    given_same = prompt_ids(
        tokenizer, [{"role": "system", "content": "Answer briefly."}, *question_messages("Why?")]
    )
    other = prompt_ids(
        tokenizer, [{"role": "system", "content": "Sing."}, *question_messages("Why?")]
    )
    assert given_none == given_same
    assert given_none != other
    assert tokenizer.decode(given_none).startswith("<|system|>Answer briefly.<|user|>Why?")


@settings(max_examples=40, deadline=None)
@given(WORDS, WORDS)
def test_labels_are_the_answer_and_its_end(tokenizer, question, answer):
    sample = labelled_ids(tokenizer, conversation(question, answer))
    labelled = [token for token in sample.labels if token != IGNORED_LABEL]
    assert labelled[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(labelled[:-1]) == answer
    prompt = prompt_ids(tokenizer, question_messages(question))
    assert sample.input_ids[: len(prompt)] == prompt
    assert sample.input_ids[len(prompt) :] == labelled
    assert sample.num_label_tokens == len(labelled)


@settings(max_examples=20, deadline=None)
@given(WORDS, WORDS)
def test_a_template_without_markers_gives_the_same_labels_by_prefix(tokenizer, question, answer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = LLAMA_LIKE
    prepare_tokenizer(other, "Answer briefly.")
    sample = labelled_ids(other, conversation(question, answer.strip() or "x"))
    labelled = [token for token in sample.labels if token != IGNORED_LABEL]
    assert labelled[-1] == other.eos_token_id
    assert other.decode(labelled[:-1]) == (answer.strip() or "x")


def test_a_template_whose_prompt_is_no_prefix_is_refused(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{- messages | length }}" + LLAMA_LIKE.replace(
        "<|assistant|>' }}{%- endif", "?' }}{%- endif"
    )
    with pytest.raises(UserError, match="not a prefix"):
        labelled_ids(other, conversation("a", "b"))


def test_a_model_without_template_gets_a_plain_one(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = None
    prepare_tokenizer(other, "Be kind.")
    sample = labelled_ids(other, conversation("Why?", "So."))
    assert "System: Be kind." in other.decode(sample.input_ids)
    labelled = [token for token in sample.labels if token != IGNORED_LABEL]
    assert other.decode(labelled) == "So.<|end|>"


def test_a_tokenizer_without_end_token_is_refused(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.eos_token = None
    with pytest.raises(UserError, match="no end-of-sequence token"):
        prepare_tokenizer(other, "x")


def test_a_template_that_refuses_a_system_turn_is_refused(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = (
        "{%- if messages[0]['role'] == 'system' %}{{- raise_exception('no system role') }}"
        "{%- endif %}" + LLAMA_LIKE
    )
    with pytest.raises(UserError, match="system"):
        prepare_tokenizer(other, "x")


def test_todays_date_does_not_reach_the_prompt(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = with_default_system("{{- date_string }}" + LLAMA_LIKE, "x")
    assert "26 Jul 2024" in other.decode(prompt_ids(other, question_messages("Hm?")))


def test_quotes_and_braces_in_the_system_prompt_survive(tokenizer):
    prompt = 'Say "it\'s {{ fine }}" & 10 %}.'
    other = copy.deepcopy(tokenizer)
    other.chat_template = LLAMA_LIKE
    prepare_tokenizer(other, prompt)
    assert prompt in other.decode(prompt_ids(other, question_messages("Hm?")))
