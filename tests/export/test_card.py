from evqa.export.card import model_card

LINEAGE = {
    "run": "outputs/runs/x",
    "git_commit": "abc123",
    "seed": 42,
    "base": {"path": "org/base", "revision": "main"},
    "config": {
        "model": {"license": "MIT"},
        "lora": {"r": 16, "alpha": 32.0, "use_rslora": True, "use_dora": False},
    },
    "dataset": {"id": "sample-1", "sha256": "ff"},
    "licenses": {"CC-BY-4.0": 12, "unknown": 1},
    "metrics": {"systems": {"tuned": {"bleu": {"value": 0.25, "ci_low": 0.2, "ci_high": 0.3}}}},
    "parity": {"top1_agreement": 1.0, "kl_nats": 3.8e-5},
    "export": {"dtype": "bf16"},
}


def test_the_card_says_where_the_weights_come_from():
    card = model_card("evqa", LINEAGE)
    for fact in (
        "base_model: org/base",
        "| run | outputs/runs/x |",
        "| adapter | rsLoRA r=16 alpha=32 |",
        "| licence of the base | MIT |",
        "| CC-BY-4.0 | 12 |",
        "| tuned | bleu | 0.25 (0.2 to 0.3) |",
        "| kl nats | 3.8e-05 |",
        "| merged in | bf16 |",
    ):
        assert fact in card


def test_the_front_matter_comes_first():
    assert model_card("evqa", LINEAGE).startswith("---\nbase_model: org/base\n")


def test_what_is_missing_is_said_to_be_missing():
    card = model_card("evqa", {})
    assert "Licences of the sources: not recorded." in card
    assert "Metrics: not recorded." in card
    assert "| git commit | not recorded |" in card


def test_values_cannot_break_the_table():
    card = model_card("evqa", {"run": "a|b\nc"})
    assert "| run | a\\|b c |" in card
