"""Each technique changes where things live or when they are computed, never the result."""

import pytest
import torch

from evqa.config.model import Dtype, LoraConfig
from evqa.config.training import MemoryConfig
from evqa.data.collate import concatenated
from evqa.models.attention import attention_within_samples, segmented_attention
from evqa.models.head import HostEmbedding, Nf4Head, save_vocabulary_memory
from evqa.models.load import attach_adapter
from evqa.training import checkpointing
from evqa.training.checkpointing import apply_checkpointing
from evqa.training.losses import batch_loss


@pytest.fixture
def batch():
    torch.manual_seed(0)
    rows = []
    for number, length in enumerate((40, 30, 25)):
        ids = torch.randint(5, 384, (length,)).tolist()
        rows.append({"id": str(number), "input_ids": ids, "labels": [-100] * 9 + ids[9:]})
    return concatenated(rows)


def step(model, batch):
    """Loss, gradients, and the bytes that autograd keeps between forward and backward."""
    model.zero_grad()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    base = model.get_base_model()
    with attention_within_samples(base):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = batch_loss(base, batch).total
        loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients, sum(kept.values())


def assert_same(one, two, **tolerance):
    assert one[0] == pytest.approx(two[0], rel=1e-6)
    assert one[1].keys() == two[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, two[1][name], **tolerance)


def test_checkpointing_a_share_of_the_layers_trades_memory_only(adapted, batch):
    results = []
    for share in (0.0, 0.5, 1.0):
        memory = MemoryConfig(checkpointed_share=share)
        assert apply_checkpointing(adapted.get_base_model(), memory) == round(2 * share)
        flags = [layer.gradient_checkpointing for layer in adapted.get_base_model().model.layers]
        assert flags == [share > 0, share > 0.5]
        results.append(step(adapted, batch))
    for other in results[1:]:
        assert_same(results[0], other, atol=1e-6, rtol=1e-5)
    kept = [result[2] for result in results]
    assert kept[0] > kept[1] > kept[2]


def test_offloaded_checkpoints_are_copies_in_host_memory(adapted, batch, monkeypatch):
    plain = MemoryConfig()
    apply_checkpointing(adapted.get_base_model(), plain)
    before = step(adapted, batch)
    moved = []
    real = checkpointing.to_host

    def counting(tensor):
        saved = real(tensor)
        moved.append(isinstance(saved, tuple))
        return saved

    monkeypatch.setattr(checkpointing, "to_host", counting)
    apply_checkpointing(adapted.get_base_model(), MemoryConfig(offload_checkpoints=True))
    after = step(adapted, batch)
    assert_same(before, after, atol=0, rtol=0)
    assert sum(moved) == 2, "one input a layer, and nothing else, is offloaded"


def test_only_large_tensors_with_gradients_travel():
    small = torch.ones(10, requires_grad=True)
    table = torch.ones(5000)
    for tensor in (small, table):
        assert checkpointing.to_host(tensor) is tensor
        assert checkpointing.to_device(tensor) is tensor
    large = torch.randn(5000, requires_grad=True)
    copy, device = checkpointing.to_host(large)
    assert copy.data_ptr() != large.data_ptr()
    assert torch.equal(checkpointing.to_device((copy, device)), large)


@pytest.mark.parametrize("tile", [64, 100, 1000])
def test_a_quantised_head_gives_the_logits_of_its_own_values(tiny_base, tile):
    weight = tiny_base.model.get_output_embeddings().weight.detach()
    head = Nf4Head(weight, tile, double_quant=True, device=weight.device)
    whole = torch.cat([part for _start, part in head.tiles()])
    assert [start for start, _part in head.tiles()] == list(range(0, 384, tile))
    assert whole.shape == weight.shape
    assert (whole - weight).abs().max() < 0.2 * weight.abs().max()
    hidden = torch.randn(2, 3, 64)
    torch.testing.assert_close(head(hidden), hidden @ whole.t(), atol=1e-4, rtol=1e-4)
    assert head.num_bytes() < 0.2 * weight.nbytes


def test_an_embedding_on_the_cpu_is_no_parameter(tiny_base):
    weight = tiny_base.model.get_input_embeddings().weight.detach().clone()
    layer = HostEmbedding(weight, torch.device("cpu"))
    ids = torch.tensor([[3, 1], [2, 2]])
    assert torch.equal(layer(ids), weight[ids])
    assert not list(layer.parameters())
    layer.to(torch.float16)
    assert layer.weight.dtype is torch.float32, "whatever moves the model leaves it alone"


@pytest.mark.parametrize(("head", "embedding"), [(True, True), (False, True), (True, False)])
def test_a_model_without_its_vocabulary_in_memory_trains_and_generates(
    tiny_base, batch, head, embedding
):
    save_vocabulary_memory(
        tiny_base.model, head=head, embedding=embedding, tile_tokens=100, double_quant=True
    )
    model = attach_adapter(tiny_base.model, LoraConfig(r=4, dropout=0.0))
    apply_checkpointing(model.get_base_model(), MemoryConfig())
    loss, gradients, _ = step(model, batch)
    assert loss > 0
    assert any(gradient.abs().max() > 0 for gradient in gradients.values())
    model.eval()
    with torch.no_grad():
        made = model.generate(
            input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=3, do_sample=False
        )
    assert made.shape == (1, 6)


def test_a_bf16_adapter_takes_half(tiny_base, batch):
    model = attach_adapter(tiny_base.model, LoraConfig(r=4, dropout=0.0, dtype=Dtype.bf16))
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert {p.dtype for p in trainable} == {torch.bfloat16}
    step(model, batch)
    assert {p.grad.dtype for p in trainable} == {torch.bfloat16}
    optimizer = torch.optim.AdamW(trainable)
    optimizer.step()
    states = [s for state in optimizer.state.values() for s in state.values() if s.numel() > 1]
    assert {s.dtype for s in states} == {torch.bfloat16}


def test_validation_between_two_steps_changes_no_gradient(adapted, batch):
    """bitsandbytes 0.50.2 repacks on a CPU with AVX512-BF16 in an eval forward: then it would."""
    first = step(adapted, batch)
    adapted.eval()
    base = adapted.get_base_model()
    with torch.no_grad(), attention_within_samples(base):
        batch_loss(base, batch)
    adapted.train()
    assert_same(first, step(adapted, batch), atol=0, rtol=0)


def test_a_sliding_window_limits_attention_within_a_sample():
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 12, 8) for _ in range(3))
    module = torch.nn.Identity()
    out, _ = segmented_attention(
        module, query, key, value, None, segment_lengths=(9, 3), sliding_window=4
    )
    places = torch.arange(9)
    allowed = (places[:, None] >= places[None]) & (places[:, None] - places[None] < 4)
    scores = (query[:, :, :9] @ key[:, :, :9].transpose(2, 3)) / 8**0.5
    weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1)
    torch.testing.assert_close(out[:, :9], (weights @ value[:, :, :9]).transpose(1, 2))
