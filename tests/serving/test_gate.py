import asyncio

import pytest

from evqa.serving.api_error import ApiError
from evqa.serving.gate import Gate


def run(work):
    return asyncio.run(asyncio.wait_for(work, 10))


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_waits_gets_in_in_order():
    async def work():
        gate, order = Gate(1, 10, 5), []

        async def visit(number):
            await gate.enter()
            order.append(number)
            await asyncio.sleep(0)
            gate.leave()

        await asyncio.gather(*(visit(number) for number in range(6)))
        assert order == list(range(6))
        assert (gate.in_flight, gate.num_waiting) == (0, 0)

    run(work())


def test_a_full_queue_refuses_at_once():
    async def work():
        gate = Gate(1, 1, 5)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await settle()
        with pytest.raises(ApiError) as caught:
            await gate.enter()
        assert (caught.value.status, caught.value.code) == (503, "server_busy")
        gate.leave()
        await waiting
        assert gate.in_flight == 1

    run(work())


def test_a_queue_that_does_not_move_is_told():
    async def work():
        gate = Gate(1, 5, 0.05)
        await gate.enter()
        with pytest.raises(ApiError, match="full"):
            await gate.enter()
        assert (gate.in_flight, gate.num_waiting) == (1, 0)

    run(work())


@pytest.mark.parametrize("has_place", [False, True])
def test_a_client_that_leaves_the_queue_takes_no_place(has_place):
    async def work():
        gate = Gate(1, 5, 5)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await settle()
        if has_place:
            gate.leave()  # the place is its own, but it has not woken up yet
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not has_place:
            gate.leave()
        assert (gate.in_flight, gate.num_waiting) == (0, 0)

    run(work())


def test_a_paused_gate_lets_everybody_wait():
    async def work():
        gate = Gate(10, 10, 5)
        await gate.enter()
        gate.pause()
        visits = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await settle()
        assert (gate.in_flight, gate.num_waiting) == (1, 3)
        idle = asyncio.create_task(gate.wait_idle(5))
        await settle()
        gate.leave()
        assert await idle
        gate.resume()
        await asyncio.gather(*visits)
        assert gate.in_flight == 3
        assert not await gate.wait_idle(0.01)

    run(work())


def test_a_draining_gate_refuses_what_is_new():
    gate = Gate(1, 1, 1)
    gate.check()
    gate.draining = True
    with pytest.raises(ApiError, match="stopping"):
        gate.check()
