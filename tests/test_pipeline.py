"""Train, gate, release: nothing is registered that is not better."""

import types

import pytest

from evqa import pipeline as job
from evqa.config import load_config
from evqa.errors import GateError


@pytest.fixture
def released(monkeypatch):
    """Stand-ins for training and release, which have tests of their own."""
    import evqa.release
    import evqa.stages

    orders = []
    made = types.SimpleNamespace(verdict="SHIP")
    monkeypatch.setattr(evqa.stages, "run_training", lambda _config, _folder: (None, made))
    monkeypatch.setattr(evqa.release, "release", lambda order, _folder: orders.append(order))
    return made, orders


def test_what_is_better_is_released(released, tmp_path):
    _made, orders = released
    config = load_config("pipeline", ["export=fp32", "registry.name=mine"])
    job.pipeline(config, tmp_path)
    (order,) = orders
    assert order.run == str(tmp_path)
    assert (order.export.dtype, order.registry.name) == ("fp32", "mine")
    assert order.paths == config.paths


@pytest.mark.parametrize("verdict", ["NO_SHIP", "NOT_ENOUGH_DATA"])
def test_what_is_not_is_not(released, tmp_path, verdict):
    made, orders = released
    made.verdict = verdict
    with pytest.raises(GateError, match=f"{verdict}: nothing was released"):
        job.pipeline(load_config("pipeline"), tmp_path)
    assert orders == []
