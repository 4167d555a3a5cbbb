import contextlib

import pytest
from loopback import MockEngine, ProxyUnderTest

from evqa.config import load_config


@pytest.fixture(scope="module")
def engine():
    with MockEngine() as mock:
        yield mock


@pytest.fixture
def start_proxy(engine, tmp_path):
    """Return ``start(*overrides, upstreams=…)``: a proxy on loopback in front of the mock."""
    with contextlib.ExitStack() as stack:

        def start(*overrides, upstreams=None):
            config = load_config(
                "serve",
                [
                    "server=external",
                    f"server.upstreams=[{','.join(upstreams or [engine.url])}]",
                    f"paths.outputs_dir={tmp_path / 'outputs'}",
                    "server.port=0",
                    *overrides,
                ],
            )
            return stack.enter_context(ProxyUnderTest(config, tmp_path))

        yield start


@pytest.fixture
def proxy(start_proxy):
    return start_proxy()
