"""Does a version fit the card that it is to be served from? Asked before an engine starts."""

import sys
from pathlib import Path

from evqa.architectures import Architecture
from evqa.config import ServeConfig
from evqa.memory.serving import ServingPlan, plan_serving, require_serving_fit
from evqa.serving.engine import context_tokens


def check_fit(config: ServeConfig, folder: Path | None) -> ServingPlan | None:
    """Say what serving will take, from the files that will be loaded.

    Args:
        config: ``server.memory_gib`` is the card's size.
        folder: The version's folder; null where engines elsewhere serve it.

    Raises:
        GateError: not even one request fits; names the forms of the model that do.
    """
    card_gib = config.server.memory_gib
    if folder is None or card_gib is None:
        return None
    shape = Architecture.from_folder(folder)
    context = context_tokens(config.server, folder)
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    plan = plan_serving(shape, stored, context, card_gib)
    require_serving_fit(plan, shape, context, card_gib)
    sys.stderr.write(
        f"serving takes {plan.peak_gib:.2f} GiB (weights {plan.weights_gib:.2f}), "
        f"{plan.spare_kv_gib:.2f} GiB hold keys and values\n"
    )
    return plan
