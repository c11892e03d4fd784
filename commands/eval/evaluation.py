"""``lachesis eval``: an environment's tasks put to a model, through engines of ours or any OpenAI-compatible URL."""

import asyncio
import hashlib
import itertools
import json
import logging
import re
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.table import Table

from ...environments.environment import Environment, tasks_of
from ...environments.episode import play
from ...environments.loading import EnvironmentSpec, describe
from ...rollout.config import ModelConfig, RolloutConfig
from ...rollout.engines.engine import Sampling
from ...trainer.config import parts_of
from ...trainer.run.containment import containment, warn_of
from ...trainer.run.progress import counting
from ...trainer.run.redaction import redacted
from ...verifiers.errors import ConfigError, EngineError
from ...verifiers.group import Group
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.settings import validated
from ...verifiers.task import Task
from ...verifiers.trajectory import Trajectory
from .score_file import ScoreFile, Summary, summarise

log = logging.getLogger("lachesis")


@dataclass(frozen=True)
class Evaluation:
    """What is asked of whom, and how.

    Attributes:
        environment: where the tasks come from.
        model: a folder or Hub id; with ``url`` the endpoint's own name for it.
        url: of an OpenAI-compatible endpoint; empty to load the model here.
        split: of the environment's tasks.
        seed: of tasks and sampling.
        sampling: how replies are drawn.
        rollout: engines and workers, where there is no ``url``.
        settings: of the model, where there is no ``url``.
        sandbox: where verifiers run programs.
    """

    environment: EnvironmentSpec
    model: str
    url: str
    split: Literal["train", "test"]
    seed: int
    sampling: Sampling
    rollout: RolloutConfig
    settings: ModelConfig
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)

    def header(self) -> dict[str, Any]:
        """What a file of scores must agree on to be continued; how fast it is done is not part of it."""
        environment = {"use": self.environment.use, "config": self.environment.config}
        if self.environment.source:
            environment["source"] = hashlib.blake2b(self.environment.source.encode(), digest_size=8).hexdigest()
        sampling = {name: getattr(self.sampling, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        where = {"url": self.url} if self.url else {"engine": self.rollout.engine, **self.settings.model_dump()}
        whom = {"model": self.model, **{key: value for key, value in where.items() if key not in ("path", "tiny")}}
        asked = {"environment": environment, "split": self.split, "seed": self.seed, "sampling": sampling}
        if self.sandbox.require == "accident":  # a lower choice than the default is on record
            asked["sandbox"] = {"require": self.sandbox.require}
        header: dict[str, Any] = redacted(asked | whom)
        return header

    def file_name(self) -> Path:
        """Where scores go if nothing else is said: another file for every other header."""
        name = re.sub(r"[^\w.-]+", "-", f"{self.environment.use}-{self.model}").strip("-.")
        digest = hashlib.blake2b(json.dumps(self.header(), sort_keys=True).encode(), digest_size=4).hexdigest()
        return Path("evals") / f"{name}-{digest}.jsonl"


class Attempt(NamedTuple):
    """One attempt to make at a task."""

    number: int
    task: Task
    sample: int


def evaluation_of(use: str, overrides: Sequence[str], options: Mapping[str, Any]) -> Evaluation:
    """The evaluation that the command line asks for.

    Args:
        use: the environment.
        overrides: ``--config.key``, ``--model.key``, ``--rollout.key`` and ``--sandbox.key`` with their values.
        options: the command's own, by name.

    Raises:
        ConfigError: a setting that is not known or not possible.
    """
    parts = parts_of(overrides, config={}, model={}, rollout={}, sandbox={})
    if not options["model"]:
        raise ConfigError("eval needs --model: a folder or Hub id, or with --url the endpoint's own name for it")
    if "rope" in parts["model"]:
        raise ConfigError(
            "eval takes positions as the model's config.json has them; a run's checkpoints have model.rope"
        )
    parts["rollout"] |= {"engine": options["engine"], "inline": options["inline"]}
    return Evaluation(
        environment=describe(use, config=parts["config"], label=use),
        model=options["model"],
        url=options["url"],
        split=options["split"],
        seed=options["seed"],
        sampling=Sampling(temperature=options["temperature"], max_tokens=options["max_tokens"]),
        rollout=validated(RolloutConfig, parts["rollout"], "--rollout"),
        sandbox=validated(SandboxSettings, parts["sandbox"], "--sandbox"),
        settings=validated(ModelConfig, {"path": options["model"], **parts["model"]}, "--model"),
    )


def run_evaluation(evaluation: Evaluation, tasks: int, attempts: int, concurrency: int, out: Path | None) -> Summary:
    """Make what ``out`` does not hold yet, and print what all of it comes to.

    Args:
        evaluation: what and how.
        tasks: most tasks; those with equal content count once.
        attempts: at each task.
        concurrency: most episodes under way.
        out: file of scores; ``evaluation.file_name()`` where None.

    Raises:
        ConfigError: the environment has no tasks, or ``out`` is of another evaluation.
        EngineError: the model cannot be reached; what was scored before stays in ``out``.
    """
    environment = evaluation.environment.build()
    warn_of(containment(evaluation.sandbox, [environment], evaluation.seed))
    chosen = distinct_tasks(environment, evaluation, tasks)
    if out is None:
        out = evaluation.file_name()
    with ScoreFile(out, evaluation.header()) as file:
        wanted = [Attempt(number, task, sample) for number, task in enumerate(chosen) for sample in range(attempts)]
        missing = [attempt for attempt in wanted if not file.has(attempt.task.hash, attempt.sample)]
        with counting("evaluating", len(wanted), len(wanted) - len(missing)) as tick:
            asyncio.run(_make(evaluation, environment, missing, concurrency, file, tick))
        keys = [(attempt.task.hash, attempt.sample) for attempt in wanted]
        summary = summarise(file.scores[key] for key in keys if key in file.scores)
    _print(summary, len(wanted), len(wanted) - len(missing), out)
    return summary


def distinct_tasks(environment: Environment, evaluation: Evaluation, most: int) -> list[Task]:
    """The first ``most`` tasks of the split, each content once."""
    found: dict[str, Task] = {}
    for task in itertools.islice(tasks_of(environment, evaluation.split, evaluation.seed), most):
        found.setdefault(task.hash, task)
    if not found:
        raise ConfigError(f"{evaluation.environment.use} has no tasks in split {evaluation.split!r}; check its dataset")
    return list(found.values())


async def _make(
    evaluation: Evaluation,
    environment: Environment,
    missing: list[Attempt],
    concurrency: int,
    file: ScoreFile,
    tick: Callable[[int], None],
) -> None:
    if not missing:
        return
    make = _through_url if evaluation.url else _through_engines
    failed = 0
    async with aclosing(make(evaluation, environment, missing, concurrency)) as outcomes:
        async for sample, trajectory, reason in outcomes:
            if trajectory is not None:
                file.add(sample, trajectory)
            failed = failed + 1 if reason else 0
            if failed == 1:
                log.warning("an episode was not scored: %s", reason)
            if failed >= min(len(missing), max(8, concurrency)):
                raise EngineError(f"{failed} episodes in a row could not be scored, the last: {reason}")
            tick(1)


Outcome = tuple[int, Trajectory | None, str]
"""Sample number, trajectory, and the reason where it has no score."""


async def _through_url(
    evaluation: Evaluation, environment: Environment, missing: list[Attempt], concurrency: int
) -> AsyncGenerator[Outcome, None]:
    """Play episodes over an endpoint, at most ``concurrency`` at once, as they end."""
    from ...rollout.chats.text_chat import TextPolicy
    from ...rollout.workers.worker import why_unscored

    async with TextPolicy(evaluation.url, evaluation.model, evaluation.sampling) as policy:

        async def attempt(one: Attempt) -> Outcome:
            seed = (evaluation.seed, one.number, one.sample)
            played = await play(environment, one.task, dict.fromkeys(environment.agents, policy), seed)
            judged = await environment.score_trajectory(played)
            return one.sample, judged, "" if judged.scored else why_unscored(judged)

        waiting = iter(missing)
        running = {asyncio.create_task(attempt(one)) for one in itertools.islice(waiting, concurrency)}
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running |= {asyncio.create_task(attempt(one)) for one in itertools.islice(waiting, len(done))}
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()


async def _through_engines(
    evaluation: Evaluation, environment: Environment, missing: list[Attempt], concurrency: int
) -> AsyncGenerator[Outcome, None]:
    """Have groups made by engines of ours; a task of which any attempt is missing is made whole."""
    from ...rollout.evaluation import evaluate
    from ...rollout.workers.opening import open_pool
    from ...rollout.workers.pool import PoolSpec

    spec = PoolSpec(evaluation.settings, evaluation.rollout, (evaluation.environment,), 0, evaluation.sandbox)
    pool = open_pool(spec)
    numbered = {attempt.number: attempt.task for attempt in missing}
    try:
        await pool.infos()  # a model that no engine can load is said here, and not by episodes that fail
        outcomes = evaluate(
            pool,
            0,
            numbered.items(),
            sampling=evaluation.sampling,
            seed=evaluation.seed,
            attempts=1 + max(attempt.sample for attempt in missing),
            concurrency=concurrency,
        )
        async for outcome in outcomes:
            if isinstance(outcome, Group):
                for sample, trajectory in enumerate(outcome.trajectories):
                    yield sample, trajectory, ""
            else:
                yield 0, None, outcome.reason
    finally:
        await pool.close()


def _print(summary: Summary, wanted: int, before: int, out: Path) -> None:
    console = Console(highlight=False, emoji=False)
    table = Table("reward", "mean", "± standard error", box=None, header_style="bold")
    shown = {**summary.means, **({"accuracy": summary.accuracy} if summary.accuracy else {})}
    for label, (mean, error) in shown.items():
        table.add_row(label, f"{mean:.4f}", f"{error:.4f}")
    console.print(table)
    stops = ", ".join(f"{reason} {count}" for reason, count in summary.stops.items())
    console.print(
        f"{summary.judged} of {wanted} scored ({before} before), stop reasons: {stops or 'none'}", markup=False
    )
    console.print(f"scores: {out}", markup=False, soft_wrap=True)
    if summary.judged < wanted:
        print(f"{wanted - summary.judged} were not scored; run it again to make them", file=sys.stderr)
