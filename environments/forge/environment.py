"""The base class of environments whose episodes are walks: the rubric scores the task that was made."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

from pydantic import Field

from ...verifiers.errors import ConfigError
from ...verifiers.reward import Component, Reward
from ...verifiers.task import Task
from ...verifiers.trajectory import POLICY, StopReason, Trajectory
from ...verifiers.verdict import wrong
from ..environment import Environment, EnvironmentConfig, Replies, Split
from ..episode import Episode
from .ask import HELPER, Ask, DemonstrationAsk, EpisodeAsk
from .fields import Record
from .forged import check_gives, forged_case
from .graph import Graph
from .walk import Walk

WALK = "walk"
"""The label of the gate that a walk fails if it did not finish, and the key of the walk in the artifacts."""
_FAILED = (StopReason.ENVIRONMENT_ERROR, StopReason.INFRA_ERROR)


class ForgeEnvironment(Environment):
    """Each episode is a walk through ``graph``; subclass it with a graph, documents and a rubric.

    A task is a document, and all attempts at it take the same random choices, as far as the replies allow. The rubric
    sees the task that was made: its prompt is the walk's ``instruction``, the reply is its ``answer``, and the expected
    answer is its ``reference``, if there is one. The policy learns from all its calls in the walk; the agent ``helper``
    plays the calls that are not trainable, and is never trained. A walk that does not finish fails the gate ``walk``.
    """

    graph: ClassVar[Graph]
    untrained = frozenset({HELPER})

    class Config(EnvironmentConfig):
        """How documents are walked."""

        walks: int = Field(1, ge=1)
        """Walks from each document; each of them is a task of its own."""
        trained_tries: int = Field(1, ge=1)
        """Most tries at a node whose model call is trained. A failed try would earn the reward of the walk, too."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        graph = vars(cls).get("graph")
        if graph is None:
            return
        if not isinstance(graph, Graph):
            raise ConfigError(f"{cls.__name__}.graph is a Graph, found {graph!r:.80}")
        check_gives(graph.gives, f"{cls.__name__}.graph")
        if POLICY not in graph.asks:
            raise ConfigError(f"{cls.__name__}.graph has no trainable model call, so nothing can be learned; add one")
        cls.agents = (POLICY, HELPER) if HELPER in graph.asks else (POLICY,)

    def __init__(self, **settings: Any) -> None:
        if not hasattr(type(self), "graph"):
            raise ConfigError(f"{type(self).__name__} has no graph; write graph = Graph(…) into the class")
        super().__init__(**settings)
        self._graph = self.graph.with_trained_tries(self.config.trained_tries)

    def documents(self, split: Split, seed: int) -> Iterable[Record]:
        """The seed documents of ``split``, in an order decided by ``seed``; may be infinite."""
        raise NotImplementedError(f"{type(self).__name__} has no documents(split, seed)")

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """``walks`` tasks for each document."""
        for document in self.documents(split, seed):
            for number in range(self.config.walks):
                yield self.task_of(document, number)

    def task_of(self, document: Record, number: int = 0) -> Task:
        """Walk ``number`` from ``document`` as a task. Its prompt is for people; the model sees those of the nodes."""
        texts = [value for value in document.values() if isinstance(value, str)]
        shown = texts[0] if len(document) == len(texts) == 1 else json.dumps(document, indent=2, ensure_ascii=False)
        return Task(shown, info={"document": document, WALK: number})

    async def walk(self, task: Task, ask: Ask) -> Walk:
        """The walk of ``task``, with the model calls that ``ask`` answers."""
        document, number = task.info["document"], task.info[WALK]
        return await self._graph.walk(document, Random(json.dumps([document, number], sort_keys=True)), ask)

    async def run(self, episode: Episode) -> None:
        """Walk, and keep the walk in the artifacts."""
        walk = await self.walk(episode.task, EpisodeAsk(episode))
        episode.artifacts[WALK] = walk.to_json()
        for stop in ("finished", "dead_end", "postcondition"):
            episode.metric(f"walk/{stop}", walk.stop == stop)

    def demonstration(self, task: Task) -> Replies:
        """The demonstrations of the model nodes on the walk, in order.

        Raises:
            ConfigError: a model node has none, or the walk does not finish.
        """
        walk, replies = self.demonstrated(task)
        if not walk.finished:
            raise ConfigError(f"the demonstration of task {task.id} does not finish ({walk.ended}: {walk.reason})")
        return replies if len(self.agents) > 1 else replies[POLICY]

    def demonstrated(self, task: Task) -> tuple[Walk, dict[str, list[str]]]:
        """The walk on which the nodes' demonstrations reply, and these replies by agent."""
        ask = DemonstrationAsk()
        with ThreadPoolExecutor(1) as thread:  # an event loop may run in this thread
            walk = thread.submit(lambda: asyncio.run(self.walk(task, ask))).result()
        return walk, {agent: ask.replies.get(agent, []) for agent in self.agents}

    async def score_trajectory(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with the rubric's verdicts on the task that was made."""
        if trajectory.stop in _FAILED:
            return trajectory.with_rewards({})
        walk = trajectory.artifacts.get(WALK)
        if walk is None or walk["stop"] != "finished":
            return trajectory.with_rewards({POLICY: self._unfinished(trajectory, walk)})
        scored = await super().score_trajectory(_as_made(trajectory))
        return trajectory.with_rewards(_with_parts(scored))

    async def score_group(self, attempts: Sequence[Trajectory]) -> list[Trajectory]:
        """Scored attempts at one task, with the rubric's group rewards on the tasks that were made."""
        made = [_as_made(attempt) for attempt in attempts]
        empty = dict.fromkeys(self.agents, Reward())
        whole = [one.with_rewards({**empty, **one.rewards}) if one.rewards else one for one in made]
        scored = await super().score_group(whole)
        return [attempt.with_rewards(_with_parts(judged)) for attempt, judged in zip(attempts, scored, strict=True)]

    def _unfinished(self, trajectory: Trajectory, walk: dict[str, Any] | None) -> Reward:
        why = f"the episode ended by its limit of {trajectory.stop.value}"
        if walk is not None:
            why = f"the walk ended ({walk['stop']} at {walk['place']}): {walk['reason']}"
        given = trajectory.rewards.get(POLICY, Reward()).components
        skipped = tuple(label for label in self.rubric.weights if label not in self.rubric.group_labels)
        success = self.rubric.success
        return Reward(
            (*given, Component(WALK, 0.0, wrong(why))),
            WALK,
            self.rubric.gated,
            skipped,
            self.rubric.clip,
            success if isinstance(success, str) else "",
            success if isinstance(success, float) else None,
        )


def _as_made(attempt: Trajectory) -> Trajectory:
    """The attempt as the rubric sees it: the task that was made and the answer to it, if its walk finished."""
    walk = attempt.artifacts.get(WALK)
    if walk is None or walk["stop"] != "finished":
        return attempt
    made = forged_case(walk["record"], attempt.task.info, attempt.artifacts).trajectory
    return replace(attempt, task=made.task, messages=made.messages)


def _with_parts(attempt: Trajectory) -> dict[str, Reward]:
    """The rewards of agents that have any part of one."""
    return {agent: reward for agent, reward in attempt.rewards.items() if reward.components}
