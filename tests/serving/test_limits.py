import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.serving.api_error import ApiError
from evqa.serving.keys import ApiKey
from evqa.serving.limits import Bucket, KeyLimiter, limit_headers, seconds_to_next_month


class Clock:
    def __init__(self):
        self.now_s = 1000.0
        self.month = "2026-01"

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def key(**limits):
    return ApiKey(id="k", name="k", sha256="0" * 64, created="2026-01-01", **limits)


def limiter(clock, **used):
    return KeyLimiter(used, clock, lambda: clock.month)


def refused(work):
    with pytest.raises(ApiError) as caught:
        work()
    assert caught.value.status == 429
    assert dict(caught.value.headers())[b"retry-after"].isdigit()
    return caught.value


def test_a_key_without_limits_is_never_refused(clock):
    limits = limiter(clock, k=10**9)
    tickets = [limits.admit(key(), 1 << 20, 4096) for _ in range(1000)]
    assert all(ticket.headers == [] for ticket in tickets)
    limits.settle(tickets[0], 5)


def test_requests_a_minute_come_back_evenly(clock):
    limits, limited = limiter(clock), key(requests_per_minute=6)
    for _ in range(6):
        limits.admit(limited, 10, 0)
    error = refused(lambda: limits.admit(limited, 10, 0))
    assert error.code == "rate_limit_exceeded"
    assert error.retry_after_s == pytest.approx(10)
    clock.now_s += 9.9
    refused(lambda: limits.admit(limited, 10, 0))
    clock.now_s += 0.2
    limits.admit(limited, 10, 0)
    refused(lambda: limits.admit(limited, 10, 0))


def test_tokens_are_estimated_first_and_put_right_afterwards(clock):
    limits, limited = limiter(clock), key(tokens_per_minute=600)
    ticket = limits.admit(limited, 400, 400)  # 100 + 400
    refused(lambda: limits.admit(limited, 400, 100))
    limits.settle(ticket, 150)  # 350 come back
    limits.settle(limits.admit(limited, 400, 350), 450)
    error = refused(lambda: limits.admit(limited, 0, 100))
    assert error.retry_after_s == pytest.approx(10)


def test_an_answer_longer_than_thought_leaves_a_debt(clock):
    limits, limited = limiter(clock), key(tokens_per_minute=60)
    limits.settle(limits.admit(limited, 4, 9), 120)
    assert refused(lambda: limits.admit(limited, 4, 0)).retry_after_s == pytest.approx(61)


def test_one_that_asks_for_more_than_a_minutes_worth_waits_for_a_full_bucket(clock):
    limits, limited = limiter(clock), key(tokens_per_minute=60)
    ticket = limits.admit(limited, 4000, 500)
    refused(lambda: limits.admit(limited, 4, 0))
    limits.settle(ticket, 60)
    clock.now_s += 61
    assert limits.admit(limited, 4000, 500).estimate == 1500


def test_requests_at_once_are_counted(clock):
    limits, limited = limiter(clock), key(max_concurrent=2)
    first, _ = limits.admit(limited, 1, 1), limits.admit(limited, 1, 1)
    assert refused(lambda: limits.admit(limited, 1, 1)).code == "concurrency_limit"
    limits.settle(first, 1)
    limits.admit(limited, 1, 1)


def test_the_months_tokens_are_counted_on_from_the_journal_and_end_with_the_month(clock):
    limits, limited = limiter(clock, k=90), key(monthly_tokens=100)
    limits.settle(limits.admit(limited, 1, 1), 10)
    error = refused(lambda: limits.admit(limited, 1, 1))
    assert (error.code, error.kind) == ("insufficient_quota", "insufficient_quota")
    assert 0 < error.retry_after_s <= 31 * 86400
    clock.month = "2026-02"
    limits.admit(limited, 1, 1)


def test_limits_that_change_count_at_once(clock):
    limits = limiter(clock)
    for _ in range(3):
        limits.admit(key(requests_per_minute=3), 1, 1)
    refused(lambda: limits.admit(key(requests_per_minute=3), 1, 1))
    assert limits.admit(key(), 1, 1).headers == []
    refused(lambda: limits.admit(key(requests_per_minute=1), 1, 1))


def test_a_refused_request_costs_nothing(clock):
    limits, limited = limiter(clock), key(requests_per_minute=10, tokens_per_minute=60)
    limits.settle(limits.admit(limited, 0, 60), 60)
    for _ in range(50):
        refused(lambda: limits.admit(limited, 0, 60))
    clock.now_s += 60
    headers = dict(limits.admit(limited, 0, 60).headers)
    assert headers[b"x-ratelimit-remaining-requests"] == b"9"


def test_the_headers_are_those_that_openais_clients_read():
    headers = dict(limit_headers([("requests", Bucket(2.5, 0), 1, 10)]))
    assert headers == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"2",
        b"x-ratelimit-reset-requests": b"45.000s",
    }


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 200), st.integers(0, 200)), max_size=60)
)
def test_never_more_than_the_rate_is_used_over_any_history(steps):
    """Property: what was used up to any moment fits into one bucket plus what has flowed in."""
    clock, limited = Clock(), key(tokens_per_minute=100)
    limits, used = limiter(clock), 0
    start = clock.now_s
    for wait_s, num_bytes, num_tokens in steps:
        clock.now_s += wait_s
        try:
            ticket = limits.admit(limited, num_bytes, num_tokens)
        except ApiError:
            continue
        spent = min(ticket.estimate, 100)
        used += spent
        limits.settle(ticket, spent)
        assert used <= 100 + (clock.now_s - start) * 100 / 60 + 1e-6


def test_the_month_ends():
    assert 0 < seconds_to_next_month() <= 31 * 86400
