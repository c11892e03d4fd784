"""One episode of the gateway: a key, limits, live control, and everything that its agents asked and were answered."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from ...verifiers.errors import InfrastructureError, InputError
from ...verifiers.message import Message
from ...verifiers.trajectory import POLICY
from ..chats.text_chat import TextPolicy
from ..chats.token_chat import TokenPolicy
from ..engines.engine import Ids, Sampling
from ..service.engine.requests import Refusal, Wanted
from .answers import Answers
from .budget import Budget, GatewayLimits
from .call import Answer, Call, Choice
from .dialects.contents import Conversations
from .moderation import MODERATED, Hook, Moderation
from .recording import UNDELIVERED, Proof, Recording, branches_of, main_messages, segments_of, without_key
from .text_player import TextPlayer
from .token_player import TokenPlayer
from .tree import NO_IDS, Tree

_PATIENCE = 10.0
"""Seconds that a cancelled call may take to end."""


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
        self._agent, self._budget = agent, Budget(limits or GatewayLimits())
        self._player: TokenPlayer | TextPlayer = (
            TextPlayer(policy, seed) if isinstance(policy, TextPolicy) else TokenPlayer(policy, agent, seed)
        )
        self._sampling: Sampling = policy.sampling
        self._moderation = Moderation(moderation) if moderation else None
        self._forget = forget
        self._tree = Tree(self._budget.keep)
        self._answers = Answers()
        self.conversations = Conversations()
        self._counts: Counter[str] = Counter()
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._failure = ""
        self._recording: Recording | None = None
        self._closing: asyncio.Task[Recording] | None = None

    def __repr__(self) -> str:
        return f"Opened({self.url!r}, {self.model!r}, {self._budget.calls} calls)"

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
        return self._budget.calls

    @property
    def sampled(self) -> int:
        """How many tokens were sampled so far; for a model behind a URL, as the endpoint counts them."""
        return self._budget.sampled

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

    @contextlib.contextmanager
    def entered(self, calls: int, size: int) -> Iterator[None]:
        """While a call is read, answered and sent; or, within that, while its answer is sent.

        Args:
            calls: 1 for a call, 0 for its answer.
            size: the most bytes of the request's body, or those of the answer.

        Raises:
            Refusal: there are too many at a time.
        """
        try:
            self._budget.enter(calls, size)
        except Refusal:
            self._counts["refused"] += 1
            raise
        try:
            yield
        finally:
            self._budget.leave(calls, size)

    def check_budget(self, digest: bytes, *, retried: bool) -> None:
        """Refuse a call beyond a limit before it is parsed, unless it has an answer that can be given again.

        Args:
            digest: of the request, as in ``Call``.
            retried: as in ``Call``.
        """
        try:
            if not self._answers.again(digest, retried=retried):
                self._budget.check()
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
        most = await self._budget.admit(call.wanted.n * self._most_tokens(call.wanted))
        try:
            call = replace(call, wanted=self._own(call.wanted))
            choices, prompts = await self._player.answer(call, self._tree, most)
        finally:
            self._budget.release(most)
        for choice in choices:
            if choice.node and not choice.node.untrained:
                choice.node.untrained = UNDELIVERED  # until the agent was given it
        self._budget.calls += 1
        self._budget.sampled += sum(choice.node.sampled if choice.node else 0 for choice in choices)
        self._budget.sampled += sum(choice.counted[1] for choice in choices)
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
                await asyncio.wait_for(self._resumed.wait(), self._budget.limits.waiting)
        except TimeoutError:
            raise Refusal("this episode is paused; ask again later", status=503, code="episode_paused") from None
        if self.closed:
            raise _closed()

    def _most_tokens(self, wanted: Wanted) -> int:
        """The tokens that one reply to a call may have."""
        return min(self._sampling.max_tokens, wanted.max_tokens or self._sampling.max_tokens)

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
        counts = {"calls": self._budget.calls}
        counts |= {name: self._counts[name] for name in ("retried", "cancelled", "refused")}
        proof = Proof(**counts, sampled=sampled, trained=trained, untrained=dict(untrained), began=dict(began))
        if not proof.complete:
            raise InfrastructureError(f"the gateway lost track of sampled tokens: {proof}; please report this")
        branches = branches_of(self._tree)
        shared = {id(message): message for branch in branches for message in branch.messages}
        clean = {known: without_key(self.key, message) for known, message in shared.items()}
        branches = tuple(
            replace(branch, messages=tuple(clean[id(message)] for message in branch.messages)) for branch in branches
        )
        metrics = {f"gateway/{name}": float(count) for name, count in counts.items()}
        metrics |= {"gateway/sampled": float(self._budget.sampled), "gateway/trained": float(trained)}
        metrics |= {"gateway/branches": float(len(branches)), "gateway/segments": float(len(segments))}
        return Recording(self.messages, branches, tuple(segments), proof, self._budget.reached, self._failure, metrics)


def _closed() -> Refusal:
    return Refusal("this episode is closed", status=403, code="episode_closed")
