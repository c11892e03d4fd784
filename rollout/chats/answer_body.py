"""The body of an endpoint's answer, read up to a limit: a megabyte of gzip may hold gigabytes."""

import aiohttp

MAX_ANSWER = 32 << 20
"""Longest body of an answer, in bytes after decompression."""


async def read_answer(response: aiohttp.ClientResponse) -> str | None:
    """Return the body as text; None if it is longer than ``MAX_ANSWER``, of which no more is read."""
    body = bytearray()
    async for part in response.content.iter_chunked(1 << 16):
        body += part
        if len(body) > MAX_ANSWER:
            response.close()
            return None
    return body.decode(errors="replace")
