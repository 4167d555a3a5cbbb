"""The budget: never exceeded, whatever dies when; nothing is bought twice."""

import asyncio
import json
import random

import pytest

from evqa.config.data import QAConfig
from evqa.errors import GateError, OutsideError
from evqa.qa.client import Buyer
from evqa.qa.spending import JOURNAL, Journal, Prices, to_micro_usd


def entries(folder):
    return [json.loads(line) for line in (folder / JOURNAL).read_bytes().splitlines()]


def test_reserving_and_settling_are_lines_on_disk(tmp_path):
    with Journal(tmp_path, 1.0) as journal:
        number = journal.reserve("k", 400_000)
        assert journal.charged_usd == 0.4
        journal.settle(number, "k", 100_000, {"text": "hello"})
        assert journal.charged_usd == 0.1
        assert journal.answer("k") == {"text": "hello"}
    assert [entry["event"] for entry in entries(tmp_path)] == ["reserve", "settle"]
    with Journal(tmp_path, 1.0) as journal:
        assert journal.charged_usd == 0.1
        assert journal.answer("k") == {"text": "hello"}


def test_the_ceiling_is_refused_before_it_is_passed(tmp_path):
    with Journal(tmp_path, 1.0) as journal:
        journal.reserve("a", 700_000)
        with pytest.raises(GateError, match=r"qa\.budget_usd=1"):
            journal.reserve("b", 300_001)
        journal.reserve("b", 300_000)
    assert len(entries(tmp_path)) == 2


def test_a_reservation_without_settlement_stays_charged(tmp_path):
    with Journal(tmp_path, 1.0) as journal:
        journal.reserve("a", 600_000)
    with Journal(tmp_path, 1.0) as journal:
        assert journal.charged_usd == 0.6
        with pytest.raises(GateError):
            journal.reserve("a", 500_000)
        assert journal.reserve("b", 10) == 1


def test_a_settlement_never_costs_more_than_its_reservation(tmp_path):
    with Journal(tmp_path, 1.0) as journal:
        journal.settle(journal.reserve("a", 1000), "a", 5000, None)
        journal.settle(journal.reserve("b", 1000), "b", -7, None)
        assert journal.charged_usd == 0.001
        assert journal.answer("a") is None


def test_a_line_that_a_crash_left_half_written_is_cut_off(tmp_path):
    with Journal(tmp_path, 1.0) as journal:
        journal.settle(journal.reserve("a", 10), "a", 10, {"text": "ä"})
    whole = (tmp_path / JOURNAL).read_bytes()
    for cut in range(1, 60):
        (tmp_path / JOURNAL).write_bytes(whole + whole[:cut].rstrip(b"\n"))
        with Journal(tmp_path, 1.0) as journal:
            assert journal.answer("a") == {"text": "ä"}
            number = journal.reserve("b", 1)
            journal.settle(number, "b", 1, None)
        assert all(entry["event"] in ("reserve", "settle") for entry in entries(tmp_path))


def test_prices_round_up():
    assert Prices(0.88, 0.88).micro_usd(1, 0) == 1
    assert Prices(0.88, 0.88).micro_usd(1000, 1000) == 1760
    assert Prices(0, 0).micro_usd(10, 10) == 0
    assert to_micro_usd(0.0000001) == 1


class Died(BaseException):
    """The process is gone."""


class FakeServer:
    """Answers, fails, limits, hangs and dies as a schedule says; counts what it bills."""

    def __init__(self, schedule, prices):
        self._schedule = schedule
        self._prices = prices
        self.billed_micro_usd = 0
        self.sold = []

    async def create(self, **request):
        import httpx2 as httpx
        from together import APIStatusError

        await asyncio.sleep(0)
        what = self._schedule.choice(["ok", "ok", "ok", "429", "503", "timeout", "die", "lie"])
        if what in ("429", "503"):
            reply = httpx.Response(
                int(what), headers={"retry-after": "3"}, request=httpx.Request("POST", "http://x")
            )
            raise APIStatusError(what, response=reply, body=None)
        # From here on the server has worked, and bills it, whatever becomes of the answer.
        prompt = self._schedule.randint(5, 60)
        completion = self._schedule.randint(1, request["max_tokens"])
        self.billed_micro_usd += self._prices.micro_usd(prompt, completion)
        if what == "timeout":
            raise TimeoutError
        if what == "die":
            raise Died
        self.sold.append(request["messages"][0]["content"])
        usage = Box(prompt_tokens=prompt, completion_tokens=completion)
        if what == "lie":
            usage = self._schedule.choice(
                [
                    None,
                    Box(prompt_tokens=-5, completion_tokens=0),
                    Box(prompt_tokens=10**9, completion_tokens=1),
                ]
            )
        return Box(choices=[Box(message=Box(content="{}"))], usage=usage)


class Box:
    def __init__(self, **fields):
        self.__dict__.update(fields)


async def no_wait(_seconds):
    await asyncio.sleep(0)


async def buy(folder, server, config, questions):
    with Journal(folder, config.budget_usd) as journal:
        buyer = Buyer(server, journal, config, no_wait)
        tasks = [
            asyncio.ensure_future(buyer.ask([{"role": "user", "content": q}], {}))
            for q in questions
        ]
        try:
            for task in tasks:
                try:
                    await task
                except (GateError, OutsideError):  # the next one is tried
                    continue
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return journal.charged_usd


def test_a_hundred_schedules_of_failures_and_deaths_keep_the_ceiling(tmp_path):
    for seed in range(100):
        schedule = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        config = QAConfig(
            model="m", base_url="http://x", budget_usd=schedule.choice([0.0003, 0.001, 0.01]),
            usd_per_million_prompt_tokens=0.5, usd_per_million_completion_tokens=1.5,
            max_completion_tokens=100, max_retries=2,
        )  # fmt: skip
        server = FakeServer(schedule, Prices(0.5, 1.5))
        questions = [f"question {n}" for n in range(8)]
        for _ in range(4):  # the same command again after each death
            try:
                asyncio.run(buy(folder, server, config, questions))
            except Died:
                continue
        assert server.billed_micro_usd <= config.budget_usd * 1e6, seed
        assert len(server.sold) == len(set(server.sold)), seed
