"""Answers the calls of an episode with an engine: prompts continue the ids that were sampled."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...verifiers.errors import DataError
from ...verifiers.json_data.text import to_text
from ...verifiers.message import Message
from ...verifiers.text.think import split_reasoning
from ...verifiers.tool_calling.formats.hermes import read_hermes
from ..chats.renderer import OPENED, Ids, Renderer
from ..chats.token_chat import TokenPolicy
from ..service.engine.replies import in_hermes_form
from ..service.engine.requests import MOST_SAMPLES, Refusal, Wanted, clean, for_template
from ..service.engine.sampling import Sample, draw
from .call import Call, Choice, ToolUse, as_message
from .dialects.contents import require_text
from .tree import TEMPLATE, Node, Opening, Tree, hash_after

_LONGEST_TOKEN = 64
"""Characters that no token exceeds on average."""


@dataclass(frozen=True, eq=False)
class _Prompt:
    """A prompt, placed in the tree; see ``Node``."""

    ids: Ids
    renderer: Renderer
    parent: Node | None
    before: Node | None
    lineage: int
    began: str
    record: tuple[Message, ...]
    place: bytes
    begun: str


class TokenPlayer:
    """Plays one episode over a token policy.

    Args:
        policy: what samples.
        agent: name of the agent in the seeds.
        seed: of the episode.
    """

    def __init__(self, policy: TokenPolicy, agent: str, seed: tuple[int, ...]) -> None:
        self.policy = policy
        self._agent, self._seed = agent, seed
        self._taken: dict[bytes, set[int]] = {}  # prompt → numbers of the calls with it

    @property
    def context(self) -> int:
        """Most tokens of prompt and completion together."""
        return self.policy.context

    async def answer(self, call: Call, tree: Tree, most: int) -> tuple[list[Choice], list[Ids]]:
        """The replies to a call, and the ids of its prompts.

        Args:
            call: with messages or prompts.
            tree: where the replies are put.
            most: tokens that the replies may have, all together.

        Raises:
            Refusal: the call cannot be served.
            InfrastructureError: the engine failed.
        """
        if len(call.prompts) * call.wanted.n > MOST_SAMPLES:
            message = (
                f"a call has at most {MOST_SAMPLES} replies, found {len(call.prompts)} prompts, n = {call.wanted.n}"
            )
            raise Refusal(message, param="prompt")
        prompts = [self._of_messages(call, tree)] if call.messages else [self._of(tree, each) for each in call.prompts]
        for number, prompt in enumerate(prompts):
            segments = call.wanted.n - (number == 0)  # one reply of each call is bounded by the limit of turns
            tree.admit(call.wanted.n, segments, int(prompt.ids.size), len(prompt.record))
        most = max(1, most // (len(prompts) * call.wanted.n))
        draws = [self._draw(prompt, call.wanted, most) for prompt in prompts]
        drawn = await asyncio.gather(*draws) if len(draws) > 1 else [await draws[0]]
        choices = []
        for number, (prompt, (seed, samples)) in enumerate(zip(prompts, drawn, strict=True)):
            for place, sample in enumerate(samples):
                choices.append(self._remember(tree, call, prompt, number, sample, seed + place))
        return choices, [prompt.ids for prompt in prompts]

    def count(self, call: Call) -> int:
        """The tokens of the prompt that the conversation would have as a new one.

        Raises:
            Refusal: the call cannot be served.
        """
        renderer = self._renderer(call)
        return int(self._rendered(renderer, for_template(call.messages), call).size)

    async def _draw(self, prompt: _Prompt, wanted: Wanted, most: int) -> tuple[int, list[Sample]]:
        """The seed and the samples; a call that ends without samples leaves its seed to the next with its prompt."""
        room = self.context - int(prompt.ids.size)
        if room <= 0:
            raise Refusal(
                f"the prompt has {prompt.ids.size} tokens, and this model's maximum context length is {self.context} "
                "tokens of prompt and completion together; shorten the conversation",
                code="context_length_exceeded",
                param="messages",
            )
        most = min(room, most, wanted.max_tokens or room)
        before = prompt.before
        new = prompt.ids[before.size if before else 0 :]
        digest = hash_after(before.hashed if before else None, new).digest()
        taken = self._taken.setdefault(digest, set())
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        taken.add(number)
        source = [[int(part) for part in self._seed], self._agent, digest.hex(), number]
        seed = int.from_bytes(hashlib.blake2b(json.dumps(source).encode(), digest_size=8).digest(), "big") >> 1
        version = max(self.policy.version, before.version if before else 0)
        try:
            seeded = wanted.model_copy(update={"seed": seed})
            renderer, engine = prompt.renderer, self.policy.engine
            return seed, await draw(engine, renderer, prompt.ids, seeded, most, version, self.policy.route)
        except BaseException:
            taken.discard(number)
            if not taken:
                self._taken.pop(digest, None)
            raise

    def _of_messages(self, call: Call, tree: Tree) -> _Prompt:
        """The ids of the latest known reply and a bridge; else the conversation rendered anew."""
        renderer = self._renderer(call)
        opening = tree.open(call)
        told = list(opening.messages)
        for position, node in opening.known.items():
            told[position] = {"role": "assistant", "content": node.text}
        told = for_template(told)
        begun = OPENED if renderer.begins_open else ""
        ids, began = self._continued(renderer, opening, told, call)
        latest = opening.latest
        if ids is not None and latest:
            before: Node | None = latest[1]
        else:
            ids = self._rendered(renderer, told, call)
            before = tree.place_ids(ids)
        parent = latest[1] if latest else None
        return _Prompt(ids, renderer, parent, before, opening.lineage, began, opening.record, opening.keys[-1], begun)

    def _renderer(self, call: Call) -> Renderer:
        """The renderer for a call, whose messages and tools it can render; raises ``Refusal``."""
        thinking, policy = call.thinking, self.policy.renderer
        renderer = policy if thinking is None else policy.thinking(thinking)
        require_text(call.messages)
        self._check_length(call)
        self._check_tools(renderer, call)
        return renderer

    def _continued(
        self, renderer: Renderer, opening: Opening, told: list[Message], call: Call
    ) -> tuple[Ids | None, str]:
        """The ids after the latest known reply, if the template can bridge, and why a segment begins if it does."""
        if not opening.latest:
            return None, opening.began
        place, node = opening.latest
        assert node.completion is not None
        last = node.completion.tokens[-1:].tolist()
        end = last[0] if last and last[0] in renderer.stop_ids else None
        bridge = renderer.bridge(told[:place], node.text, end, told[place + 1 :], call.tools)
        if bridge is None:
            return None, TEMPLATE
        return np.concatenate([node.ids(), bridge]), opening.began

    def _rendered(self, renderer: Renderer, told: Sequence[Message], call: Call) -> Ids:
        try:
            return renderer.prompt(told, call.tools)
        except DataError as error:
            raise Refusal(str(error), param="messages") from None

    def _check_length(self, call: Call) -> None:
        """Refuse what is far beyond the context before it is rendered, which would hold up other episodes."""
        most = _LONGEST_TOKEN * self.context
        uses = sum(len(message.get("tool_calls", ())) for message in call.messages)
        short = 0 < call.size <= most and not call.previous  # all of it was in the body
        try:
            long = not short and _length(call.messages) + len(call.tools.text) > most
        except DataError as error:
            raise Refusal(str(error), param="tools") from None
        if long or len(call.messages) + uses > self.context:
            raise Refusal(
                "the conversation, with its calls and the tools, is longer than this model's maximum context length of "
                f"{self.context} tokens; shorten it",
                code="context_length_exceeded",
                param="messages",
            )

    def _check_tools(self, renderer: Renderer, call: Call) -> None:
        """Refuse tools that the template would silently leave out."""
        if not call.tools:
            return
        try:
            shown = renderer.has_place_for(call.tools)
        except DataError as error:
            raise Refusal(str(error), param="tools") from None
        if not shown:
            raise Refusal("the model's chat template has no place for tools; describe them in a message", param="tools")

    def _of(self, tree: Tree, prompt: str | list[int]) -> _Prompt:
        """A prompt without messages, with what the tokenizer itself puts before a text."""
        renderer = self.policy.renderer
        if len(prompt) > _LONGEST_TOKEN * self.context:
            message = f"the prompt is longer than this model's maximum context length of {self.context} tokens"
            raise Refusal(message, code="context_length_exceeded", param="prompt")
        if isinstance(prompt, str):
            ids, begin = renderer.written(clean(prompt)), renderer.begin
            ids = ids if np.array_equal(ids[: begin.size], begin) else np.concatenate([begin, ids])
        else:
            if beyond := [token for token in prompt if not 0 <= token < renderer.vocabulary]:
                raise Refusal(f"the token {beyond[0]} is none of the tokenizer's {renderer.vocabulary}", param="prompt")
            ids = np.asarray(prompt, np.int32)
        if not ids.size:
            raise Refusal("the prompt is empty", param="prompt")
        before = tree.place_ids(ids)
        new = renderer.decode(ids[before.size if before else 0 :], ())
        said: Message = {"role": "user", "content": new}
        record = (*(before.record if before else ()), said)
        began = tree.kind_of_prompt(before)
        return _Prompt(ids, renderer, before, before, tree.lineage_of_ids(before, new), began, record, b"", "")

    def _remember(self, tree: Tree, call: Call, prompt: _Prompt, number: int, sample: Sample, seed: int) -> Choice:
        """The choice that the agent is given, whose reply is put into the tree."""
        completion = sample.completion
        text = prompt.begun + self.policy.renderer.decode(completion.tokens)
        choice = self._choice(call, prompt.begun + sample.shown, number, sample, seed)
        before = prompt.before
        node = Node(
            len(tree.nodes),
            prompt.lineage,
            prompt.parent,
            before,
            prompt.ids[before.size :].copy() if before else prompt.ids,
            completion,
            sample.cut,
            call.wanted.temperature or 1.0,
            prompt.began,
            (*prompt.record, {"role": "assistant", "content": self._hermes(text, call)}),
            as_message(choice),
            text,
            seed,
            prompt.place,
        )
        if not self.policy.trainable:
            node.untrained = "the policy is not trained"
        elif call.wanted.top_p < 1 or call.wanted.top_k > 0:
            node.untrained = "sampled with top_p or top_k"
        tree.remember(node)
        return replace(choice, node=node)

    def _choice(self, call: Call, shown: str, number: int, sample: Sample, seed: int) -> Choice:
        ids = sample.completion.tokens
        given: dict[str, Any] = {"ids": ids, "logprobs": sample.completion.logprobs, "prompt": number}
        if call.wanted.logprobs is not False:
            decode = self.policy.renderer.decode
            given["texts"] = [decode(sample.completion.tokens[at : at + 1], ()) for at in range(len(ids))]
        if not call.messages:
            return Choice(shown, finish=sample.finish, **given)
        reading = read_hermes(self._hermes(shown, call)) if call.tools else None
        if reading is None or not reading.calls or any(found.error for found in reading.calls):
            reasoning, content = split_reasoning(shown) if "think" in shown.lower() else ("", shown)
            return Choice(content, reasoning, finish=sample.finish, **given)
        calls = tuple(
            ToolUse(_call_id(seed, place), found.name, to_text(found.arguments))
            for place, found in enumerate(reading.calls)
        )
        finish = "tool_calls" if sample.finish == "stop" else sample.finish
        return Choice(reading.text, reading.reasoning, calls, finish, **given)

    def _hermes(self, text: str, call: Call) -> str:
        return in_hermes_form(text, self.policy.renderer.call_format, call.tools)


def _length(value: Any) -> int:
    """The characters of all texts in messages."""
    if isinstance(value, str):
        return len(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(_length, parts))


def _call_id(seed: int, place: int) -> str:
    """Nine letters and digits, which every template takes; equal runs give equal ids, since templates show them."""
    return hashlib.blake2b(f"{seed} {place}".encode(), digest_size=8).hexdigest()[:9]
