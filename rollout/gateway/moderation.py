"""Moderation: a hook that may refuse or rewrite what an agent asks, and what the model replies."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp

from ...verifiers.errors import ConfigError, InfrastructureError
from ...verifiers.secrets import without_secrets
from ..service.engine.requests import Refusal
from .call import Call, Choice, as_message
from .dialects.contents import read_one, with_parts

Said = dict[str, Any] | Refusal | None
Hook = Callable[[dict[str, Any]], Said | Awaitable[Said]]
"""Takes ``{"stage": "request" or "reply", "messages": […], "reply": {…}}``, in OpenAI's form, and returns None to let
it pass, ``{"refuse": "why"}``, ``{"messages": […]}`` to rewrite a request, or ``{"reply": "text"}`` to rewrite a
reply, whose calls of tools are then left out. A function may raise or return
``Refusal("why")`` instead of ``{"refuse": "why"}``."""

MODERATED = "moderated"
"""Why a reply that the hook refused or rewrote is not trained."""

_MOST_ANSWER = 1 << 20


class Moderation:
    """Asks the hook; if it fails, the call fails too, and nothing passes unseen.

    Args:
        hook: a function, or the URL of a service that takes and returns the same as JSON; an empty answer lets pass.
        seconds: that a service may take.
    """

    def __init__(self, hook: Hook | str, seconds: float = 30.0) -> None:
        if isinstance(hook, str) and not hook.startswith(("http://", "https://")):
            raise ConfigError(f"a moderation hook is a function or an http(s) URL, found {without_secrets(hook)!r:.80}")
        self._hook, self._seconds = hook, seconds

    async def request(self, call: Call) -> Call:
        """The call, perhaps with other messages.

        Raises:
            Refusal: the hook refuses it.
            InfrastructureError: the hook failed.
        """
        shown = _shown(call) or [{"role": "user", "content": str(prompt)} for prompt in call.prompts]
        said = await self._ask({"stage": "request", "messages": shown})
        messages = said.get("messages")
        if messages is None:
            return call
        if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
            raise InfrastructureError("the moderation hook's messages are not a list of messages")
        if not call.messages:
            raise Refusal("the moderation hook rewrote a prompt without messages", status=403, code="content_policy")
        try:
            return replace(call, messages=tuple(read_one(number, message) for number, message in enumerate(messages)))
        except Refusal as error:  # the agent did not write them
            raise InfrastructureError(f"the moderation hook's messages cannot be read: {error}") from error

    async def reply(self, call: Call, choice: Choice) -> Choice | None:
        """Another choice if the hook rewrote this one; None if it lets it pass.

        Raises:
            Refusal: the hook refuses it.
            InfrastructureError: the hook failed.
        """
        shown = _shown(call)
        said = await self._ask({"stage": "reply", "messages": shown, "reply": dict(as_message(choice))})
        text = said.get("reply")
        if text is None:
            return None
        if not isinstance(text, str):
            raise InfrastructureError("the moderation hook's reply is not text")
        return Choice(text, node=choice.node, prompt=choice.prompt)

    async def _ask(self, shown: dict[str, Any]) -> dict[str, Any]:
        try:
            said = await self._post(shown) if isinstance(self._hook, str) else self._hook(shown)
            said = await said if inspect.isawaitable(said) else said
        except Refusal as error:
            said = error
        except Exception as error:  # the hook is the user's code, and nothing may pass if it fails
            raise InfrastructureError(f"the moderation hook failed: {type(error).__name__}") from error
        if said is None:
            return {}
        if isinstance(said, Refusal):
            said = {"refuse": str(said)}
        may = "messages" if shown["stage"] == "request" else "reply"
        if not isinstance(said, dict) or not set(said) <= {"refuse", may}:
            raise InfrastructureError(f"of a {shown['stage']}, the moderation hook returns None, or refuse or {may}")
        if said.get("refuse") is not None:
            raise Refusal(str(said["refuse"]), status=403, code="content_policy")
        return said

    async def _post(self, shown: dict[str, Any]) -> dict[str, Any] | None:
        timeout = aiohttp.ClientTimeout(total=self._seconds)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(str(self._hook), json=shown, allow_redirects=False) as response,
        ):
            response.raise_for_status()
            if response.status not in (200, 204):
                raise InfrastructureError(f"the moderation service answered with status {response.status}")
            body = await response.content.read(_MOST_ANSWER)
            return json.loads(body) if body.strip() else None


def _shown(call: Call) -> list[dict[str, Any]]:
    """The messages of a call, which the hook may change as it likes: the call's own are shared with later calls."""
    return [copy.deepcopy(with_parts(message)) for message in call.messages]
