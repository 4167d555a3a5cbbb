"""The tiled, label-only loss equals transformers' own, and never holds full logits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from evqa.data.collate import concatenated, padded
from evqa.models.attention import attention_within_samples
from evqa.models.head import save_vocabulary_memory
from evqa.training.losses import TiledCrossEntropy, batch_loss, head_tiles, labelled

LENGTHS = (40, 36, 7, 23, 40, 12, 31, 2)


@pytest.fixture
def rows():
    torch.manual_seed(0)
    made = []
    for number, length in enumerate(LENGTHS):
        ids = torch.randint(5, 384, (length,)).tolist()
        prompt = length * 3 // 4
        made.append(
            {"id": f"s{number}", "input_ids": ids, "labels": [-100] * prompt + ids[prompt:]}
        )
    return made


@pytest.fixture
def batch(rows):
    return padded(rows, 0)


def theirs(model, batch):
    return model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        labels=batch["labels"],
    ).loss


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("tile", [64, 100, 384, 8192])
def test_equals_transformers(tiny_base, batch, tile):
    loss = batch_loss(tiny_base.model, batch, tile)
    assert loss.num_label_tokens == int((batch["labels"] != -100).sum())
    mean = (loss.total / loss.num_label_tokens).item()
    assert mean == pytest.approx(theirs(tiny_base.model, batch).item(), abs=1e-5)


@pytest.mark.parametrize("tile", [100, 8192])
def test_gradients_equal_transformers(adapted, batch, tile):
    loss = batch_loss(adapted.get_base_model(), batch, tile)
    ours = gradients(adapted, loss.total / loss.num_label_tokens)
    for one, two in zip(ours, gradients(adapted, theirs(adapted, batch)), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-4)


def test_end_to_end_equals_side_by_side(adapted, rows):
    """Packed, padding-free and padded: the same loss to 1e-5, the same gradients."""
    model = adapted.get_base_model()
    with attention_within_samples(model):
        one = batch_loss(model, padded(rows, 0))
        first = gradients(adapted, one.total)
        two = batch_loss(model, concatenated(rows))
        second = gradients(adapted, two.total)
    plain = theirs(adapted, padded(rows, 0)) * one.num_label_tokens
    assert one.total.item() == pytest.approx(plain.item(), rel=1e-6)
    assert one.total.item() == pytest.approx(two.total.item(), rel=1e-6)
    assert one.counts.tolist() == two.counts.tolist()
    torch.testing.assert_close(one.by_sample, two.by_sample, atol=1e-4, rtol=1e-5)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_no_sample_sees_another(adapted, rows):
    """Changing one sample of a row leaves the losses of all others as they were, to the bit."""
    model = adapted.get_base_model()
    with attention_within_samples(model), torch.no_grad():
        before = batch_loss(model, concatenated(rows)).by_sample
        rows[2]["input_ids"] = [9] * LENGTHS[2]
        after = batch_loss(model, concatenated(rows)).by_sample
    others = [place for place in range(len(rows)) if place != 2]
    assert torch.equal(before[others], after[others])
    assert before[2] != after[2]


def test_the_first_token_predicts_nothing():
    hidden = torch.arange(4.0).reshape(1, 4, 1)
    owners = torch.zeros(1, 4, dtype=torch.long)
    states, targets, _ = labelled(hidden, torch.tensor([[9, -100, 7, 8]]), owners)
    assert states.flatten().tolist() == [1.0, 2.0]
    assert targets.tolist() == [7, 8]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 9),
    st.integers(2, 50),
    st.integers(1, 60),
    st.floats(0.1, 30.0),
    st.integers(0, 99),
)
def test_any_tile_gives_the_cross_entropy_of_torch(count, words, tile, scale, seed):
    """Large logits too: nothing overflows."""
    generator = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(6, words, bias=False)
    head.weight.data = torch.randn(words, 6, generator=generator) * scale
    head.weight.requires_grad_(False)
    hidden = torch.randn(count, 6, generator=generator, requires_grad=True)
    targets = torch.randint(0, words, (count,), generator=generator)
    weights = torch.rand(count, generator=generator)
    ours = TiledCrossEntropy.apply(hidden, targets, head_tiles(head, tile))
    (ours * weights).sum().backward()
    gradient, hidden.grad = hidden.grad, None
    plain = functional.cross_entropy(head(hidden), targets, reduction="none")
    (plain * weights).sum().backward()
    torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradient, hidden.grad, atol=1e-3, rtol=1e-3)


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any operation has returned in one tensor."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                self.elements = max(self.elements, tensor.numel())
        return out


VOCABULARY, WIDTH, TILE = 50_000, 16, 1024


@pytest.fixture
def wide():
    """A model with a vocabulary of 50,000 words; its head is the largest thing about it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=False, use_cache=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).requires_grad_(False)


@pytest.mark.parametrize("is_validation", [False, True])
@pytest.mark.parametrize("quantised_head", [False, True])
def test_full_logits_are_never_allocated(wide, is_validation, quantised_head):
    """In forward or backward, training or validation: at most one tile of the vocabulary."""
    if quantised_head:
        save_vocabulary_memory(
            wide, head=True, embedding=True, tile_tokens=TILE, double_quant=True
        )
    ids = torch.randint(0, VOCABULARY, (2, 300))
    batch = padded(
        [{"id": "a", "input_ids": row, "labels": row} for row in ids.tolist()], pad_token_id=0
    )
    wide.enable_input_require_grads()
    num_labels = 2 * 299
    with LargestTensor() as seen, torch.set_grad_enabled(not is_validation):
        loss = batch_loss(wide, batch, TILE).total
        if not is_validation:
            loss.backward()
    largest_allowed = num_labels * TILE
    assert seen.elements <= largest_allowed < num_labels * VOCABULARY / 40
    assert seen.elements >= num_labels * WIDTH, "the hook sees the hidden states at least"


def test_a_batch_without_labels_is_zero(adapted, batch):
    batch["labels"][:] = -100
    loss = batch_loss(adapted.get_base_model(), batch)
    assert (loss.total.item(), loss.num_label_tokens) == (0.0, 0)
    loss.total.backward()
