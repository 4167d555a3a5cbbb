"""A run folder as training leaves it, and the outputs folder around it."""

import json

from tiny_llama import build_tiny_adapter, build_tiny_llama

from evqa.config import load_config, to_dict
from evqa.files import point_link
from evqa.provenance import weights_sha256


def build_finished_run(root, *overrides):
    """Return the run's folder, ``<root>/outputs/runs/2026-01-01_run``; latest points at it."""
    import torch

    base = build_tiny_llama(root / "base")
    run = root / "outputs" / "runs" / "2026-01-01_run"
    build_tiny_adapter(base, run / "adapter")
    dataset = root / "prepared"
    dataset.mkdir()
    pairs = [json.dumps({"question": f"What is {n}?"}) for n in range(20)]
    (dataset / "pairs.jsonl").write_text("\n".join(pairs))
    words = ["model=smollm2_135m", f"model.path={base}", "model.max_length_tokens=256"]
    words += overrides
    manifest = {
        "job": "train",
        "finished": True,
        "git_commit": "abc",
        "seed": 42,
        "command": "python train.py",
        "versions": {"torch": torch.__version__},
        "config": to_dict(load_config("train", words)),
        "dataset": {"id": "d", "folder": str(dataset), "sha256": "0" * 64},
        "base": {"path": str(base), "revision": None, "sha256": weights_sha256(base)},
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "metrics.json").write_text(json.dumps({"systems": {"tuned": {"bleu": {"value": 1}}}}))
    point_link(run.parent / "latest", run)
    return run
