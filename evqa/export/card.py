"""The model card of a version, made from its lineage (Mitchell et al., arXiv:1810.03993)."""

from typing import Any

UNKNOWN = "not recorded"


def model_card(name: str, lineage: dict[str, Any]) -> str:
    """Return ``README.md`` of a version as Markdown.

    Args:
        name: Registered name.
        lineage: As the manifest keeps it; what is missing is said to be missing.
    """
    sections = [
        _front_matter(lineage),
        f"# {name}",
        "A language model fine-tuned with QLoRA on a domain's documents, its adapter merged into "
        "the base. It answers questions about those documents.",
        _table("Where it comes from", _origin(lineage)),
        _data(lineage),
        _metrics(lineage),
        _table("Parity with the adapter on its base", lineage.get("parity") or {}),
        "## Limits\n\nIt may state wrong facts fluently, knows nothing newer than its documents, "
        "and has not been tested for safety outside its domain. Check what matters against the "
        "sources.",
        "## How to run\n\n```\npython serve.py\n```\n\nor load this folder with "
        "`transformers.AutoModelForCausalLM.from_pretrained`, or `vllm serve`.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(lineage: dict[str, Any]) -> str:
    base = (lineage.get("base") or {}).get("path", UNKNOWN)
    return (
        f"---\nbase_model: {base}\nlibrary_name: transformers\npipeline_tag: text-generation\n---"
    )


def _origin(lineage: dict[str, Any]) -> dict[str, Any]:
    base = lineage.get("base") or {}
    model = (lineage.get("config") or {}).get("model") or {}
    return {
        "run": lineage.get("run"),
        "base model": base.get("path"),
        "base revision": base.get("revision"),
        "licence of the base": model.get("license"),
        "adapter": _adapter(lineage.get("config") or {}),
        "merged in": (lineage.get("export") or {}).get("dtype"),
        "seed": lineage.get("seed"),
        "git commit": lineage.get("git_commit"),
    }


def _adapter(config: dict[str, Any]) -> str | None:
    lora = config.get("lora") or {}
    if not lora:
        return None
    kind = "DoRA" if lora.get("use_dora") else "rsLoRA" if lora.get("use_rslora") else "LoRA"
    return f"{kind} r={lora.get('r')} alpha={_cell(lora.get('alpha'))}"


def _data(lineage: dict[str, Any]) -> str:
    dataset = lineage.get("dataset") or {}
    table = _table("Data", {"dataset": dataset.get("id"), "sha256": dataset.get("sha256")})
    licenses = lineage.get("licenses") or {}
    lines = [f"| {license} | {count} |" for license, count in sorted(licenses.items())]
    if not lines:
        return f"{table}\n\nLicences of the sources: {UNKNOWN}."
    head = "| licence of the source | training documents |\n|---|---|"
    return f"{table}\n\n{head}\n" + "\n".join(lines)


def _metrics(lineage: dict[str, Any]) -> str:
    systems = (lineage.get("metrics") or {}).get("systems") or {}
    lines = [
        f"| {system} | {metric} | {_interval(score)} |"
        for system, scores in systems.items()
        for metric, score in scores.items()
    ]
    if not lines:
        return f"## Metrics\n\nMetrics: {UNKNOWN}."
    head = "## Metrics\n\n| system | metric | value (confidence interval) |\n|---|---|---|"
    return f"{head}\n" + "\n".join(lines)


def _interval(score: Any) -> str:
    if not isinstance(score, dict):
        return _cell(score)
    value, low, high = (score.get(key) for key in ("value", "ci_low", "ci_high"))
    bounds = "" if low is None or high is None else f" ({_cell(low)} to {_cell(high)})"
    return f"{_cell(value)}{bounds}"


def _table(title: str, rows: dict[str, Any]) -> str:
    lines = [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in rows.items()]
    return f"## {title}\n\n| | |\n|---|---|\n" + "\n".join(lines) if lines else ""


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "\\|").split())
