"""An evaluation: tasks of environments attempted by a model, which an engine loads or which answers behind a URL."""

import asyncio
import hashlib
import itertools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ...environments.environment import Environment, tasks_of
from ...environments.loading import EnvironmentSpec
from ...rollout.cluster.config import ClusterConfig
from ...rollout.config import AgentConfig, ModelConfig, PriceConfig, RolloutConfig
from ...rollout.engines.engine import Sampling
from ...rollout.evaluation import evaluate
from ...rollout.models.source import check_source, longest_context
from ...rollout.workers.open_pool import open_pool
from ...rollout.workers.pool import Pool, PoolSpec
from ...trainer.run.progress import starting, waiting
from ...trainer.run.sandbox_check import check_sandbox, warn_if_weak
from ...trainer.run.storage.redaction import redacted
from ...verifiers.errors import ConfigError, EngineError, nearest
from ...verifiers.group import Group
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.task import Task
from .progress import EvaluationProgress
from .report import print_report
from .score_file import Score, ScoreFile
from .summary import Summary, summarise, usage_of

log = logging.getLogger("lachesis")

PROMPT_ROOM = 1024
"""Tokens of prompts that the torch engine has room for if no context is given: it reserves memory for all of it."""


@dataclass(frozen=True)
class Entry:
    """One environment of an evaluation.

    Attributes:
        spec: where the tasks come from; its label is unique in the evaluation.
        split: of the environment's tasks.
        tasks: most tasks; tasks of equal content count once.
        attempts: at each task; a task is made anew, with all its attempts, if one of them has no score yet.
        sampling: how replies are drawn.
    """

    spec: EnvironmentSpec
    split: Literal["train", "test"]
    tasks: int
    attempts: int
    sampling: Sampling

    def header(self) -> dict[str, Any]:
        """What a file of scores must agree on to be continued; it may be continued with more tasks and attempts."""
        environment: dict[str, Any] = {"use": self.spec.use, "config": self.spec.config}
        if self.spec.weights:
            environment["rubric"] = self.spec.weights
        if self.spec.source:
            environment["source"] = hashlib.blake2b(self.spec.source.encode(), digest_size=8).hexdigest()
        sampling = {name: getattr(self.sampling, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        if self.sampling.min_p:
            sampling["min_p"] = self.sampling.min_p
        if self.sampling.stop:
            sampling |= {"stop": list(self.sampling.stop), "include_stop": self.sampling.include_stop}
        return {**environment, "split": self.split, "sampling": sampling}


@dataclass(frozen=True)
class Evaluation:
    """The environments, the model, and how it is asked.

    Attributes:
        entries: the environments.
        model: a folder or Hub id; with an endpoint, its name for the model.
        seed: of tasks and sampling.
        rollout: settings of engines and workers; with an endpoint, no engine is opened.
        settings: of the model, without an endpoint.
        context: whether ``settings.context`` was given; if not, it comes from the model.
        endpoint: where the model answers; without a ``url``, it is loaded here.
        agents: how agents are played that the model does not play.
        sandbox: where verifiers run programs.
        cluster: where engines and workers run.
    """

    entries: tuple[Entry, ...]
    model: str
    seed: int
    rollout: RolloutConfig
    settings: ModelConfig
    context: bool = False
    endpoint: AgentConfig = field(default_factory=AgentConfig)
    agents: Mapping[str, AgentConfig] = field(default_factory=dict)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    def header(self) -> dict[str, Any]:
        """What a file of scores must agree on to be continued; settings of speed are not part of it."""
        if self.endpoint.url:
            where: dict[str, Any] = {"url": self.endpoint.url}
            if self.endpoint.fields:
                where["fields"] = self.endpoint.fields
        else:
            hidden = {"path", "tiny"} | (set() if self.context else {"context"})
            where = {"engine": self.rollout.engine, **self.settings.model_dump(exclude=hidden)}
        asked = {"environments": {entry.spec.label: entry.header() for entry in self.entries}, "seed": self.seed}
        if self.agents:
            asked["agents"] = {
                agent: config.model_dump(exclude={"headers", "prices", "more_urls", "key"})
                for agent, config in self.agents.items()
            }
        if self.sandbox.require == "accident":  # a lower level than the default is recorded
            asked["sandbox"] = {"require": self.sandbox.require}
        header: dict[str, Any] = redacted({**asked, "model": self.model, **where})
        return header

    def file_name(self) -> Path:
        """The default file for scores: every header has its own."""
        first = self.entries[0].spec.use if len(self.entries) == 1 else f"{len(self.entries)}-environments"
        name = re.sub(r"[^\w.-]+", "-", f"{first}-{self.model}").strip("-.")
        digest = hashlib.blake2b(json.dumps(self.header(), sort_keys=True).encode(), digest_size=4).hexdigest()
        return Path("evals") / f"{name}-{digest}.jsonl"

    def pool_spec(self, environments: Sequence[Environment]) -> PoolSpec:
        """The pool that makes the attempts; with an endpoint, that model plays all agents and no engine is opened."""
        played = tuple(self.players(environment.agents) for environment in environments)
        settings = self.settings
        specs = tuple(entry.spec for entry in self.entries)
        pool = PoolSpec(settings, self.rollout, specs, 0, self.sandbox, played, cluster=self.cluster)
        if self.context or not pool.needs_engine:
            return pool
        longest = longest_context(self.model) or settings.context
        if self.rollout.engine == "torch":
            longest = min(longest, PROMPT_ROOM + max(entry.sampling.max_tokens for entry in self.entries))
        return replace(pool, model=settings.model_copy(update={"context": longest}))

    def players(self, agents: Sequence[str]) -> dict[str, AgentConfig]:
        """How the ``agents`` of an environment are played; the model that is loaded plays those that are missing."""
        own = {agent: config for agent, config in self.agents.items() if agent in agents}
        return {**(dict.fromkeys(agents, self.endpoint) if self.endpoint.url else {}), **own}


@dataclass(frozen=True)
class _Part:
    """An entry, its environment, and its tasks."""

    entry: Entry
    environment: Environment
    tasks: list[Task]

    @property
    def keys(self) -> list[tuple[str, str, int]]:
        """The attempts that are asked for, as ``ScoreFile.scores`` names them."""
        label = self.entry.spec.label
        return [(label, task.hash, attempt) for task in self.tasks for attempt in range(self.entry.attempts)]

    def missing(self, file: ScoreFile) -> dict[int, Task]:
        """The tasks that lack the score of an attempt, by their number, which seeds the sampling."""
        label, attempts = self.entry.spec.label, range(self.entry.attempts)
        return {
            number: task
            for number, task in enumerate(self.tasks)
            if not all(file.has(label, task.hash, attempt) for attempt in attempts)
        }


def run_evaluation(
    evaluation: Evaluation, concurrency: int, out: Path | None, seconds: float | None = None
) -> dict[str, Summary]:
    """Make the attempts that ``out`` does not hold yet, print the means over all of them, and return them by label.

    Args:
        evaluation: the environments, the model and how it is asked.
        concurrency: most episodes that run at once.
        out: file of scores; ``evaluation.file_name()`` if None.
        seconds: after which no further attempts are made.

    Raises:
        ConfigError: an environment has no tasks, there is no such model, or ``out`` belongs to another evaluation.
        EngineError: the model cannot be reached; ``out`` keeps what was scored before.
    """
    if out is None:
        out = evaluation.file_name()
    ended = True
    with EvaluationProgress() as progress:
        progress.phase("checking the environments and the sandbox")
        environments = [entry.spec.build() for entry in evaluation.entries]
        _check_agents(evaluation, environments)
        warn_if_weak(check_sandbox(evaluation.sandbox, environments, evaluation.seed))
        parts = [
            _Part(entry, environment, distinct_tasks(environment, entry, evaluation.seed))
            for entry, environment in zip(evaluation.entries, environments, strict=True)
        ]
        if out.exists():
            progress.phase(f"reading the scores in {out}")
        with ScoreFile(out, evaluation.header()) as file:
            before = sum(file.has(*key) for part in parts for key in part.keys)
            missing = [part.missing(file) for part in parts]
            if any(missing):
                if not evaluation.endpoint.url:
                    check_source(evaluation.model)
                kept = [score for part, left in zip(parts, missing, strict=True) for score in _kept(part, left, file)]
                total = sum(len(part.tasks) for part in parts)
                progress.expect(total, total - sum(map(len, missing)), kept)
                ended = asyncio.run(_make(evaluation, environments, missing, concurrency, seconds, file, progress))
    scores = {part.entry.spec.label: [file.scores[key] for key in part.keys if key in file.scores] for part in parts}
    summaries = {label: summarise(found) for label, found in scores.items()}
    prices: dict[str, PriceConfig] = {}
    for environment in environments:
        prices |= {agent: player.prices for agent, player in evaluation.players(environment.agents).items()}
    usage = usage_of((score for found in scores.values() for score in found), prices)
    wanted = {part.entry.spec.label: len(part.keys) for part in parts}
    print_report(summaries, wanted, before, usage, out, ended)
    return summaries


def distinct_tasks(environment: Environment, entry: Entry, seed: int) -> list[Task]:
    """The tasks of equal content once each, among the first ``entry.tasks`` tasks of the split."""
    found: dict[str, Task] = {}
    for task in itertools.islice(tasks_of(environment, entry.split, seed), entry.tasks):
        found.setdefault(task.hash, task)
    if not found:
        raise ConfigError(f"{entry.spec.label} has no tasks in split {entry.split!r}; check its dataset")
    return list(found.values())


def _check_agents(evaluation: Evaluation, environments: Sequence[Environment]) -> None:
    known = sorted({name for environment in environments for name in environment.agents})
    for agent in evaluation.agents:
        if agent not in known:
            raise ConfigError(f"no environment has an agent {agent!r}; {nearest(agent, known)}")


def _kept(part: _Part, missing: Mapping[int, Task], file: ScoreFile) -> list[Score]:
    """The scores of the tasks that need no further attempt."""
    left = {task.hash for task in missing.values()}
    return [file.scores[key] for key in part.keys if key[1] not in left]


async def _make(
    evaluation: Evaluation,
    environments: Sequence[Environment],
    missing: Sequence[Mapping[int, Task]],
    concurrency: int,
    seconds: float | None,
    file: ScoreFile,
    progress: EvaluationProgress,
) -> bool:
    """Have all attempts at the numbered tasks made by a pool's workers; return whether the time was enough."""
    spec = evaluation.pool_spec(environments)
    progress.phase(starting(evaluation.rollout, spec.needs_engine, evaluation.cluster.address))
    pool = open_pool(spec)
    clock = asyncio.timeout(seconds)
    try:
        if spec.needs_engine:
            progress.phase(waiting(evaluation.rollout))
        await pool.infos()  # a model that no engine can load is reported here, not by every episode
        progress.begin()
        try:
            async with clock:
                for number, tasks in enumerate(missing):
                    await _attempt(pool, evaluation, number, tasks, concurrency, file, progress)
        except TimeoutError:
            if not clock.expired():
                raise
    finally:
        progress.phase("stopping")
        await pool.close()
    return not clock.expired()


async def _attempt(
    pool: Pool,
    evaluation: Evaluation,
    environment: int,
    tasks: Mapping[int, Task],
    concurrency: int,
    file: ScoreFile,
    progress: EvaluationProgress,
) -> None:
    """Have the attempts at one environment's tasks made, and write their scores as they come."""
    entry = evaluation.entries[environment]
    outcomes = evaluate(
        pool,
        environment,
        tasks.items(),
        sampling=entry.sampling,
        seed=evaluation.seed,
        attempts=entry.attempts,
        concurrency=concurrency,
    )
    failed = 0
    async with aclosing(outcomes):
        async for outcome in outcomes:
            if isinstance(outcome, Group):
                failed = 0
                made = zip(outcome.attempts, outcome.trajectories, strict=True)
                progress.count([file.add(attempt, trajectory) for attempt, trajectory in made])
                continue
            failed += 1
            progress.count(())
            if failed == 1:
                log.warning("a task was not scored: %s", outcome.reason)
            if failed >= min(len(tasks), max(8, concurrency)):
                raise EngineError(f"{failed} tasks in a row could not be scored, the last: {outcome.reason}")
