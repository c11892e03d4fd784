"""A toy task that a tiny model learns through hermes-agent: reply with lower-case letters, in one turn."""

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
        """The share of the reply's characters that are lower-case letters.

        A reply of a random model seldom ends by itself. Hermes Agent then asks for more, which the limit of one turn
        refuses.
        """
        said = case.completion
        return sum(character.isascii() and character.islower() for character in said) / max(8, len(said))

    solved = None  # type: ignore[assignment] - the base's reward, which needs answers

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """Words that do not matter; the two splits share none."""
        rng = random.Random(f"{split} {seed if split == 'train' else 0}")
        tasks = (Task(f"{split}: say {rng.randrange(10**6)}") for _ in itertools.count())
        yield from tasks if split == "train" else itertools.islice(tasks, 6)
