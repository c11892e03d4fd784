"""One episode of the gateway: a key, limits, live control, and everything that its agents asked and were answered."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...verifiers.errors import InfrastructureError, InputError
from ...verifiers.message import Message
from ...verifiers.trajectory import POLICY, StopReason
from ..chats.text_chat import TextPolicy
from ..chats.token_chat import TokenPolicy
from ..engines.engine import Ids, Sampling
from ..service.engine.requests import Refusal, Wanted
from .answers import Answers
from .call import Answer, Call, Choice
from .dialects.contents import Conversations
from .moderation import MODERATED, Hook, Moderation
from .recording import UNDELIVERED, Proof, Recording, branches_of, main_messages, segments_of, without_key
from .text_player import TextPlayer
from .token_player import TokenPlayer
from .tree import NO_IDS, Tree

_PATIENCE = 10.0
"""Seconds that a cancelled call may take to end."""


@dataclass(frozen=True)
class GatewayLimits:
    """Limits of one episode; a call beyond one of them is refused, and the episode goes on."""

    turns: int = 256
    """The most calls that are answered."""
    tokens: int = 1 << 20
    """The most sampled tokens of all replies together."""
    at_once: int = 64
    """The most calls at a time."""
    waiting: float = 600.0
    """The most seconds for which a call waits while the episode is paused."""


class Opened:
    """An open episode; ``Gateway.open`` makes it.

    Attributes:
        url: of the gateway, ends before ``/v1``.
        key: the API key that agents send; it is never logged.
        model: the name of the model.
        conversations: reads the messages of its calls.
    """

    def __init__(
        self,
        policy: TokenPolicy | TextPolicy,
        *,
        url: str,
        model: str,
        agent: str = POLICY,
        seed: tuple[int, ...] = (0,),
        limits: GatewayLimits | None = None,
        moderation: Hook | str | None = None,
        own_sampling: bool = True,
        forget: Callable[[Opened], None] = lambda opened: None,
    ) -> None:
        self.url, self.key, self.model = url, f"sk-lachesis-{secrets.token_urlsafe(32)}", model
        self.own_sampling = own_sampling
        self._agent, self._limits = agent, limits or GatewayLimits()
        self._player: TokenPlayer | TextPlayer = (
            TextPlayer(policy, seed) if isinstance(policy, TextPolicy) else TokenPlayer(policy, agent, seed)
        )
        self._sampling: Sampling = policy.sampling
        self._moderation = Moderation(moderation) if moderation else None
        self._forget = forget
        self._tree = Tree()
        self._answers = Answers()
        self.conversations = Conversations()
        self._counts: Counter[str] = Counter()
        self._sampled = self._reserved = 0
        self._running: set[asyncio.Task[object]] = set()
        self._freed, self._idle = asyncio.Event(), asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._reached: StopReason = StopReason.DONE
        self._failure = ""
        self._recording: Recording | None = None
        self._closing: asyncio.Task[Recording] | None = None

    def __repr__(self) -> str:
        return f"Opened({self.url!r}, {self.model!r}, {self._counts['calls']} calls)"

    @property
    def context(self) -> int:
        """Most tokens of prompt and completion together; 0 if it is not known."""
        return self._player.context

    @property
    def closed(self) -> bool:
        """Whether it takes no more calls."""
        return self._closing is not None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation of the main agent so far."""
        return tuple(without_key(self.key, message) for message in main_messages(self._tree))

    @property
    def answered(self) -> int:
        """How many calls were answered so far."""
        return self._counts["calls"]

    @property
    def sampled(self) -> int:
        """How many tokens were sampled so far; for a model behind a URL, as the endpoint counts them."""
        return self._sampled

    def recording(self) -> Recording:
        """What the episode would leave now; it goes on."""
        return self._recording or self._record()

    def check_model(self, name: str) -> None:
        """Refuse another model's name; an empty one is taken."""
        if name not in ("", self.model):
            message = f"the model {name!r:.80} does not exist here; this is {self.model!r}"
            raise Refusal(message, status=404, code="model_not_found", param="model")

    def pause(self) -> None:
        """Let new calls wait until ``resume``; those that run go on."""
        self._resumed.clear()

    def resume(self) -> None:
        """Answer the calls that wait."""
        self._resumed.set()

    async def close(self) -> Recording:
        """End the episode, cancel its calls, and return what it leaves; a second call returns the same."""
        if self._closing is None:
            self._forget(self)
            self._closing = asyncio.create_task(self._close())
        return await asyncio.shield(self._closing)

    async def _close(self) -> Recording:
        for task in [*self._running]:
            task.cancel()
        if self._running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _PATIENCE)
        self._recording = self._record()
        return self._recording

    async def answer(self, call: Call) -> Answer:
        """The answer to a call.

        Raises:
            Refusal: it is refused; the message says why.
            InfrastructureError: the engine or the moderation hook failed.
        """
        if len(self._running) >= self._limits.at_once:
            raise Refusal(
                f"this episode has {self._limits.at_once} calls at a time; wait for one", status=429, code="busy"
            )
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self._idle.clear()
        try:
            answer = await self._answer(call)
            self._failure = ""
            return answer
        except asyncio.CancelledError:
            self._counts["cancelled"] += 1
            if self.closed and not task.cancelling() > 1:  # closed while it ran: the client is told
                task.uncancel()
                raise _closed() from None
            raise
        except (Refusal, InputError, RecursionError):
            self._counts["refused"] += 1
            raise
        except Exception as error:  # of the engine, of a hook, or a fault: not the agent's
            self._counts["refused"] += 1
            self._failure = str(error) if isinstance(error, InfrastructureError) else repr(error)
            raise
        finally:
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    def check_budget(self, digest: bytes, *, retried: bool) -> None:
        """Refuse a call beyond a limit before it is parsed, unless it has an answer that can be given again.

        Args:
            digest: of the request, as in ``Call``.
            retried: as in ``Call``.
        """
        try:
            if not self._answers.again(digest, retried=retried):
                self._check_budget()
        except Refusal:
            self._counts["refused"] += 1
            raise

    def count(self, call: Call) -> int:
        """The tokens of a call's conversation as the template renders it, without any call of the model.

        Raises:
            Refusal: they cannot be counted.
        """
        return self._player.count(self._answers.whole(call))

    def delivered(self, call: Call, answer: Answer, *, whole: bool) -> None:
        """Note whether the agent was given its answer; a reply that it never saw is not trained."""
        self._answers.delivered(call, answer, whole=whole)

    async def _answer(self, call: Call) -> Answer:
        await self._wait_until_resumed()
        if again := self._answers.again(call.digest, retried=call.retried):
            self._counts["retried"] += 1
            return again
        call = self._answers.whole(call)
        if self._moderation:
            call = await self._moderation.request(call)
        most = await self._admit(call.wanted)
        try:
            call = replace(call, wanted=self._own(call.wanted))
            choices, prompts = await self._player.answer(call, self._tree, most)
        finally:
            self._reserved -= most
            self._counts["running"] -= 1
            self._freed.set()
        for choice in choices:
            if choice.node and not choice.node.untrained:
                choice.node.untrained = UNDELIVERED  # until the agent was given it
        self._counts["calls"] += 1
        self._sampled += sum(choice.node.sampled if choice.node else 0 for choice in choices)
        self._sampled += sum(choice.counted[1] for choice in choices)
        return await self._given(call, choices, prompts)

    async def _given(self, call: Call, choices: list[Choice], prompts: list[Ids]) -> Answer:
        """The answer with what moderation makes of the choices, to be given again if the client retries."""
        read = sum(int(ids.size) for ids in prompts) or max((choice.counted[0] for choice in choices), default=0)
        written = sum(len(choice.ids) or choice.counted[1] for choice in choices)
        moderated = [await self._moderated(call, choice) for choice in choices] if self._moderation else choices
        answer = Answer(
            secrets.token_hex(12),
            int(time.time()),
            self.model,
            tuple(moderated),
            read,
            written,
            (prompts or [NO_IDS])[0],
        )
        self._answers.remember(call, answer)
        return answer

    async def _moderated(self, call: Call, choice: Choice) -> Choice:
        assert self._moderation is not None
        node = choice.node
        assert node is not None
        try:
            other = await self._moderation.reply(call, choice)
        except BaseException:
            self._tree.rewrite(node, Choice(""), MODERATED)
            raise
        if other is None:
            return choice
        self._tree.rewrite(node, other, MODERATED)
        return other

    async def _wait_until_resumed(self) -> None:
        try:
            if not self._resumed.is_set():
                await asyncio.wait_for(self._resumed.wait(), self._limits.waiting)
        except TimeoutError:
            raise Refusal("this episode is paused; ask again later", status=503, code="episode_paused") from None
        if self.closed:
            raise _closed()

    def _check_budget(self) -> None:
        if self._counts["calls"] + self._counts["running"] >= self._limits.turns:
            self._reached = StopReason.TURNS
            raise _over(f"this episode has had its {self._limits.turns} turns")
        self._check_tokens()

    def _check_tokens(self) -> None:
        if self._sampled >= self._limits.tokens:
            self._reached = StopReason.LENGTH
            raise _over(f"this episode has had its {self._limits.tokens} tokens")

    async def _admit(self, wanted: Wanted) -> int:
        """The tokens that the replies to a call may have, reserved for it."""
        self._check_budget()
        self._counts["running"] += 1
        try:
            while (left := self._limits.tokens - self._sampled - self._reserved) <= 0 < self._reserved:
                self._freed.clear()
                await self._freed.wait()
            self._check_tokens()
        except BaseException:
            self._counts["running"] -= 1
            raise
        most = min(left, wanted.n * min(self._sampling.max_tokens, wanted.max_tokens or self._sampling.max_tokens))
        self._reserved += most
        return most

    def _own(self, wanted: Wanted) -> Wanted:
        """How to sample: as the policy does, unless the agent may choose."""
        if not self.own_sampling:
            return wanted
        own = self._sampling
        return wanted.model_copy(update={"temperature": own.temperature, "top_p": own.top_p, "top_k": own.top_k})

    def _record(self) -> Recording:
        segments, untrained, began = segments_of(self._tree, self._agent)
        trained = sum(int(segment.mask.sum()) for segment in segments)
        sampled = sum(node.sampled for node in self._tree.nodes)
        counts = {name: self._counts[name] for name in ("calls", "retried", "cancelled", "refused")}
        proof = Proof(**counts, sampled=sampled, trained=trained, untrained=dict(untrained), began=dict(began))
        if not proof.complete:
            raise InfrastructureError(f"the gateway lost track of sampled tokens: {proof}; please report this")
        branches = tuple(
            replace(branch, messages=tuple(without_key(self.key, message) for message in branch.messages))
            for branch in branches_of(self._tree)
        )
        metrics = {f"gateway/{name}": float(count) for name, count in counts.items()}
        metrics |= {"gateway/sampled": float(self._sampled), "gateway/trained": float(trained)}
        metrics |= {"gateway/branches": float(len(branches)), "gateway/segments": float(len(segments))}
        return Recording(self.messages, branches, tuple(segments), proof, self._reached, self._failure, metrics)


def _closed() -> Refusal:
    return Refusal("this episode is closed", status=403, code="episode_closed")


def _over(message: str) -> Refusal:
    return Refusal(f"{message}; it takes no more calls", status=403, code="budget_exceeded")
