import asyncio
import json

import pytest

from evqa.serving.api_error import ApiError
from evqa.serving.call import Call
from evqa.serving.events import EventStream
from evqa.serving.keys import ApiKey
from evqa.serving.limits import KeyLimiter, Ticket

KEY = ApiKey(id="k", name="k", sha256="0" * 64, created="x", monthly_tokens=1000)


class Client:
    """Gathers what is sent."""

    def __init__(self):
        self.messages = []

    async def send(self, message):
        self.messages.append(message)

    @property
    def head(self):
        return dict(self.messages[0]["headers"])

    @property
    def body(self):
        return b"".join(message["body"] for message in self.messages[1:])


class Connection:
    """A connection whose client reads, or does not."""

    def __init__(self, *, reads):
        self.reads = reads
        self.written = []
        self.hung_up = False

    def write_piece(self, data):
        if self.reads:
            self.written.append(data)
        return self.reads

    def hang_up(self):
        self.hung_up = True


@pytest.fixture
def client():
    return Client()


def make(client, **fields):
    fields = {"scope": {}, "receive": None, "send": client.send, "version": "evqa/1", **fields}
    return Call(**fields)


def test_every_answer_carries_its_labels(client):
    call = make(client)
    asyncio.run(call.reply(200, b"{}", (b"x-more", b"1")))
    assert client.head == {
        b"content-type": b"application/json", b"content-length": b"2", b"x-more": b"1",
        b"x-request-id": call.id.encode(), b"x-model-version": b"evqa/1",
    }  # fmt: skip
    assert client.body == b"{}"
    assert call.is_over()
    assert call.is_answering()


def test_the_limits_of_its_key_are_told(client):
    call = make(client, ticket=Ticket(KEY, 0, [(b"x-ratelimit-limit-requests", b"5")]))
    asyncio.run(call.reply(200, b"{}"))
    assert client.head[b"x-ratelimit-limit-requests"] == b"5"


def test_an_error_is_a_status_before_the_first_byte_and_an_event_after_it(client):
    error = ApiError(503, "gone", "server_error", code="engine_unavailable", retry_after_s=2)
    call = make(client)
    asyncio.run(call.fail(error))
    assert client.messages[0]["status"] == 503
    assert client.head[b"retry-after"] == b"2"
    assert call.error == "engine_unavailable"
    late = Client()
    call = make(late)

    async def begin_and_fail():
        await call.start(200, [])
        await call.piece(b"data: {}\n\n")
        await call.fail(error)

    asyncio.run(begin_and_fail())
    assert late.messages[0]["status"] == 200
    event = late.body.split(b"\n\n")[1].removeprefix(b"data: ")
    assert json.loads(event)["error"]["request_id"] == call.id
    assert call.status == 503
    assert late.messages[-1].get("more_body") is None


def test_pieces_go_straight_to_the_connection_while_its_client_reads(client):
    connection = Connection(reads=True)
    call = make(client, scope={"evqa.connection": connection})
    asyncio.run(call.piece(b"a"))
    assert (connection.written, client.messages) == ([b"a"], [])
    connection.reads = False
    asyncio.run(call.piece(b"b"))
    assert connection.written == [b"a"]
    assert client.messages == [{"type": "http.response.body", "body": b"b", "more_body": True}]
    assert not call.sending
    call.hang_up()
    assert connection.hung_up


def test_without_a_connection_of_ours_nobody_is_hung_up_on(client):
    make(client).hang_up()
    assert client.messages == []


def test_while_a_piece_is_on_its_way_that_can_be_seen(client):
    seen = []
    call = make(client)

    async def send(_message):
        seen.append(call.sending)

    call.send = send
    asyncio.run(call.piece(b"x"))
    asyncio.run(call.finish())
    assert seen == [True, True]
    assert not call.sending


def stream_of(*texts, usage=None):
    stream = EventStream(keep_usage=False, one_choice=True)
    for text in texts:
        event = {"id": "x", "choices": [{"index": 0, "delta": {"content": text}}]}
        stream.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    if usage:
        stream.feed(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
    return stream


@pytest.mark.parametrize(
    ("fields", "prompt", "completion", "total"),
    [
        ({}, None, None, 0),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, 3, 4, 7),
        ({"usage": {"prompt_tokens": "3"}}, None, None, 0),  # an engine that makes no sense
        ({"stream": stream_of("a", "b"), "answering": True}, None, 2, 10 + 2),
        ({"stream": stream_of(), "answering": False}, None, None, 0),
        (
            {
                "stream": stream_of("a", usage={"prompt_tokens": 5, "completion_tokens": 9}),
                "answering": True,
            },
            5,
            9,
            14,
        ),
    ],
)
def test_tokens_are_counted_as_the_engine_says_else_estimated(
    client, fields, prompt, completion, total
):
    call = make(client, num_payload_bytes=40, **fields)
    assert call.num_prompt_tokens() == prompt
    assert call.num_completion_tokens() == completion
    assert call.num_tokens() == total


def test_a_ticket_is_given_back_with_what_was_used(client):
    limiter = KeyLimiter()
    call = make(client, usage={"prompt_tokens": 600, "completion_tokens": 400})
    call.settle(limiter)  # it never had one
    call.ticket = limiter.admit(KEY, 10, 10)
    call.settle(limiter)
    with pytest.raises(ApiError, match="1000 tokens in"):
        limiter.admit(KEY, 1, 1)


def test_ids_differ(client):
    assert len({make(client).id for _ in range(1000)}) == 1000
