"""Five hundred chunks through a server that does everything wrong: the run ends, within budget."""

import asyncio
import threading

import pytest
from aiohttp import web
from fake_api import FakeApi, pairs_about
from records_for_tests import chunk, document

from evqa.config.data import PairGenerator, QAConfig
from evqa.ledger import Ledger
from evqa.qa import client
from evqa.qa.candidate import Passage
from evqa.qa.generate import generate_together
from evqa.qa.spending import MICRO, Journal
from evqa.qa.validate import check_pairs


@pytest.fixture
def api(monkeypatch):
    """A misbehaving server in a thread of its own, and its port."""
    monkeypatch.setenv("TEST_KEY", "secret")
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    started, held = threading.Event(), {}
    fake = FakeApi(5, pairs_about)

    async def serve():
        runner = web.AppRunner(fake.app(), handle_signals=False)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        held.update(loop=asyncio.get_running_loop(), stop=asyncio.Event())
        fake.port = runner.addresses[0][1]
        started.set()
        await held["stop"].wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    yield fake
    held["loop"].call_soon_threadsafe(held["stop"].set)
    thread.join(10)


def passages(num):
    found = []
    for number in range(num):
        text = (
            f"The charger number {number} delivers {number + 3} kW to the battery of the car. "
            "It stands beside the road and is open by day and by night for everybody who comes."
        )
        owner = document(text, f"{number}.html")
        found.append(Passage(chunk=chunk(text, owner), document=owner))
    return found


def test_five_hundred_chunks_come_through_within_the_budget(api, tmp_path):
    config = QAConfig(
        generator=PairGenerator.together, model="m", base_url=f"http://127.0.0.1:{api.port}",
        api_key_env="TEST_KEY", budget_usd=6.0, usd_per_million_prompt_tokens=1.0,
        usd_per_million_completion_tokens=1.0, max_completion_tokens=300, request_timeout_s=2.0,
        max_retries=14, max_concurrent_requests=16, categories=["charging_speed"],
    )  # fmt: skip
    ledger = Ledger()
    found = list(generate_together(passages(500), config, tmp_path, ledger))
    ledger.check()
    (stage,) = ledger.stages()
    assert stage.num_in == 500
    assert stage.num_kept > 400  # answers cut in half or without choices give no pair
    assert set(stage.dropped) <= {"bad_json", "bad_shape"}
    assert all(why is None for _, _, why in check_pairs(found))
    with Journal(tmp_path, 6.0) as journal:
        assert api.billed <= journal.charged_usd * MICRO <= 6.0 * MICRO
    num_requests = api.requests
    again = list(generate_together(passages(500), config, tmp_path, Ledger()))
    assert again == found
    assert api.requests == num_requests  # nothing is bought twice
