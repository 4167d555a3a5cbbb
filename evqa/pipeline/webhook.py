"""Telling somebody that a pipeline failed, or that its model is not to be shipped."""

import os
import sys
from typing import Any

import aiohttp

TIMEOUT_S = 5.0


def tell(url_env: str | None, message: dict[str, Any]) -> None:
    """POST a message as JSON to the URL in an environment variable; a failure is only said.

    Args:
        url_env: The variable's name, or null for nobody.
        message: What happened.
    """
    if url_env is None:
        return
    url = os.environ.get(url_env)
    if not url:
        sys.stderr.write(f"warning: webhook_env={url_env}: the variable is not set\n")
        return
    import asyncio

    try:
        asyncio.run(_post(url, message))
    except (TimeoutError, aiohttp.ClientError, ValueError, OSError) as error:
        sys.stderr.write(f"warning: the webhook was not told ({type(error).__name__})\n")


async def _post(url: str, message: dict[str, Any]) -> None:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        reply = await session.post(url, json=message)
        reply.raise_for_status()
