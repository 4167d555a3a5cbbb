"""A local server that speaks OpenAI's protocol and misbehaves; it keeps the bill.

Run as a script it prints its port and serves until it is killed: ``python fake_api.py SEED``.
``GET /bill`` tells what it billed, in millionths of a dollar at a dollar a million tokens, and how
often each prompt was answered.
"""

import asyncio
import json
import random
import sys
from collections import Counter

from aiohttp import web

MOODS = ["ok"] * 12 + [
    "slow", "429", "503", "500", "504", "truncated", "cut", "hang", "trickle", "no usage",
    "low usage", "huge usage", "not json", "empty", "reset",
]  # fmt: skip
UNBILLED = {"429": 429, "503": 503}
BILLED_FAILURES = {"500": 500, "504": 504}


class FakeApi:
    """One server with its bill.

    Args:
        seed: Decides its moods.
        answer: Makes the content of a good answer from the user's message.
        moods: What it may do.
    """

    def __init__(self, seed, answer, moods=MOODS):
        self._draw = random.Random(seed)
        self._answer = answer
        self._moods = moods
        self.billed = 0
        self.answered = Counter()
        self.requests = 0

    def app(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_get("/bill", self.bill)
        return app

    async def bill(self, _request):
        return web.json_response({
            "billed_micro_usd": self.billed, "requests": self.requests,
            "answered": self.answered.total(), "distinct": len(self.answered),
            "most_often": max(self.answered.values(), default=0),
        })  # fmt: skip

    async def complete(self, request):
        body = await request.json()
        self.requests += 1
        mood = self._draw.choice(self._moods)
        if mood in UNBILLED:
            return web.json_response({"error": {"message": mood}}, status=UNBILLED[mood],
                                     headers={"Retry-After": "0.02"})  # fmt: skip
        user = body["messages"][-1]["content"]
        content = self._answer(user)
        words = sum(len(message["content"].split()) for message in body["messages"])
        usage = {
            "prompt_tokens": int(1.4 * words),
            "completion_tokens": int(1.4 * len(content.split())) + 8,
        }
        usage["total_tokens"] = sum(usage.values())
        self.billed += usage["total_tokens"]
        return await self._misbehave(mood, request, user, content, usage)

    async def _misbehave(self, mood, request, user, content, usage):
        if mood in BILLED_FAILURES:
            return web.json_response({"error": {"message": mood}}, status=BILLED_FAILURES[mood])
        if mood == "hang":
            await asyncio.sleep(30)
        if mood == "trickle":
            return await self._trickle(request)
        if mood == "reset":
            request.transport.close()
        if mood == "not json":
            return web.Response(text="<html>gateway</html>", content_type="text/html")
        if mood == "slow":
            await asyncio.sleep(0.1)
        if mood == "truncated":
            content = content[: len(content) // 2]
        told = {"no usage": None, "low usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
                "huge usage": {"prompt_tokens": 10**9, "completion_tokens": 5, "total_tokens": 10**9}}  # fmt: skip
        reply = {
            "id": "x", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [] if mood == "empty" else [{
                "index": 0, "finish_reason": "length" if mood == "truncated" else "stop",
                "message": {"role": "assistant", "content": content}}],
            "usage": told.get(mood, usage),
        }  # fmt: skip
        text = json.dumps(reply)
        if mood == "cut":
            return web.Response(text=text[: len(text) // 2], content_type="application/json")
        self.answered[user] += 1
        return web.Response(text=text, content_type="application/json")

    async def _trickle(self, request):
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(300):
            await response.write(b" ")
            await asyncio.sleep(0.1)
        return response


def pairs_about(user):
    """A good answer: one pair whose quote is the source's first sentence with a number."""
    source = user.split("\n\n", 1)[1]
    sentence = source.split(". ")[0].split("\n")[-1] + "."
    number = sentence.split()[3]
    pair = {"question": f"How much does charger {number} deliver?", "answer": sentence,
            "quote": sentence, "category": "charging_speed", "difficulty": "easy"}  # fmt: skip
    return json.dumps({"pairs": [pair]})


async def serve(seed):
    runner = web.AppRunner(FakeApi(seed, pairs_about).app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
