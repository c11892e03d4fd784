"""Recorded replies, played again through the environment as it is now, and the differences."""

import asyncio
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ...environments.audit.bad_reply import random_reply
from ...environments.chat import ScriptedPolicy
from ...environments.environment import Environment, scripts, tasks_of
from ...environments.loading import EnvironmentSpec, describe
from ...environments.play import play
from ...trainer.run.progress import counting
from ...trainer.run.storage.reader import TRAJECTORIES
from ...trainer.run.storage.redaction import redacted
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.message import is_reply
from ...verifiers.reward import Reward
from ...verifiers.rows.jsonl import read_jsonl
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.sandbox.shared import configure_sandbox
from ...verifiers.task import Task
from ...verifiers.trajectory import StopReason, Trajectory
from ..in_order import in_order
from ..sources.stored import holds_episodes, open_episodes
from ..terminal import printable

SHOWN = 100
"""Most characters of a value that a difference shows."""


@dataclass(frozen=True)
class Recording:
    """One episode as it was played.

    Attributes:
        spec: of its environment.
        seed: of the episode.
        task: the task that was played.
        replies: agent → its replies, in order.
        played: the outcome; see ``outcome``.
    """

    spec: EnvironmentSpec
    seed: tuple[int, ...]
    task: Task
    replies: Mapping[str, tuple[str, ...]]
    played: dict[str, Any] = field(default_factory=dict)

    async def play(self, environment: Environment) -> dict[str, Any]:
        """Play the replies again; the outcome."""
        policies = {agent: ScriptedPolicy(tuple(self.replies.get(agent, ()))) for agent in environment.agents}
        return outcome(
            await environment.score_trajectory(await play(environment, self.task, policies, self.seed, inline=True))
        )

    def to_json(self) -> dict[str, Any]:
        """A line of a recording's file."""
        return {
            "environment": {"use": self.spec.use, "config": redacted(self.spec.config), "weights": self.spec.weights},
            "seed": list(self.seed),
            "task": self.task.to_json(),
            "replies": {agent: list(said) for agent, said in self.replies.items()},
            "played": self.played,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any], where: str) -> "Recording":
        """The recording that ``to_json`` wrote; ``where`` names its place in messages.

        Raises:
            DataError: it is not a recording.
        """
        try:
            about = row["environment"]
            spec = describe(about["use"], config=about["config"], weights=about["weights"], label=about["use"])
            replies = {agent: tuple(said) for agent, said in row["replies"].items()}
            return cls(spec, tuple(row["seed"]), Task.from_json(row["task"]), replies, row["played"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: not a recording ({type(error).__name__}: {error})") from None


def outcome(trajectory: Trajectory) -> dict[str, Any]:
    """What a replay compares: messages, artifacts, metrics, the stop reason, and each reward's score and status.

    Replies are texts here, so a reply that was cut off at its token limit counts as a finished one.
    """
    done = trajectory.stop in (StopReason.DONE, StopReason.LENGTH)
    made = {
        "stop": "done" if done else trajectory.stop.value,
        "messages": {agent: list(messages) for agent, messages in trajectory.messages.items()},
        "artifacts": dict(trajectory.artifacts),
        "metrics": {
            name: value for name, value in trajectory.metrics.items() if name.rpartition("/")[2] not in _OF_TOKENS
        },
        "rewards": {agent: _earned(reward) for agent, reward in trajectory.rewards.items()},
        "error": trajectory.error,
    }
    return dict(json.loads(json.dumps(made)))


def _earned(reward: Reward) -> dict[str, Any]:
    """The total, with each label's score and status."""
    parts = {label: {"score": verdict.score, "status": verdict.status} for label, _, verdict in reward.components}
    return {"total": reward.total if reward.scored else None, "parts": parts}


_OF_TOKENS = frozenset({"segments", "template_breaks", "forced_closings", "prompt_tokens", "completion_tokens"})
"""Metrics about tokens; a replay has none."""


def replay(path: Path, jobs: int) -> int:
    """Play every recording, or every trajectory of a run or an evaluation, again, and print the differences.

    Returns:
        How many episodes differ.

    Raises:
        InputError: ``path`` cannot be read, or one of its environments cannot be built.
    """
    changed = played = 0
    console = Console(highlight=False, emoji=False)
    built: dict[str, Environment] = {}

    async def one(named: tuple[str, Recording]) -> tuple[str, Recording, dict[str, Any]]:
        name, recording = named
        return name, recording, await recording.play(_built(recording.spec, built))

    def emit(results: list[tuple[str, Recording, dict[str, Any]]]) -> None:
        nonlocal changed, played
        for name, recording, now in results:
            found = list(_differences(recording.played, now))
            changed += bool(found)
            for line in found:
                console.print(Text(printable(f"{name}, task {recording.task.id}: {line}")))
        played += len(results)
        tick(len(results))

    with counting("replaying", None) as tick:
        asyncio.run(in_order(_recordings(path), one, emit, jobs))
    console.print(f"{played} episodes played again, {changed} with a different result")
    return changed


def record(path: Path, source: str, tasks: int, config: dict[str, Any]) -> int:
    """Write recordings to ``path`` and return how many.

    They are taken from the last step of a run or from an evaluation, or made with an environment: a perfect player and
    a random one play its first tasks, half of them from each split.

    Args:
        path: the file to write.
        source: a run's folder, an evaluation's file, or an environment.
        tasks: most tasks; of a run, most trajectories.
        config: settings of the environment.

    Raises:
        InputError: there is no such run or environment, or ``path`` exists.
    """
    if path.exists():
        raise ConfigError(f"{path} exists; remove it, or record into another file")
    built: dict[str, Environment] = {}

    async def played(recording: Recording) -> dict[str, Any]:
        now = await recording.play(_built(recording.spec, built))
        return Recording(recording.spec, recording.seed, recording.task, recording.replies, now).to_json()

    rows: list[dict[str, Any]] = []
    folder = Path(source)
    if (folder / TRAJECTORIES).is_file() or (folder.is_file() and holds_episodes(folder)):
        chosen = [recording for _, recording in itertools.islice(_of_stored(folder, last=True), tasks)]
    else:
        chosen = list(_of_players(describe(source, config=config, label=source), tasks))
    asyncio.run(in_order(chosen, played, rows.extend, 1))
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)


def _recordings(path: Path) -> Iterator[tuple[str, Recording]]:
    if holds_episodes(path):
        yield from _of_stored(path)
        return
    if not path.is_file():
        raise ConfigError(f"cannot read {path}: there is no such file or run; check the path")
    for number, row in enumerate(read_jsonl(path), start=1):
        yield f"line {number}", Recording.from_json(row, f"{path}, line {number}")


def _of_stored(path: Path, last: bool = False) -> Iterator[tuple[str, Recording]]:
    """The trajectories of a run or an evaluation as recordings; with ``last``, those of the run's last step."""
    episodes = open_episodes(path)
    configure_sandbox(episodes.sandbox)
    of_groups = {label: spec.build().rubric.group_labels for label, spec in episodes.specs.items()}
    for stored in episodes.read(last):
        made = stored.trajectory
        replies = {
            agent: tuple(message["content"] for message in messages if is_reply(message))
            for agent, messages in made.messages.items()
        }
        step = f"step {stored.step}, " if stored.step else ""
        alone = made.with_rewards(
            {
                agent: replace(
                    reward, components=tuple(p for p in reward.components if p.label not in of_groups[made.environment])
                )
                for agent, reward in made.rewards.items()
            }
        )
        recording = Recording(
            episodes.specs[made.environment], episodes.seed(stored), made.task, replies, outcome(alone)
        )
        yield f"{step}trajectory {stored.group}/{stored.attempt}", recording


def _of_players(spec: EnvironmentSpec, tasks: int) -> Iterator[Recording]:
    configure_sandbox(SandboxSettings())
    environment = spec.build()
    rng = random.Random(0)
    splits = environment.splits
    drawn = [
        task
        for number, split in enumerate(splits, start=1)
        for task in itertools.islice(tasks_of(environment, split, 0), (tasks + len(splits) - number) // len(splits))
    ]
    for number, task in enumerate(drawn):
        perfect = scripts(environment, environment.demonstration(task))
        yield Recording(spec, (0, number), task, perfect)
        yield Recording(spec, (1, number), task, {agent: random_reply(said, rng) for agent, said in perfect.items()})


def _built(spec: EnvironmentSpec, built: dict[str, Environment]) -> Environment:
    """The environment of ``spec``, built once for all recordings with an equal one."""
    key = json.dumps([spec.use, spec.label, spec.config, spec.weights], sort_keys=True, default=str)
    if key not in built:
        built[key] = spec.build()
    return built[key]


def _differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """The differences, each with its place."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(name for name in now if name not in before)]:
            yield from _differences(
                before.get(name, _NOTHING), now.get(name, _NOTHING), f"{place}.{name}" if place else name
            )
    elif isinstance(before, list) and isinstance(now, list):
        for number, (was, has) in enumerate(itertools.zip_longest(before, now, fillvalue=_NOTHING)):
            yield from _differences(was, has, f"{place}[{number}]")
    elif (
        before is _NOTHING or now is _NOTHING or json.dumps(before) != json.dumps(now)
    ):  # 1, 1.0 and true are different
        yield f"{place}: {_shown(before)} → {_shown(now)}"


_NOTHING = object()


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
