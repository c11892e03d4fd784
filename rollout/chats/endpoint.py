"""An OpenAI-compatible endpoint over HTTP: one or more URLs of a model, asked in turn, with retries and failover."""

import asyncio
import itertools
import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ...verifiers.errors import ConfigError, EngineError
from ...verifiers.secrets import without_secrets
from .answer_body import MAX_ANSWER, read_answer

log = logging.getLogger(__name__)

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_OVERFLOW = ("context_length_exceeded", "maximum context length", "context window")


class Endpoint:
    """Answers chat completion requests. Requests go to the URLs in turn, and to the next one after a passing failure.

    Args:
        urls: of the API, as ``http://localhost:8000/v1``; without a path, ``/v1`` is added. All serve the same model.
        key_variable: environment variable that holds the API key; it may be unset.
        headers: further headers of every request; a value ``$NAME`` is read from the environment variable NAME.
        deadline: seconds that one request may take.
        tries: most requests for one reply, besides the first one at each further URL; a request is repeated after 429,
            5xx, timeouts and lost connections.
        backoff: seconds before the first URL is asked again, doubled each time; ``Retry-After`` is obeyed up to a
            minute.

    Raises:
        ConfigError: a URL is malformed, or a header's environment variable is not set.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key_variable: str = "OPENAI_API_KEY",
        headers: Mapping[str, str] | None = None,
        deadline: float = 300.0,
        tries: int = 5,
        backoff: float = 0.5,
    ) -> None:
        self._targets = [_target(url) for url in urls]
        self._key_variable = key_variable
        self._headers = {name: _from_environment(name, value) for name, value in (headers or {}).items()}
        self._deadline = deadline
        self._tries = tries + len(self._targets) - 1
        self._backoff = backoff
        self._turn = itertools.count()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to one chat completion request.

        Raises:
            EngineError: the request was refused, or failed in every try; the episode is then unscored, never scored 0.
        """
        failure = EngineError("no try was allowed")
        first, count = next(self._turn), len(self._targets)
        wait = 0.0
        for number in range(self._tries):
            rounds, place = divmod(number, count)
            if rounds and place == 0:  # every URL has failed
                await asyncio.sleep(max(wait, self._backoff * 2 ** (rounds - 1) * random.uniform(0.75, 1.25)))
                wait = 0.0
            target = self._targets[(first + number) % count]
            try:
                return await self._post(target, body)
            except _PassingError as passing:
                wait = max(wait, passing.wait)
                shown = without_secrets(target)
                failure = EngineError(f"{shown}: {passing} ({number + 1} of {self._tries} tries)")
                log.info("%s", failure)
        raise failure

    async def _post(self, target: str, body: dict[str, Any]) -> dict[str, Any]:
        shown = without_secrets(target)
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._deadline)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=True)
        key = os.environ.get(self._key_variable, "")
        headers = ({"Authorization": f"Bearer {key}"} if key else {}) | self._headers
        try:
            async with self._session.post(target, json=body, headers=headers, allow_redirects=False) as response:
                text = await read_answer(response)
        except TimeoutError:
            raise _PassingError(f"no answer within {self._deadline:g} s") from None
        except aiohttp.ClientError as error:
            raise _PassingError(self.quoted(f"{type(error).__name__}: {error}")) from None
        if text is None:
            raise EngineError(f"{shown}: the answer has more than {MAX_ANSWER >> 20} MiB")
        if response.status in _RETRIED:
            raise _PassingError(f"HTTP {response.status}: {self.quoted(text)}", _retry_after(response))
        if 300 <= response.status < 400:
            place = self.quoted(response.headers.get("Location", "nowhere"))
            raise EngineError(f"{shown}: redirects to {place}; prompts follow no redirect, give that URL instead")
        if response.status == 400 and any(sign in text.lower() for sign in _OVERFLOW):
            return {"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}
        if response.status != 200:
            cure = f"; is {self._key_variable} set and right?" if response.status in (401, 403) else ""
            raise EngineError(f"{shown}: HTTP {response.status}: {self.quoted(text)}{cure}")
        try:
            answer = json.loads(text)
        except ValueError:
            raise _PassingError(f"the answer is not JSON: {self.quoted(text, 80)}") from None
        if not isinstance(answer, dict):
            raise EngineError(f"{shown}: the answer is not an object: {self.quoted(text, 80)}")
        return answer

    def quoted(self, text: str, most: int = 200) -> str:
        """The beginning of foreign text, without our secrets and without characters that a terminal obeys."""
        secrets = (os.environ.get(self._key_variable, ""), *self._headers.values())
        clean = without_secrets(text[: 4 * most], *secrets)[:most]
        return "".join(char if char.isprintable() else " " for char in clean)


class _PassingError(Exception):
    """A failure that may be over at the next try; ``wait`` is the endpoint's ``Retry-After`` in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def _target(url: str) -> str:
    """Where requests to the API at ``url`` go."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"the URL of an endpoint is http(s)://host[:port]/v1, found {without_secrets(url)!r}")
    base = url.rstrip("/") if parts.path.strip("/") else url.rstrip("/") + "/v1"
    return f"{base}/chat/completions"


def _from_environment(name: str, value: str) -> str:
    if not value.startswith("$"):
        return value
    if value[1:] not in os.environ:
        raise ConfigError(f"the header {name!r} is read from the environment variable {value[1:]}, which is not set")
    return os.environ[value[1:]]


def _retry_after(response: aiohttp.ClientResponse) -> float:
    try:
        return min(60.0, max(0.0, float(response.headers.get("Retry-After", 0))))
    except ValueError:  # a date: the backoff is enough
        return 0.0
