"""Smoke test of a served endpoint: is it ready, does it answer, does it refuse a wrong key?

usage: python scripts/smoke_endpoint.py http://127.0.0.1:8000 [--key-env EVQA_API_KEY]
                                        [--model evqa] [--wait-s 60]

Exit 0 when all hold, else 1 with one line that says which did not.
"""

import argparse
import os
import sys
import time
import urllib.error
import urllib.request

QUESTION = [{"role": "user", "content": "What is CCS?"}]


def wait_until_ready(url: str, wait_s: float) -> None:
    """Ask ``/ready`` until it answers 200.

    Raises:
        SystemExit: it did not in time.
    """
    end = time.monotonic() + wait_s
    while True:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):  # noqa: S310  the user's URL
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > end:
                raise SystemExit(f"{url}/ready: not ready after {wait_s:g} s: {error}") from None
            time.sleep(0.5)


def check_answers(url: str, key: str, model: str) -> None:
    """Ask one question whole and one streamed; both must have text.

    Raises:
        SystemExit: saying which was empty.
    """
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    reply = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=16)
    if not reply.choices[0].message.content:
        raise SystemExit(f"{url}: the answer is empty")
    stream = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=16, stream=True
    )
    if not any(chunk.choices and chunk.choices[0].delta.content for chunk in stream):
        raise SystemExit(f"{url}: the streamed answer is empty")


def check_wrong_key(url: str, model: str) -> None:
    """A wrong key must be refused.

    Raises:
        SystemExit: it was taken.
    """
    from openai import AuthenticationError, OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0)
    try:
        client.chat.completions.create(model=model, messages=QUESTION, max_tokens=1)
    except AuthenticationError:
        return
    raise SystemExit(f"{url}: a wrong key was taken")


def main() -> None:
    """Run the checks in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--key-env", default="EVQA_API_KEY", help="variable that holds the key")
    parser.add_argument("--model", default="evqa")
    parser.add_argument("--wait-s", type=float, default=60.0)
    options = parser.parse_args()
    key = os.environ.get(options.key_env, "")
    if not key:
        raise SystemExit(f"{options.key_env} is not set: it must hold an API key")
    url = options.url.rstrip("/")
    wait_until_ready(url, options.wait_s)
    check_answers(url, key, options.model)
    check_wrong_key(url, options.model)
    sys.stdout.write(f"{url}: ready, answers, streams, refuses a wrong key\n")


if __name__ == "__main__":
    main()
