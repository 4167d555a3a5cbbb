"""The budget: never exceeded, whatever dies when; nothing is bought twice."""

import asyncio
import errno
import json
import os
import random

import pytest

from evqa.config.data import QAConfig
from evqa.errors import GateError, OutsideError, UserError
from evqa.qa.client import Buyer
from evqa.qa.spending import JOURNAL, MICRO, Journal, Prices, to_micro_usd


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


class Clock:
    """Virtual time: waiting costs nothing, and hours pass in no time."""

    def __init__(self):
        self.now_s = 0.0

    async def sleep(self, seconds):
        self.now_s += seconds
        await asyncio.sleep(0)


class Box:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class FakeServer:
    """Answers, fails, limits, hangs, lies and dies as a schedule says; counts what it bills."""

    MOODS = (
        "ok", "ok", "ok", "ok", "truncated", "429", "503", "500", "502", "400", "timeout", "reset",
        "no json", "die before", "die after", "none", "negative", "huge", "text", "too few",
    )  # fmt: skip

    def __init__(self, schedule, prices, clock):
        self._schedule = schedule
        self._prices = prices
        self._clock = clock
        self.billed_micro_usd = 0
        self.delivered = []

    async def create(self, **request):
        await self._clock.sleep(self._schedule.random() * 30)
        mood = self._schedule.choice(self.MOODS)
        if mood in ("429", "503", "400"):
            raise self._refusal(mood)
        if mood == "die before":
            raise Died
        # From here on the server has worked, and bills it, whatever becomes of the answer.
        words = sum(len(message["content"].split()) for message in request["messages"])
        prompt = self._schedule.randint(words, 3 * words)
        completion = self._schedule.randint(2, request["max_tokens"])
        self.billed_micro_usd += self._prices.micro_usd(prompt, completion)
        self._fail_after_work(mood)
        self.delivered.append(request["messages"][0]["content"])
        content = '{"pairs": [{"qu' if mood == "truncated" else '{"pairs": []}'
        usage = {
            "none": None,
            "negative": Box(prompt_tokens=-5, completion_tokens=0),
            "huge": Box(prompt_tokens=10**9, completion_tokens=1),
            "text": Box(prompt_tokens="many", completion_tokens="more"),
            "too few": Box(prompt_tokens=1, completion_tokens=0),
        }.get(mood, Box(prompt_tokens=prompt, completion_tokens=completion))
        return Box(choices=[Box(message=Box(content=content))], usage=usage)

    def _refusal(self, status):
        import httpx2 as httpx
        from together import APIStatusError

        headers = {"retry-after": self._schedule.choice(["3", "0.5", "Thu", ""])}
        request = httpx.Request("POST", "http://x")
        reply = httpx.Response(int(status), headers=headers, request=request)
        return APIStatusError(status, response=reply, body=None)

    def _fail_after_work(self, mood):
        if mood in ("500", "502"):
            raise self._refusal(mood)
        failures = {
            "timeout": TimeoutError(), "reset": ConnectionResetError(),
            "no json": json.JSONDecodeError("x", "y", 0), "die after": Died(),
        }  # fmt: skip
        if mood in failures:
            raise failures[mood]


class CrashingDisk:
    """Kills the process at its n-th write or fsync of the journal, before it or after it."""

    def __init__(self, monkeypatch, point):
        self._left = point
        real_fsync, real_append = os.fsync, Journal._append

        def fsync(descriptor):
            self.count()
            real_fsync(descriptor)
            self.count()

        def append(journal, entry):
            self.count()
            real_append(journal, entry)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Journal, "_append", append)

    def count(self):
        self._left -= 1
        if self._left == 0:
            raise Died


async def buy(folder, server, config, questions, clock):
    with Journal(folder, config.budget_usd) as journal:
        buyer = Buyer(server, journal, config, clock.sleep)
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


def test_a_thousand_schedules_of_failures_and_deaths_keep_the_ceiling(tmp_path, monkeypatch):
    """Spend never passes the ceiling; what the journal holds is never bought again."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # the disk is not what is tested
    num_deaths = 0
    for seed in range(1000):
        schedule = random.Random(seed)
        clock = Clock()
        folder = tmp_path / str(seed)
        folder.mkdir()
        config = QAConfig(
            model="m", base_url="http://x", budget_usd=schedule.choice([0.0003, 0.001, 0.01]),
            usd_per_million_prompt_tokens=0.5, usd_per_million_completion_tokens=1.5,
            max_completion_tokens=100, max_retries=2,
        )  # fmt: skip
        server = FakeServer(schedule, Prices(0.5, 1.5), clock)
        questions = [f"what is question {n} about" for n in range(6)]
        for _ in range(4):  # the same command again after each death
            journalled = answers_in(folder)
            delivered = len(server.delivered)
            with monkeypatch.context() as patch:
                CrashingDisk(patch, schedule.randint(1, 60))
                try:
                    asyncio.run(buy(folder, server, config, questions, clock))
                except Died:
                    num_deaths += 1
            again = journalled & set(server.delivered[delivered:])
            assert not again, (seed, again)
        assert server.billed_micro_usd <= config.budget_usd * MICRO, seed
        with Journal(folder, config.budget_usd) as journal:
            assert server.billed_micro_usd <= journal.charged_usd * MICRO + 1e-6, seed
            assert journal.charged_usd <= config.budget_usd, seed
    assert num_deaths > 500  # the schedules do die


def answers_in(folder):
    """The questions whose answers the journal holds: none of them may be bought again."""
    keys = set()
    if (folder / JOURNAL).exists():
        config = QAConfig(model="m", base_url="http://x", max_completion_tokens=100)
        with Journal(folder, 1.0) as journal:
            buyer = Buyer(None, journal, config)
            for number in range(6):
                question = f"what is question {number} about"
                if buyer.bought([{"role": "user", "content": question}], {}) is not None:
                    keys.add(question)
    return keys


def test_a_full_disk_leaves_a_journal_that_can_be_read(tmp_path, monkeypatch):
    with Journal(tmp_path, 1.0) as journal:
        journal.settle(journal.reserve("a", 10), "a", 10, {"text": "kept"})

        def full(_descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                journal.reserve("b", 500_000)
        assert journal.charged_usd == 0.00001
    with Journal(tmp_path, 1.0) as journal:
        assert journal.answer("a") == {"text": "kept"}
        assert journal.charged_usd == 0.00001


def test_a_damaged_journal_is_named_not_guessed(tmp_path):
    with Journal(tmp_path, 1.0) as journal:
        journal.reserve("a", 10)
    (tmp_path / JOURNAL).write_bytes(b"{broken\n" + (tmp_path / JOURNAL).read_bytes())
    with pytest.raises(UserError, match=r"journal\.jsonl: damaged"), Journal(tmp_path, 1.0):
        pass
