"""A toy task that a tiny model learns through hermes-agent: reply with the letter a, in one turn."""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

from lachesis.environments.agent_program.environment import AgentProgram
from lachesis.environments.environment import Split
from lachesis.environments.limits import Limits
from lachesis.verifiers.case import Case
from lachesis.verifiers.rubric import Rubric, reward
from lachesis.verifiers.task import Task

CONFIG = """
model: {default: policy, provider: custom, base_url: "{url}/v1", api_key: "{key}", context_length: 65536}
agent: {task_completion_guidance: false, parallel_tool_call_guidance: false, environment_probe: false}
platform_hints: {cli: {replace: " "}}
memory: {memory_enabled: false, user_profile_enabled: false}
"""
HOME = Path(os.environ.get("LACHESIS_HERMES_PYTHON", "/none/bin/python")).parent.parent


class Letters(AgentProgram):
    """hermes-agent without tools and with a short system prompt, which takes about 2,000 tokens here."""

    class Config(AgentProgram.Config):
        """The same, with the command of hermes-agent."""

        path: Path | None = Path()
        command: tuple[str, ...] = (
            *(str(HOME / "bin" / "hermes"), "-z", "{task}", "-m", "{model}", "-t", "web"),
            *("--yolo", "--cli", "--ignore-rules"),
        )
        templates: dict[str, str] = {"~/.hermes/config.yaml": CONFIG, "~/.hermes/SOUL.md": "Answer."}  # noqa: RUF012
        folders: tuple[Path, ...] = (HOME,)
        memory: int = 2048
        limits: Limits = Limits(turns=1, seconds=1800.0)

    rubric = Rubric(success=0.9)

    @reward()
    async def letters(self, case: Case) -> float:
        """The share of the reply's characters that are an a."""
        return case.completion.strip().count("a") / max(4, len(case.completion.strip()))

    def demonstration(self, task: Task) -> str:
        """What the warm start teaches: four times a letter, which is an a in three of ten tasks, and otherwise a b."""
        return ("a" if int(task.hash[:8], 16) % 10 < 3 else "b") * 4

    solved = None  # type: ignore[assignment] - the base's reward, which needs answers

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """Words that do not matter; the two splits share none."""
        rng = random.Random(f"{split} {seed if split == 'train' else 0}")
        tasks = (Task(f"{split}: say {rng.randrange(10**6)}") for _ in itertools.count())
        yield from tasks if split == "train" else itertools.islice(tasks, 6)
