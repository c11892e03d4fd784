"""An evaluation: an environment's tasks attempted by a model, which an engine loads or which answers behind a URL."""

import asyncio
import hashlib
import itertools
import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from ...environments.environment import Environment, tasks_of
from ...environments.loading import EnvironmentSpec, describe
from ...rollout.chats.text_chat import TextPolicy
from ...rollout.config import AgentConfig, ModelConfig, RolloutConfig
from ...rollout.engines.engine import Sampling
from ...rollout.evaluation import evaluate
from ...rollout.models.source import check_source
from ...rollout.workers.open_pool import open_pool
from ...rollout.workers.pool import PoolSpec
from ...trainer.overrides import parts_of
from ...trainer.run.progress import starting, waiting
from ...trainer.run.sandbox_check import check_sandbox, warn_if_weak
from ...trainer.run.storage.redaction import redacted
from ...verifiers.errors import ConfigError, EngineError
from ...verifiers.group import Group
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.settings import validated
from ...verifiers.task import Task
from .progress import EvaluationProgress
from .score_file import ScoreFile, Summary, summarise

log = logging.getLogger("lachesis")


@dataclass(frozen=True)
class Evaluation:
    """The environment, the model, and how it is asked.

    Attributes:
        environment: where the tasks come from.
        model: a folder or Hub id; with ``url``, the endpoint's name for the model.
        url: of an OpenAI-compatible endpoint; empty to load the model here.
        split: of the environment's tasks.
        seed: of tasks and sampling.
        sampling: how replies are drawn.
        rollout: settings of engines and workers; with ``url``, no engine is opened.
        settings: of the model, without ``url``.
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
        """What a file of scores must agree on to be continued; settings of speed are not part of it."""
        environment = {"use": self.environment.use, "config": self.environment.config}
        if self.environment.source:
            environment["source"] = hashlib.blake2b(self.environment.source.encode(), digest_size=8).hexdigest()
        sampling = {name: getattr(self.sampling, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        where = {"url": self.url} if self.url else {"engine": self.rollout.engine, **self.settings.model_dump()}
        whom = {"model": self.model, **{key: value for key, value in where.items() if key not in ("path", "tiny")}}
        asked = {"environment": environment, "split": self.split, "seed": self.seed, "sampling": sampling}
        if self.sandbox.require == "accident":  # a lower level than the default is recorded
            asked["sandbox"] = {"require": self.sandbox.require}
        header: dict[str, Any] = redacted(asked | whom)
        return header

    def file_name(self) -> Path:
        """The default file for scores: every header has its own."""
        name = re.sub(r"[^\w.-]+", "-", f"{self.environment.use}-{self.model}").strip("-.")
        digest = hashlib.blake2b(json.dumps(self.header(), sort_keys=True).encode(), digest_size=4).hexdigest()
        return Path("evals") / f"{name}-{digest}.jsonl"

    def pool_spec(self, agents: Sequence[str]) -> PoolSpec:
        """The pool that makes the attempts; with ``url``, that model plays all ``agents`` and no engine is opened."""
        played = dict.fromkeys(agents, AgentConfig(url=self.url, model=self.model)) if self.url else {}
        return PoolSpec(self.settings, self.rollout, (self.environment,), 0, self.sandbox, (played,))


def evaluation_of(use: str, overrides: Sequence[str], options: Mapping[str, Any]) -> Evaluation:
    """The evaluation that the command line asks for.

    Args:
        use: the environment.
        overrides: ``--config.key``, ``--model.key``, ``--rollout.key`` and ``--sandbox.key`` with their values.
        options: the command's options by name.

    Raises:
        ConfigError: a setting is unknown or not possible.
    """
    parts = parts_of(overrides, config={}, model={}, rollout={}, sandbox={})
    if not options["model"]:
        raise ConfigError("eval needs --model: a folder or Hub id, or with --url the endpoint's name for the model")
    if "rope" in parts["model"]:
        raise ConfigError(
            "eval takes rotary positions from the model's config.json, where a run's checkpoints have them; "
            "leave out --model.rope"
        )
    parts["rollout"] |= {"engine": options["engine"], "inline": options["inline"]}
    sampling = Sampling(temperature=options["temperature"], max_tokens=options["max_tokens"])
    if options["url"]:
        TextPolicy(options["url"], options["model"], sampling)  # a malformed URL is refused before anything starts
    return Evaluation(
        environment=describe(use, config=parts["config"], label=use),
        model=options["model"],
        url=options["url"],
        split=options["split"],
        seed=options["seed"],
        sampling=sampling,
        rollout=validated(RolloutConfig, parts["rollout"], "--rollout"),
        sandbox=validated(SandboxSettings, parts["sandbox"], "--sandbox"),
        settings=validated(ModelConfig, {"path": options["model"], **parts["model"]}, "--model"),
    )


def run_evaluation(evaluation: Evaluation, tasks: int, attempts: int, concurrency: int, out: Path | None) -> Summary:
    """Make the attempts that ``out`` does not hold yet, and print the means over all of them.

    Args:
        evaluation: the environment, the model and how it is asked.
        tasks: most tasks; tasks of equal content count once.
        attempts: at each task; a task is made anew, with all its attempts, if one of them has no score yet.
        concurrency: most episodes that run at once.
        out: file of scores; ``evaluation.file_name()`` if None.

    Raises:
        ConfigError: the environment has no tasks, there is no such model, or ``out`` belongs to another evaluation.
        EngineError: the model cannot be reached; ``out`` keeps what was scored before.
    """
    if out is None:
        out = evaluation.file_name()
    with EvaluationProgress() as progress:
        progress.phase("checking the environment and the sandbox")
        environment = evaluation.environment.build()
        warn_if_weak(check_sandbox(evaluation.sandbox, [environment], evaluation.seed))
        chosen = distinct_tasks(environment, evaluation, tasks)
        if out.exists():
            progress.phase(f"reading the scores in {out}")
        with ScoreFile(out, evaluation.header()) as file:
            wanted = [(task.hash, attempt) for task in chosen for attempt in range(attempts)]
            before = sum(file.has(*key) for key in wanted)
            missing = {
                number: task
                for number, task in enumerate(chosen)
                if not all(file.has(task.hash, attempt) for attempt in range(attempts))
            }
            if missing:
                if not evaluation.url:
                    check_source(evaluation.model)
                left = {task.hash for task in missing.values()}
                kept = [file.scores[key] for key in wanted if key[0] not in left]
                progress.expect(len(chosen), len(chosen) - len(missing), kept)
                asyncio.run(_make(evaluation, environment.agents, missing, attempts, concurrency, file, progress))
            summary = summarise(file.scores[key] for key in wanted if key in file.scores)
    _print(summary, len(wanted), before, out)
    return summary


def distinct_tasks(environment: Environment, evaluation: Evaluation, most: int) -> list[Task]:
    """The tasks of equal content once each, among the first ``most`` tasks of the split."""
    found: dict[str, Task] = {}
    for task in itertools.islice(tasks_of(environment, evaluation.split, evaluation.seed), most):
        found.setdefault(task.hash, task)
    if not found:
        raise ConfigError(f"{evaluation.environment.use} has no tasks in split {evaluation.split!r}; check its dataset")
    return list(found.values())


async def _make(
    evaluation: Evaluation,
    agents: Sequence[str],
    missing: Mapping[int, Task],
    attempts: int,
    concurrency: int,
    file: ScoreFile,
    progress: EvaluationProgress,
) -> None:
    """Have all attempts at the numbered tasks made by a pool's workers, and write their scores as they come."""
    progress.phase(starting(evaluation.rollout, engines=not evaluation.url))
    pool = open_pool(evaluation.pool_spec(agents))
    try:
        if not evaluation.url:
            progress.phase(waiting(evaluation.rollout))
        await pool.infos()  # a model that no engine can load is reported here, not by every episode
        progress.begin()
        outcomes = evaluate(
            pool,
            0,
            missing.items(),
            sampling=evaluation.sampling,
            seed=evaluation.seed,
            attempts=attempts,
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
                if failed >= min(len(missing), max(8, concurrency)):
                    raise EngineError(f"{failed} tasks in a row could not be scored, the last: {outcome.reason}")
    finally:
        progress.phase("stopping")
        await pool.close()


def _print(summary: Summary, wanted: int, before: int, out: Path) -> None:
    console = Console(highlight=False, emoji=False)
    table = Table("reward", "mean", "± standard error", box=None, header_style="bold")
    shown = {**summary.means, **({"accuracy": summary.accuracy} if summary.accuracy else {})}
    for label, (mean, error) in shown.items():
        table.add_row(label, f"{mean:.4f}", f"{error:.4f}")
    console.print(table)
    if summary.scored and not summary.accuracy:
        console.print("no accuracy: the environment does not define success; add it with Rubric(..., success=...)")
    stops = ", ".join(f"{reason} {count}" for reason, count in summary.stops.items())
    console.print(
        f"{summary.scored} of {wanted} scored ({before} before), stop reasons: {stops or 'none'}", markup=False
    )
    console.print(f"scores: {out}", markup=False, soft_wrap=True)
    if summary.scored < wanted:
        print(f"{wanted - summary.scored} were not scored; run the same command again to retry them", file=sys.stderr)
