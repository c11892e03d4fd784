"""Answers the calls of an episode with a model behind a URL, and records them; nothing is trained."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any

from ...verifiers.errors import EngineError, RequestRefused
from ...verifiers.message import Message
from ...verifiers.text.think import split_reasoning
from ..chats.text_chat import TextPolicy, raw_text
from ..engines.engine import Ids
from ..service.engine.requests import Refusal, Wanted
from .call import Call, Choice, ToolUse, as_message
from .dialects.contents import with_parts
from .tree import NO_IDS, Node, Opening, Tree


class TextPlayer:
    """Plays one episode over a text policy.

    Args:
        policy: the endpoint.
        seed: of the episode; part of the seed of every request.
    """

    context = 0
    """Not known."""

    def __init__(self, policy: TextPolicy, seed: tuple[int, ...]) -> None:
        self.policy = policy
        self._seed = seed
        self._taken: dict[bytes, set[int]] = {}

    async def answer(self, call: Call, tree: Tree, most: int) -> tuple[list[Choice], list[Ids]]:
        """The replies to a call; as in ``TokenPlayer``, but without ids.

        Raises:
            Refusal: the endpoint does not take the call, or it has no messages.
            InfrastructureError: the endpoint failed in every try.
        """
        if not call.messages:
            raise Refusal("a model behind a URL is asked with messages; use /v1/chat/completions", param="prompt")
        opening = tree.open(call)
        tree.admit(call.wanted.n, 0, 0, len(opening.record))
        taken = self._taken.setdefault(opening.keys[-1], set())
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        taken.add(number)
        most = max(1, most // call.wanted.n)
        seeds = [self._number(opening, number, place) for place in range(call.wanted.n)]
        try:
            answers = await asyncio.gather(*(self.policy.ask(self._body(call, most, seed)) for seed in seeds))
            choices = [self._read(answer) for answer in answers]
        except BaseException as error:
            taken.discard(number)
            if not taken:
                self._taken.pop(opening.keys[-1], None)
            if isinstance(error, RequestRefused):
                code = "context_length_exceeded" if error.overflow else None
                raise Refusal(str(error), code=code) from None
            raise
        return [self._remember(tree, opening, choice, seed) for choice, seed in zip(choices, seeds, strict=True)], []

    def count(self, call: Call) -> int:
        """Refuse: the tokenizer is not known here. Programs that are told 404 estimate the number."""
        raise Refusal("the tokens of a model behind a URL cannot be counted here", status=404)

    def _number(self, opening: Opening, number: int, place: int) -> int:
        """A seed in 31 bits, as endpoints take it."""
        source = [[int(part) for part in self._seed], opening.keys[-1].hex(), number, place]
        return int.from_bytes(hashlib.blake2b(json.dumps(source).encode(), digest_size=4).digest(), "big") >> 1

    def _body(self, call: Call, most: int, seed: int) -> dict[str, Any]:
        wanted, sampling = call.wanted, self.policy.sampling
        body: dict[str, Any] = {
            "model": self.policy.model,
            "messages": [_wire(message) for message in call.messages],
            "temperature": wanted.temperature,
            "top_p": wanted.top_p,
            "seed": seed,
            **self.policy.fields,
            "max_tokens": min(most, sampling.max_tokens, wanted.max_tokens or sampling.max_tokens),
        }
        if wanted.top_k > 0:
            body["top_k"] = wanted.top_k
        if wanted.stop:
            body["stop"] = wanted.stop
        if call.tools:
            body["tools"] = list(call.tools)
        if schema := _schema(wanted):
            body["response_format"] = schema
        if call.thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": call.thinking, "thinking": call.thinking}
        return body

    def _read(self, answer: dict[str, Any]) -> Choice:
        """The endpoint's answer as a choice; its tokens are counted in ``ids`` as far as it tells."""
        try:
            (choice, *_) = answer["choices"]
            message = choice["message"]
            ended = choice.get("finish_reason") != "length"
            raw_text(message, ended)  # raises if a part has another type
            reasoning, content = message.get("reasoning_content") or message.get("reasoning") or "", message["content"]
            if not reasoning and "think>" in (content or ""):
                reasoning, content = split_reasoning(content)
            calls = tuple(
                ToolUse(str(call.get("id", "")), str(call["function"]["name"]), _written(call["function"]))
                for call in message.get("tool_calls") or ()
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            told = self.policy.endpoint.quoted(json.dumps(answer))
            raise EngineError(f"not a chat completion ({error!r:.100}): {told}") from None
        finish = "length" if not ended else "tool_calls" if calls else "stop"
        usage = answer.get("usage")
        counted = usage if isinstance(usage, dict) else {}
        return Choice(
            content or "", reasoning, calls, finish, counted=(_count(counted, "prompt"), _count(counted, "completion"))
        )

    def _remember(self, tree: Tree, opening: Opening, choice: Choice, seed: int) -> Choice:
        message = as_message(choice)
        raw = raw_text({**message, "content": message["content"]}, choice.finish != "length")
        said: Message = {"role": "assistant", "content": raw}
        parent = opening.latest[1] if opening.latest else None
        node = Node(
            len(tree.nodes), opening.lineage, parent, None, NO_IDS, None, 0, 1.0, opening.began,
            (*opening.record, said), message, raw, seed, opening.keys[-1],
        )  # fmt: skip
        tree.remember(node)
        return replace(choice, node=node)


def _wire(message: Message) -> dict[str, Any]:
    """A message as endpoints expect it: reasoning in a field of its own."""
    if message["role"] != "assistant":
        return with_parts(message)
    if "think>" not in message["content"]:
        return dict(message)
    reasoning, content = split_reasoning(message["content"])
    return {**message, "content": content, "reasoning_content": reasoning}


def _schema(wanted: Wanted) -> dict[str, Any] | None:
    return wanted.response_format if wanted.schema_text else None


def _written(function: dict[str, Any]) -> str:
    arguments = function.get("arguments") or "{}"
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _count(usage: dict[str, Any], kind: str) -> int:
    count = usage.get(f"{kind}_tokens")
    return count if isinstance(count, int) and count >= 0 else 0
