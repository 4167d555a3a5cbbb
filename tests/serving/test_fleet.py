"""Versions that come and go under load: swaps, canaries, rollbacks."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import proxy_config
from loopback import MockEngine, ProxyUnderTest, events_of, text_of, wait_until

from evqa.errors import OutsideError
from evqa.serving.canary import Rollbacks, has_canary, verdict
from evqa.serving.deployment import Deployment, Outcomes
from evqa.serving.fleet import Engines, Target
from evqa.serving.keys import create_key
from evqa.serving.protocol import Limits
from evqa.serving.upstream import UpstreamPool

LIMITS = Limits(model_name="evqa", max_tokens=100, max_choices=4)


class FakeEngine:
    running = True

    def last_error(self):
        return "it broke (log: x)"


class MockLauncher:
    """Starts mock engines; ``refuse`` names versions that do not start."""

    def __init__(self):
        self.engines = {}
        self.launched = []
        self.stopped = []
        self.refuse = set()
        self.start_s = 0.0

    def launch(self, version):
        self.launched.append(version)
        time.sleep(self.start_s)
        if version in self.refuse:
            raise OutsideError("the engine did not start: cheese")
        if version not in self.engines:
            self.engines[version] = MockEngine().__enter__()
        pool = UpstreamPool([self.engines[version].url], None, health_path="/v1/models")
        pool.upstreams[0].healthy = True
        return Deployment(version=version, limits=LIMITS, pool=pool, engine=FakeEngine())

    def relaunch(self, deployment):
        self.launched.append(deployment.version)
        deployment.engine = FakeEngine()
        deployment.pool.replace([self.engines[deployment.version].url], None, healthy=True)

    def stop(self, deployment):
        assert deployment.in_flight == 0
        self.stopped.append(deployment.version)

    def close(self):
        for engine in self.engines.values():
            engine.__exit__()


def canary_config(folder, percent):
    config = proxy_config(folder / "outputs", ["http://127.0.0.1:9"])
    config.server.canary.percent = percent
    config.server.canary.min_requests = 5
    return config


class World:
    """A proxy whose registry is an attribute."""

    def __init__(self, folder, stack, *, percent=0, in_place=False):
        self.target = Target("evqa/1")
        self.launcher = MockLauncher()
        stack.callback(self.launcher.close)
        self.rollbacks_file = folder / "rollbacks.jsonl"
        engines = Engines(
            launcher=self.launcher,
            target=lambda: self.target,
            rollbacks=Rollbacks(self.rollbacks_file),
            in_place=in_place,
        )
        config = canary_config(folder, percent)
        self.proxy = stack.enter_context(ProxyUnderTest(config, folder, engines))
        self.fleet = self.proxy.state.fleet

    def serves(self, version):
        return self.proxy.chat().headers["x-model-version"] == version

    def promote(self, number):
        self.target = Target(f"evqa/{number}", self.target.canary)


@pytest.fixture
def world(tmp_path, quick_keys):
    """Return ``make(…)``: a proxy in front of mock engines that follow ``target``."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: World(tmp_path, stack, **options)


@contextlib.contextmanager
def load(proxy, num_streams, how="slow 0.01"):
    """Keep streams going while the block runs; yield the list of their endings."""
    stop, endings = threading.Event(), []

    def stream():
        while not stop.is_set():
            answer = proxy.chat(how, stream=True)
            whole = answer.status_code == 200 and events_of(answer)[-1] == "DONE"
            whole = whole and text_of(events_of(answer)) == "one two three"
            endings.append("whole" if whole else answer.text)

    threads = [threading.Thread(target=stream) for _ in range(num_streams)]
    for thread in threads:
        thread.start()
    try:
        yield endings
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("in_place", [False, True])
def test_versions_are_swapped_under_load_without_a_failed_request(world, in_place):
    made = world(in_place=in_place)
    with load(made.proxy, 8) as endings:
        for number in (2, 3, 1, 4):
            made.promote(number)
            wait_until(lambda n=number: made.fleet.primary.version == f"evqa/{n}")
            wait_until(lambda n=number: made.serves(f"evqa/{n}"))
    assert len(endings) > 8
    assert set(endings) == {"whole"}
    wait_until(lambda: made.launcher.stopped == ["evqa/1", "evqa/2", "evqa/3", "evqa/1"])
    metrics = made.proxy.get("/metrics").text
    assert 'evqa_swaps_total{outcome="done"} 4.0' in metrics
    assert 'version="evqa/4"' in metrics


def test_a_stream_under_way_ends_with_the_version_it_began_with(world):
    made = world()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.proxy.chat, "slow 0.3", stream=True)
        wait_until(lambda: made.fleet.primary.in_flight == 1)
        made.promote(2)
        wait_until(lambda: made.serves("evqa/2"))
        assert made.launcher.stopped == []
        assert running.result().headers["x-model-version"] == "evqa/1"
        assert events_of(running.result())[-1] == "DONE"
    wait_until(lambda: made.launcher.stopped == ["evqa/1"])


def test_a_version_that_does_not_start_changes_nothing_and_is_not_tried_for_ever(world):
    made = world()
    made.launcher.refuse.add("evqa/2")
    made.promote(2)
    wait_until(lambda: any("cannot be served: the engine did not" in s for s in made.proxy.said))
    time.sleep(0.6)
    assert made.launcher.launched == ["evqa/1", "evqa/2"]
    assert made.serves("evqa/1")
    assert 'evqa_swaps_total{outcome="failed"} 1.0' in made.proxy.get("/metrics").text
    made.launcher.refuse.clear()
    made.promote(1)
    time.sleep(0.6)
    made.promote(2)  # again: whoever promotes it again wants it tried again
    wait_until(lambda: made.serves("evqa/2"))


def test_in_place_a_version_that_does_not_start_gives_way_to_the_old_one(world):
    made = world(in_place=True)
    made.launcher.refuse.add("evqa/2")
    with load(made.proxy, 4) as endings:
        made.promote(2)
        wait_until(lambda: made.launcher.launched == ["evqa/1", "evqa/2", "evqa/1"])
        wait_until(lambda: made.serves("evqa/1"))
    assert set(endings) == {"whole"}


def test_in_place_requests_wait_for_the_new_version(world):
    made = world(in_place=True)
    made.launcher.start_s = 0.5
    made.promote(2)
    wait_until(lambda: "evqa/2" in made.launcher.launched)
    started = time.monotonic()
    assert made.proxy.chat().headers["x-model-version"] == "evqa/2"
    assert time.monotonic() - started > 0.1


def test_an_engine_that_ends_is_started_again_and_503_told_meanwhile(world):
    made = world()
    made.fleet.primary.engine.running = False
    wait_until(lambda: made.fleet.primary.pool.upstreams == [])
    refused = made.proxy.chat()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    wait_until(lambda: made.proxy.chat().status_code == 200)
    assert 'evqa_engine_restarts_total{version="evqa/1"} 1.0' in made.proxy.get("/metrics").text


def test_each_restart_waits_twice_as_long_until_the_engine_is_steady():
    deployment = MockLauncher().launch("evqa/1")
    waits = [deployment.next_backoff_s(60, 10) for _ in range(6)]
    assert waits == [1, 2, 4, 8, 10, 10]
    deployment.ready_at_s = time.monotonic() - 61
    assert deployment.next_backoff_s(60, 10) == 1


@contextlib.contextmanager
def keys_with_and_without(made, percent=50):
    """Two keys: one whose requests the canary gets, and one whose requests it does not."""
    keys = {}
    number = 0
    while len(keys) < 2:
        key = create_key(made.proxy.keys_file, f"k{number}")
        number += 1
        wait_until(lambda k=key: made.proxy.post("/predict", json={}, key=k).status_code == 400, 3)
        key_id = made.proxy.state.keys.authenticate(f"Bearer {key}".encode()).id
        keys.setdefault(has_canary(key_id, "evqa/2", percent), key)
    yield keys[True], keys[False]


def version_for(made, key, how="ok"):
    body = {"model": "evqa", "messages": [{"role": "user", "content": how}]}
    return made.proxy.post(json=body, key=key).headers["x-model-version"]


def test_a_canary_answers_its_keys_and_only_those(world):
    made = world(percent=50)
    made.target = Target("evqa/1", "evqa/2")
    wait_until(lambda: made.fleet.canary is not None)
    with keys_with_and_without(made) as (canary, champion):
        assert {version_for(made, canary) for _ in range(10)} == {"evqa/2"}
        assert {version_for(made, champion) for _ in range(10)} == {"evqa/1"}
        made.target = Target("evqa/2")  # promoted: the engine that runs takes over
        wait_until(lambda: version_for(made, champion) == "evqa/2")
    assert made.launcher.launched == ["evqa/1", "evqa/2"]
    assert made.fleet.canary is None
    wait_until(lambda: made.launcher.stopped == ["evqa/1"])


def test_a_canary_that_fails_is_rolled_back_and_remembered(world):
    made = world(percent=50)
    made.target = Target("evqa/1", "evqa/2")
    wait_until(lambda: made.fleet.canary is not None)
    made.launcher.engines["evqa/2"].broken = True
    with keys_with_and_without(made) as (canary, _):
        for _ in range(5):
            assert version_for(made, canary, "engine's own") == "evqa/2"
        assert version_for(made, canary, "engine's own") == "evqa/1"
    assert "evqa/2 was rolled back: 100.0% of its answers failed" in made.proxy.said[-1]
    time.sleep(0.6)
    assert made.launcher.launched == ["evqa/1", "evqa/2"]
    assert "evqa/2" in Rollbacks(made.rollbacks_file)
    assert 'evqa_canary_rollbacks_total{version="evqa/2"} 1.0' in made.proxy.get("/metrics").text


def test_a_canary_that_is_slow_is_rolled_back(world):
    made = world(percent=50)
    made.target = Target("evqa/1", "evqa/2")
    wait_until(lambda: made.fleet.canary is not None)
    made.launcher.engines["evqa/1"].delay_s = 0.02
    made.launcher.engines["evqa/2"].delay_s = 0.3
    with keys_with_and_without(made) as (canary, champion):
        for _ in range(5):
            version_for(made, champion, "engine's own")
            version_for(made, canary, "engine's own")
    wait_until(lambda: made.fleet.canary is None)
    assert "a token takes" in made.proxy.said[-1]


def test_a_canary_whose_engine_ends_is_rolled_back(world):
    made = world(percent=50)
    made.target = Target("evqa/1", "evqa/2")
    wait_until(lambda: made.fleet.canary is not None)
    made.fleet.canary.engine.running = False
    wait_until(lambda: made.fleet.canary is None)
    assert "its engine ended" in made.proxy.said[-1]


def test_a_canary_that_does_not_start_hurts_nobody(world):
    made = world(percent=50)
    made.launcher.refuse.add("evqa/2")
    made.target = Target("evqa/1", "evqa/2")
    wait_until(lambda: any("evqa/2 cannot be served" in line for line in made.proxy.said))
    time.sleep(0.6)
    assert made.launcher.launched == ["evqa/1", "evqa/2"]


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 100])
def test_the_share_of_keys_is_about_the_percentage(percent):
    got = sum(has_canary(f"key-{number}", "evqa/2", percent) for number in range(4000)) / 40
    assert abs(got - percent) < 3
    assert got in (0, 100) or percent not in (0, 100)


def outcomes(num_failed, num_good, token_s=0.01):
    made = Outcomes()
    for number in range(num_failed + num_good):
        made.add(failed=number < num_failed, latency_s=token_s * 10, num_tokens=10)
    return made


@pytest.mark.parametrize(
    ("canary", "champion", "bad"),
    [
        (outcomes(4, 0), outcomes(0, 100), False),  # too few to tell
        (outcomes(0, 50), outcomes(0, 50), False),
        (outcomes(1, 50), outcomes(0, 50), False),
        (outcomes(10, 50), outcomes(0, 50), True),
        (outcomes(10, 50), outcomes(10, 50), False),  # the champion fares no better
        (outcomes(0, 50, 0.03), outcomes(0, 50), True),
        (outcomes(0, 50, 0.03), outcomes(0, 2), False),  # nothing to compare with
    ],
)
def test_the_verdict_on_a_canary(canary, champion, bad, tmp_path):
    config = canary_config(tmp_path, 50).server.canary
    assert (verdict(canary, champion, config) is not None) == bad
