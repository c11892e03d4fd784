"""Environments of PrimeIntellect's ``verifiers``, in their own process: our chats speak, and their rubric scores."""

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ....verifiers.errors import ConfigError, DataError, EnvironmentFault, InfrastructureError
from ....verifiers.message import Message
from ....verifiers.rubric import RESERVED_LABELS
from ....verifiers.task import Task
from ....verifiers.trajectory import StopReason
from ...environment import Split
from ...episode import Episode
from ...metered_chat import LimitReached
from ..foreign import Foreign, ForeignConfig, as_number
from .bridge import Bridge, Exchange, Launch, bridge_of
from .conversation import Conversations, messages_of, wire_of

_CHUNK = 100
"""Rows that are asked for at a time."""
_GRACE = 10.0
"""Seconds in which a process must answer a question after an episode of it took too long; else it is killed."""


class Verifiers(Foreign):
    """An environment of the package ``verifiers``, 0.1 (v0) or 0.4 (v1), in a virtual environment of its own.

    It asks for each reply with messages and is answered by a chat, so the exact tokens are trained on. Its rubric gives
    the rewards. If a reward raises, the attempt is not scored; ``verifiers`` would make 0.0 of it.
    """

    class Config(ForeignConfig):
        """Which environment to load, and with which Python."""

        python: Path
        """The interpreter of the virtual environment that has ``verifiers`` and the environment."""
        id: str
        """The environment's name, such as ``gsm8k`` or ``primeintellect/gsm8k``; with 0.4, its taskset's."""
        args: dict[str, Any] = Field(default_factory=dict)
        """Arguments of ``load_environment``; with 0.4, the tables ``taskset`` and ``agent`` of its configuration."""
        folder: Path | None = None
        """A folder with the environment's module, if it is not installed."""
        variables: list[str] = Field(default_factory=list)
        """Names of environment variables that its process gets, such as the key of a judge; it gets none of others."""
        reasoning: Literal["content", "apart"] = "content"
        """Where it finds the reasoning: in the content as sampled, or apart, as a server with a parser sends it."""
        held_out: float = Field(0.1, gt=0, lt=1)
        """Share of the rows, chosen by their content, that are held out if it has only one dataset."""
        limit: int = Field(10_000, ge=1)
        """Most rows of each dataset that are used; the first ones."""
        start_seconds: float = Field(120.0, gt=0)
        """Most seconds for starting its process, and for loading it or a part of its dataset."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """Both, or only ``test`` if it has a dataset for evaluation alone."""
        return ("test",) if self._bridge().about["splits"] == ["test"] else ("train", "test")

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The rows of the split: for training shuffled by ``seed``, else in their order.

        Raises:
            ConfigError: its Python or the environment cannot be loaded.
            DataError: a row has no prompt, or is not JSON.
        """
        theirs = self._bridge().about["splits"]
        rows = self._rows(split if split in theirs else theirs[0])
        if len(theirs) == 1 and theirs[0] == "train":
            rows = [row for row in rows if self._is_held_out(row) == (split == "test")]
        elif split not in theirs:
            raise ConfigError(f"{self.config.id} has no dataset for the split {split!r}")
        if split == "train":
            random.Random(seed).shuffle(rows)
        for row in rows:
            yield self._task(row)

    async def run(self, episode: Episode) -> None:
        """Let the other process play the row; every call that it makes of the model is a reply of a chat."""
        bridge = await asyncio.to_thread(self._bridge)
        with Exchange(bridge) as exchange:
            try:
                result = await self._played(episode, exchange)
            except BaseException as error:
                exchange.send(do="cancel")
                if isinstance(error, InfrastructureError) and not bridge.lost:
                    await asyncio.to_thread(_kill_if_stuck, bridge)
                raise
        self._reward(episode, result)

    async def finish(self, episode: Episode) -> None:
        """Check that the other side has scored the episode.

        Raises:
            InfrastructureError: ``limits.seconds`` ended it before, so there is no score.
        """
        if "rewards" not in episode.artifacts:
            raise InfrastructureError(f"{self.config.id} did not score the episode within limits.seconds")

    def _bridge(self) -> Bridge:
        folder = self.config.folder
        load = {"id": self.config.id, "args": self.config.args, "folders": [str(folder.resolve())] if folder else []}
        python = str(self.config.python.expanduser().absolute())
        text = json.dumps(load, sort_keys=True)
        return bridge_of(Launch(python, text, tuple(self.config.variables), self.config.start_seconds))

    def _rows(self, split: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while len(rows) < self.config.limit:
            stop = min(len(rows) + _CHUNK, self.config.limit)
            more = self._bridge().call(self.config.start_seconds, do="rows", split=split, start=len(rows), stop=stop)
            rows += more
            if len(rows) < stop:
                break
        if not rows:
            raise DataError(f"{self.config.id} has no rows in its dataset {split!r}")
        return rows

    def _task(self, row: dict[str, Any]) -> Task:
        shown = row.get("prompt") or row.get("question") or f"Row {row.get('example_id', row.get('idx'))}"
        prompt: str | list[Message] = shown if isinstance(shown, str) else messages_of([wire_of(m) for m in shown])
        return Task(prompt, answer=row.get("answer"), info={"row": row})

    def _is_held_out(self, row: dict[str, Any]) -> bool:
        content = {name: value for name, value in row.items() if name not in ("example_id", "idx")}
        digest = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).digest()
        return bool(int.from_bytes(digest, "big") < self.config.held_out * 2**64)

    async def _played(self, episode: Episode, exchange: Exchange) -> dict[str, Any]:
        """What the other side made of the episode, after all of its calls of the model were answered."""
        exchange.send(do="play", row=episode.task.info["row"])
        calls = _Calls(Conversations(episode, self.config.reasoning == "apart"), exchange)
        try:
            while True:
                message = await exchange.next(self.config.deadline)
                if message is None and not calls.waiting:
                    raise InfrastructureError(f"{self.config.id} sent nothing for {self.config.deadline:g} s")
                if message and "ask" not in message:
                    break
                if message:
                    calls.begin(message["ask"])
        finally:
            await calls.cancel()
        if calls.error:
            raise calls.error
        if "failed" in message:
            raise EnvironmentFault(f"{self.config.id}: {message['failed']}")
        return {**message["ok"], "limit": calls.limit}

    def _reward(self, episode: Episode, result: dict[str, Any]) -> None:
        """Give the episode its rewards and metrics.

        Raises:
            EnvironmentFault: a reward raised or is no number, or the rollout ended in an error.
            LimitReached: a limit ended the episode, which has its rewards all the same.
        """
        name = self.config.id
        if result["error"]:
            raise EnvironmentFault(f"{name}: the rollout ended in an error: {result['error']!s:.2000}")
        if result["faults"]:
            raise EnvironmentFault(f"{name}: a reward failed, which is not a score: {result['faults'][0]}")
        parts = result["rewards"] or [("reward", result["reward"], 1.0)]
        for label, score, weight in parts:
            shown = f"{label}_" if label in RESERVED_LABELS else str(label)
            episode.reward(
                shown, as_number(score, f"the reward {label!r} of {name}"), weight=as_number(weight, "weight")
            )
        rewarded = {label for label, _, _ in parts}
        for label, value in result["metrics"].items():
            if label not in rewarded and value is not None:
                episode.metric(str(label), as_number(value, f"the metric {label!r} of {name}"))
        episode.artifacts["rewards"] = {str(label): score for label, score, _ in parts}
        episode.artifacts["stop"] = result["stop"]
        if result["limit"]:
            raise result["limit"]
        if result["truncated"]:
            raise LimitReached(StopReason.TURNS if result["stop"] == "max_turns" else StopReason.LENGTH)


class _Calls:
    """The calls of the model that the other side makes in one episode; it may make several at once.

    Attributes:
        waiting: those that are under way.
        limit: the limit of the episode that one of them reached.
        error: what one of them raised.
    """

    def __init__(self, conversations: Conversations, exchange: Exchange) -> None:
        self.waiting: set[asyncio.Task[None]] = set()
        self.limit: LimitReached | None = None
        self.error: Exception | None = None
        self._conversations, self._exchange = conversations, exchange

    def begin(self, ask: dict[str, Any]) -> None:
        """Begin to answer a call."""
        task = asyncio.create_task(self._answer(ask))
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)

    async def cancel(self) -> None:
        """Cancel those that are under way."""
        left = list(self.waiting)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, ask: dict[str, Any]) -> None:
        try:
            self._exchange.send(call=ask["call"], said=await self._conversations.answer(ask))
        except LimitReached as limit:
            self.limit = limit
            self._exchange.send(call=ask["call"], limit=str(limit))
        except Exception as error:  # noqa: BLE001 - it is raised again when the other side has ended the episode
            self.error = self.error or error
            self._exchange.send(call=ask["call"], failed=f"{type(error).__name__}: {error}"[:1000])


def _kill_if_stuck(bridge: Bridge) -> None:
    """Kill a process that no longer answers, so that the next episode gets a new one."""
    try:
        bridge.call(_GRACE, do="ping")
    except InfrastructureError:
        bridge.close("the environment's process was killed, because it no longer answered")
