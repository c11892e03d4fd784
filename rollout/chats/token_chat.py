"""Conversations over an engine. Each owns its tokens: ids are only appended, and trained at most once."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np

from ...environments.chat import Reply, read_reply
from ...environments.thinking import Thinking
from ...verifiers.errors import ConfigError, DataError, EngineError, nearest
from ...verifiers.message import Message, Role, check_message
from ...verifiers.segment import Segment
from ...verifiers.tool_calling.declaration import declarations
from ...verifiers.tool_calling.formats.format import tool_format
from ...verifiers.tool_calling.formats.hermes import as_hermes
from ..engines.engine import Completion, Generator, Request, Sampling, read_stops
from ..engines.reply_schema import schema_text
from ..engines.stop_strings import cut_at_stop, surplus
from .renderer import OPENED, Ids, Renderer
from .schemas import Schemas
from .strand import Strand

_OVERRIDES = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "schema", "stop", "include_stop")
_NOTHING = Completion(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int32), "length")


@dataclass(frozen=True)
class TokenPolicy:
    """The policy that an engine serves.

    Attributes:
        engine: samples the tokens.
        renderer: the model's tokenizer and chat template.
        sampling: the sampling of replies that ask for no other; its seed is not used, its stop ids are added.
        context: most tokens of prompt and completion together.
        version: the lowest weights version that may serve.
        route: requests of one route go to one engine while it lives.
        trainable: whether the tokens may be trained on.
    """

    engine: Generator
    renderer: Renderer
    sampling: Sampling
    _: KW_ONLY
    context: int
    version: int = 0
    route: int = 0
    trainable: bool = True

    def open(
        self,
        agent: str,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> "TokenChat":
        """A new conversation; equal seeds, agents and histories sample equal tokens under equal weights."""
        return TokenChat(self, agent, seed, tools, thinking)


class TokenChat:
    """One agent's conversation over a token policy.

    The next prompt is the previous ids and a bridge of the new messages; sampled ids are never encoded again. A new
    segment, in which everything before is context, starts when

    - the template cannot bridge, for example because it drops earlier reasoning, or because a call ended with the
      token that opens a user's turn: the conversation is rendered again, and ``breaks`` counts it;
    - the temperature changes, as a segment has one temperature: the ids stay as they are (greedy replies have the
      logprobs of temperature 1, and count as that);
    - ``fork`` or ``rewrite`` was called.

    If thinking is on or off, the beginning of the reply is put after the prompt, unless the template does that; it is
    part of the reply's text, and context among its tokens. If thinking has a budget, a reply is sampled up to it and
    then to its end; if its reasoning was still open, ``closing`` is put in between.
    """

    def __init__(
        self,
        policy: TokenPolicy,
        agent: str,
        seed: tuple[int, ...],
        tools: Sequence[dict[str, Any]] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> None:
        self._policy = policy
        self._thinking = thinking
        switched = thinking.mode in ("on", "off")
        on = thinking.mode == "on"
        self._renderer = policy.renderer.thinking(on) if switched else policy.renderer
        self._beginning = self._renderer.beginning(on) if switched else ""
        self._agent = agent
        self._seed = seed
        self._tools = Schemas.of(tools)
        self._messages: list[Message] = []
        self._sampled: dict[str, str] = {}  # the content of a reply → its text as sampled, where these differ
        self._told = 0  # the number of messages that the strand's ids contain
        self._ended: int | None = None  # the stop token that the last reply ended with
        self._strand: Strand | None = None
        self._latest: tuple[Strand, slice] | None = None  # where the latest reply stands
        self._finished: list[Strand] = []
        self._forks: list[TokenChat] = []
        self._lineage: tuple[int, ...] = ()
        self._calls = 0
        self._breaks = 0
        self._busy = False

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, as text: a copy."""
        return list(self._messages)

    @property
    def breaks(self) -> int:
        """How often the template could not bridge, forks included."""
        return self._breaks + sum(fork.breaks for fork in self._forks)

    def add(self, role: Role, content: str, **extra: Any) -> None:
        """Append a message. Never generates.

        Raises:
            DataError: it is not a message, or has images, which these engines do not take.
        """
        self._require_idle()
        if extra.get("images"):
            raise DataError("these engines take text alone; give this agent the url of a model that takes images")
        self._messages.append(check_message({"role": role, "content": content, **extra}))

    async def reply(self, **sampling: Any) -> Reply:
        """Sample a reply; what ``Sampling`` has, except for the seed and the stop ids, may be set for this one.

        With a JSON schema the whole reply is JSON, so it cannot begin with reasoning.

        If the context has no room, the reply is empty with stop ``length``, and no engine is asked.

        Raises:
            ConfigError: an unknown setting, or a second reply while one is under way.
            DataError: an impossible setting, or messages that the template refuses.
            EngineError: the engine failed or aborted; the chat is unchanged, and asking again is safe.
        """
        self._require_idle()
        self._busy = True
        try:
            return await self._speak(self._sampling(sampling))
        finally:
            self._busy = False

    def fork(self) -> "TokenChat":
        """A second conversation with the same history, which is context in its segments."""
        fork = TokenChat(self._policy, self._agent, self._seed, self._tools, self._thinking)
        fork._messages, fork._told, fork._ended = self.messages, self._told, self._ended
        fork._sampled = dict(self._sampled)
        fork._strand = Strand(self._strand.tokens) if self._strand else None
        fork._lineage = (*self._lineage, self._calls, len(self._forks))
        self._forks.append(fork)
        return fork

    def rewrite(self, messages: Sequence[Message]) -> None:
        """Replace the history; it is rendered anew at the next reply, as context of a new segment."""
        self._require_idle()
        self._messages = [check_message(message) for message in messages]
        self._finish_strand()

    def set_advantage(self, value: float) -> None:
        """Set the advantage of every token that the latest reply sampled; a second call replaces the value.

        Segments then carry advantages, forks included, and replies without a value have 0.
        """
        if self._latest:
            strand, span = self._latest
            strand.advantages.append((span, value))

    def segments(self) -> list[Segment]:
        """The training samples so far, including those of forks; ``mask`` is ``sampled``."""
        chats = list(self._family())
        given = any(strand.advantages for chat in chats for strand in chat._strands)
        return [
            strand.segment(chat._agent, chat._policy.trainable, chat._thinking.train, given)
            for chat in chats
            for strand in chat._strands
            if strand.completions
        ]

    def _family(self) -> Iterator["TokenChat"]:
        """This chat, and all its forks, in the order in which their segments stand."""
        yield self
        for fork in self._forks:
            yield from fork._family()

    @property
    def _strands(self) -> list[Strand]:
        return [*self._finished, *([self._strand] if self._strand else [])]

    async def _speak(self, sampling: Sampling) -> Reply:
        prompt, bridged = self._prompt()
        room = self._policy.context - prompt.size
        completion = _NOTHING
        if room <= 0 and not self._calls:  # the engine was never asked, so no reply could be scored
            raise DataError(
                f"the prompt has {prompt.size} tokens, which leaves no room in model.context = {self._policy.context}; "
                "raise model.context or shorten the task"
            )
        closing = self._renderer.written("")
        rest = None
        if room > 0:
            sampling = sampling if sampling.max_tokens <= room else replace(sampling, max_tokens=room)
            completion = await self._ask(prompt, self._bounded(sampling))
            closing, rest = await self._rest(prompt, completion, sampling)
        self._commit(prompt, bridged, completion, sampling.temperature or 1.0)
        parts = [completion.tokens]
        if rest is not None and self._strand is not None:
            if closing.size:
                self._strand.force(closing)
            self._strand.extend(self._strand.tokens, rest, self._strand.temperature)
            self._ended = self._ends(rest)
            parts += [closing, rest.tokens]
        if self._strand is not None:
            self._latest = self._strand, slice(prompt.size, self._strand.tokens.size)
        last = rest or completion
        shown = self._renderer.decode(last.tokens, sampling.stop_ids)
        whole = shown if rest is None else self._renderer.decode(np.concatenate(parts), sampling.stop_ids)
        raw = self._begun + whole
        raw = raw[: len(raw) - surplus(shown, last, self._renderer.text, sampling)]
        content = self._as_hermes(raw)
        self._messages.append({"role": "assistant", "content": content})
        self._told = len(self._messages)
        self._calls += 1
        sampled = completion.tokens.size + (rest.tokens.size if rest else 0)
        reply = read_reply(content, last.stop, int(sampled), bool(closing.size))
        return replace(reply, raw=raw, prompt_tokens=int(prompt.size))

    def _as_hermes(self, raw: str) -> str:
        """The reply in Hermes' form, in which environments and verifiers read it, if the template asks for another."""
        name = self._renderer.call_format
        if name == "hermes":
            return raw
        content = as_hermes(raw, tool_format(name).read(raw, declarations(self._tools)))
        if content != raw:
            self._sampled[content] = raw
        return content

    def _as_sampled(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with the replies as they were sampled, which is what the template expects."""
        return [
            {**message, "content": self._sampled.get(message["content"], message["content"])}
            if message["role"] == "assistant"
            else message
            for message in messages
        ]

    @property
    def _begun(self) -> str:
        """The beginning of a reply's text that is not sampled, whether it comes from us or from the template."""
        return self._beginning or (OPENED if self._renderer.begins_open else "")

    def _bounded(self, sampling: Sampling) -> Sampling:
        """``sampling`` with at most the budget's tokens; refused with a schema, whose replies have no reasoning."""
        budget = self._thinking.budget
        if not budget or sampling.schema:
            return sampling
        return replace(sampling, max_tokens=min(budget, sampling.max_tokens))

    async def _rest(self, prompt: Ids, first: Completion, sampling: Sampling) -> tuple[Ids, Completion | None]:
        """The ids that follow a completion that was cut off at the budget; None if nothing follows.

        These are the ids that close its reasoning, if that is still open, and the rest of the reply.
        """
        nothing = self._renderer.written("")
        left = sampling.max_tokens - first.tokens.size
        if not self._thinking.budget or sampling.schema or first.stop != "length" or left <= 0:
            return nothing, None
        text = self._begun + self._renderer.decode(first.tokens, ())
        still_open = text.rfind("<think>") > text.rfind("</think>")
        closing = self._renderer.written(self._thinking.closing) if still_open else nothing
        prompt = np.concatenate([prompt, first.tokens, closing])
        left = min(left, self._policy.context - prompt.size)
        if left <= 0:
            return nothing, None
        version = int(first.versions[-1])
        return closing, await self._ask(prompt, replace(sampling, max_tokens=left, seed=self._call_seed(1)), version)

    async def _ask(self, prompt: Ids, sampling: Sampling, version: int = 0) -> Completion:
        request = Request(prompt, sampling, max(version, self._lowest_version()), self._policy.route)
        completion = await self._policy.engine.generate(request)
        if completion.stop == "abort":
            raise EngineError("the engine aborted the reply; ask again when it is back")
        return cut_at_stop(completion, self._renderer.text, sampling.stop)

    def _prompt(self) -> tuple[Ids, bool]:
        """The next prompt, and whether it begins with the ids so far."""
        renderer, told = self._renderer, self._told
        beginning = renderer.written(self._beginning)
        if self._strand:
            *before, reply = self._as_sampled(self._messages[:told])
            bridge = renderer.bridge(before, reply["content"], self._ended, self._messages[told:], self._tools)
            if bridge is not None:
                return np.concatenate([self._strand.tokens, bridge, beginning]), True
        return np.concatenate([renderer.prompt(self._as_sampled(self._messages), self._tools), beginning]), False

    def _commit(self, prompt: Ids, bridged: bool, completion: Completion, temperature: float) -> None:
        strand = self._strand
        self._breaks += strand is not None and not bridged
        if strand is None or not bridged or (strand.completions and strand.temperature != temperature):
            self._finish_strand()
            strand = self._strand = Strand(prompt)
        strand.extend(prompt, completion, temperature)
        self._ended = self._ends(completion)

    def _ends(self, completion: Completion) -> int | None:
        last = int(completion.tokens[-1]) if completion.tokens.size else None
        return last if last in self._renderer.stop_ids else None

    def _finish_strand(self) -> None:
        if self._strand:
            self._finished.append(self._strand)
        self._strand = None

    def _lowest_version(self) -> int:
        """Versions within a segment never decrease, whichever engine serves."""
        if self._strand and self._strand.completions:
            return max(self._policy.version, int(self._strand.completions[-1][1].versions[-1]))
        return self._policy.version

    def _sampling(self, overrides: dict[str, Any]) -> Sampling:
        for name in overrides:
            if name not in _OVERRIDES:
                raise ConfigError(f"reply() has no setting {name!r}; {nearest(name, _OVERRIDES)}")
        if schema := overrides.get("schema"):
            if self._thinking.mode == "on":
                raise ConfigError("a reply with a schema has no room for reasoning: ask with thinking off")
            overrides = {**overrides, "schema": schema_text(schema)}
        if "stop" in overrides:
            overrides = {**overrides, "stop": read_stops(overrides["stop"])}
        policy = self._policy.sampling
        most = min(policy.max_tokens, overrides.get("max_tokens", policy.max_tokens))
        stop_ids = tuple(sorted({*self._policy.renderer.stop_ids, *policy.stop_ids}))
        return replace(policy, **{**overrides, "max_tokens": most, "stop_ids": stop_ids, "seed": self._call_seed()})

    def _call_seed(self, part: int = 0) -> int:
        """63 bits from the episode's seed, the agent, the fork and the call: the same on every machine."""
        source = [[int(number) for number in self._seed], self._agent, self._lineage, self._calls, *[part] * bool(part)]
        digest = hashlib.blake2b(json.dumps(source).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def _require_idle(self) -> None:
        if self._busy:
            raise ConfigError("the chat is replying: await the reply first, or fork() to sample several at once")
