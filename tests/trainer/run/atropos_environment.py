"""A program that speaks the wire of Atropos as its ``BaseEnv`` does, with nothing but aiohttp: run it with a URL.

It samples replies to a fixed prompt from ``/generate``, scores them by their share of one token, and posts the groups
until it is ended or has posted ``LIMIT`` of them. Each acknowledged group is told on standard output by its mark: the
fraction in its first score.
"""

import asyncio
import json
import sys
from typing import Any

import aiohttp

PROMPT = [72, 105, 33]
WANTED = 65


async def post(session: aiohttp.ClientSession, path: str, body: Any) -> Any:
    """The answer; waits while the service is not there, or has no room."""
    while True:
        try:
            async with session.post(path, json=body) as response:
                if response.status == 200:
                    return await response.json()
                if response.status != 503:
                    raise RuntimeError(f"{path}: {response.status} {await response.text()}")
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.1)


async def group(session: aiohttp.ClientSession, mark: float) -> dict[str, Any]:
    """A scored group; ``mark`` makes its first score unlike that of every other group."""
    sampling = {"n": 4, "max_tokens": 4, "temperature": 1.0, "logprobs": 0}
    answer = await post(session, "/generate", {"prompt": {"prompt_token_ids": PROMPT}, **sampling})
    replies = [[next(iter(entry[0].items())) for entry in row] for row in answer["logprobs"]]
    ids = [[int(token) for token, _ in reply] for reply in replies]
    scores = [sum(token == WANTED for token in reply) / len(reply) for reply in ids]
    return {
        "tokens": [PROMPT + reply for reply in ids],
        "masks": [[-100] * len(PROMPT) + reply for reply in ids],
        "scores": [scores[0] + mark, *scores[1:]],
        "inference_logprobs": [[1.0] * len(PROMPT) + [value for _, value in reply] for reply in replies],
    }


async def main(url: str, limit: int) -> None:
    async with aiohttp.ClientSession(url) as session:
        registration = {"max_token_length": 16, "desired_name": "marks", "weight": 1.0, "group_size": 4}
        while (answer := await post(session, "/register-env", registration))["status"] != "success":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        for number in range(1, limit + 1):
            scored = await group(session, number * 1e-4)
            await post(session, "/scored_data", {**scored, "env_id": answer["env_id"]})
            print(json.dumps({"number": number, "score": scored["scores"][0]}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
