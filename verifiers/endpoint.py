"""The HTTP side of an OpenAI-compatible endpoint: requests with retries, failover and limits, without redirects."""

import asyncio
import itertools
import json
import logging
import os
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from .errors import ConfigError, EngineError, RequestRefused
from .secrets import without_secrets

log = logging.getLogger(__name__)

MAX_ANSWER = 32 << 20
"""Longest body of an answer, in bytes after decompression: a megabyte of gzip may hold gigabytes."""

CLASSIFY = "/classify"
"""The route of sequence classifiers, which is beside ``/v1``."""

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSED = frozenset({400, 413, 422})
_OVERFLOW = ("context_length_exceeded", "maximum context length", "context window")


class Endpoint:
    """Sends chat completion requests, or others, to one URL, or to several of the same model in turn.

    After a passing failure, the next URL is asked. It holds no connections, so that several event loops may share it.

    Args:
        url: of the API, as ``http://localhost:8000/v1``, or several; without a path, ``/v1`` is added.
        key_variable: environment variable that holds the API key; it may be unset.
        deadline: seconds that one request may take.
        tries: most requests for one answer, besides the first one to each further URL; it is repeated after 429, 5xx,
            timeouts and lost connections.
        backoff: seconds before the first URL is asked again, doubled each time; ``Retry-After`` is obeyed up to a
            minute.
        headers: further headers of every request; a value ``$NAME`` is read from the environment variable NAME.
        route: where requests go, below the URL; ``/classify`` goes beside ``/v1``, as vLLM has it.

    Raises:
        ConfigError: a URL is not one of an endpoint, or a header's environment variable is not set.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        key_variable: str,
        deadline: float,
        tries: int,
        backoff: float,
        headers: Mapping[str, str] | None = None,
        route: str = "/chat/completions",
    ) -> None:
        self._targets = [_target(one, route) for one in ([url] if isinstance(url, str) else url)]
        self._headers = {name: _from_environment(name, value) for name, value in (headers or {}).items()}
        self._key_variable = key_variable
        self._deadline = deadline
        self._tries = tries + len(self._targets) - 1
        self._backoff = backoff
        self._turn = itertools.count()

    def session(self) -> aiohttp.ClientSession:
        """New connections, for the running event loop; the caller closes them."""
        timeout = aiohttp.ClientTimeout(total=self._deadline)
        return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0), trust_env=True)

    async def complete(
        self,
        session: aiohttp.ClientSession,
        body: dict[str, Any],
        before_try: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Any]:
        """The endpoint's answer to one request, a JSON object.

        Args:
            session: the connections.
            body: the JSON of the request.
            before_try: awaited before each try; what it raises ends the request.

        Raises:
            RequestRefused: the endpoint does not take this request, but may take others.
            EngineError: the request failed in every try.
        """
        failure = EngineError("no try was allowed")
        first, count, wait = next(self._turn), len(self._targets), 0.0
        for number in range(self._tries):
            rounds, place = divmod(number, count)
            if rounds and place == 0:  # every URL has failed
                await asyncio.sleep(self._backoff * 2 ** (rounds - 1) * random.uniform(0.75, 1.25) + wait)
                wait = 0.0
            if before_try:
                await before_try()
            target = self._targets[(first + number) % count]
            try:
                return await self._post(session, target, body)
            except _PassingError as passing:
                wait = max(wait, passing.wait)
                failure = EngineError(f"{without_secrets(target)}: {passing} ({number + 1} of {self._tries} tries)")
                log.info("%s", failure)
        raise failure

    async def _post(self, session: aiohttp.ClientSession, target: str, body: dict[str, Any]) -> dict[str, Any]:
        key = os.environ.get(self._key_variable, "")
        headers = ({"Authorization": f"Bearer {key}"} if key else {}) | self._headers
        shown = without_secrets(target)
        try:
            async with session.post(target, json=body, headers=headers, allow_redirects=False) as response:
                text = await _read_body(response)
        except TimeoutError:
            raise _PassingError(f"no answer within {self._deadline:g} s") from None
        except aiohttp.ClientError as error:
            raise _PassingError(self.quoted(f"{type(error).__name__}: {error}")) from None
        if text is None:
            raise EngineError(f"{shown}: the answer has more than {MAX_ANSWER >> 20} MiB")
        self._check_status(response, text, shown)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise _PassingError(f"the answer is not JSON: {self.quoted(text, 80)}") from None
        if not isinstance(answer, dict):
            raise EngineError(f"{shown}: the answer is not an object: {self.quoted(text, 80)}")
        return answer

    def _check_status(self, response: aiohttp.ClientResponse, text: str, shown: str) -> None:
        """Raise the error that a status other than 200 stands for."""
        status = response.status
        if status in _RETRIED:
            raise _PassingError(f"HTTP {status}: {self.quoted(text)}", _retry_after(response))
        if 300 <= status < 400:
            target = self.quoted(response.headers.get("Location", "nowhere"))
            raise EngineError(f"{shown}: redirects to {target}; prompts follow no redirect, give that URL instead")
        if status == 200:
            return
        cure = f"; is {self._key_variable} set and right?" if status in (401, 403) else ""
        message = f"{shown}: HTTP {status}: {self.quoted(text)}{cure}"
        if status in _REFUSED:
            raise RequestRefused(message, overflow=any(sign in text.lower() for sign in _OVERFLOW))
        raise EngineError(message)

    def quoted(self, text: str, most: int = 200) -> str:
        """The beginning of foreign text, without our key and without characters that a terminal obeys."""
        clean = self.without_key(text[: 4 * most])[:most]
        return "".join(char if char.isprintable() else " " for char in clean)

    def without_key(self, text: str) -> str:
        """The text without our key and other secrets."""
        return without_secrets(text, os.environ.get(self._key_variable, ""), *self._headers.values())


class _PassingError(Exception):
    """A failure that may be over at the next try; ``wait`` is the endpoint's ``Retry-After`` in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def _target(url: str, route: str) -> str:
    """Where requests to ``route`` of the API at ``url`` go."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"the URL of an endpoint is http(s)://host[:port]/v1, found {without_secrets(url)!r}")
    if route == CLASSIFY:
        return url.rstrip("/").removesuffix("/v1") + route
    base = url.rstrip("/") if parts.path.strip("/") else url.rstrip("/") + "/v1"
    return base + route


def _from_environment(name: str, value: str) -> str:
    if not value.startswith("$"):
        return value
    if value[1:] not in os.environ:
        raise ConfigError(f"the header {name!r} is read from the environment variable {value[1:]}, which is not set")
    return os.environ[value[1:]]


async def _read_body(response: aiohttp.ClientResponse) -> str | None:
    """The body as text; None if it is longer than ``MAX_ANSWER``, of which no more is read."""
    body = bytearray()
    async for part in response.content.iter_chunked(1 << 16):
        body += part
        if len(body) > MAX_ANSWER:
            response.close()
            return None
    return body.decode(errors="replace")


def _retry_after(response: aiohttp.ClientResponse) -> float:
    try:
        return min(60.0, max(0.0, float(response.headers.get("Retry-After", 0))))
    except ValueError:  # a date: the backoff is enough
        return 0.0
