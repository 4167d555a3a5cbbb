import contextlib
import copy
import functools

import pytest
from loopback import MockEngine, ProxyUnderTest

from evqa.config import load_config


@functools.cache
def _composed(*overrides):
    return load_config("serve", ["server=external", "server.upstreams=[http://x]", *overrides])


def proxy_config(outputs, upstreams, *overrides):
    """A serve config for engines run elsewhere; composing it is slow, so it is done once."""
    config = copy.deepcopy(_composed(*overrides))
    config.paths.outputs_dir = str(outputs)
    config.server.upstreams = list(upstreams)
    return config


@pytest.fixture(scope="module")
def engine():
    with MockEngine() as mock:
        yield mock


@pytest.fixture
def quick_keys(monkeypatch):
    """Look at the keys file far more often than once a second."""
    monkeypatch.setattr("evqa.serving.auth.RELOAD_INTERVAL_S", 0.02)


@pytest.fixture
def start_proxy(engine, tmp_path, quick_keys):
    """Return ``start(*overrides, upstreams=…)``: a proxy on loopback in front of the mock."""
    with contextlib.ExitStack() as stack:

        def start(*overrides, upstreams=None):
            config = proxy_config(tmp_path / "outputs", upstreams or [engine.url], *overrides)
            return stack.enter_context(ProxyUnderTest(config, tmp_path))

        yield start


@pytest.fixture
def proxy(start_proxy):
    return start_proxy()
