"""The shipped environments with several turns: in crowds, with players of all kinds, and with a tiny model."""

import asyncio
import json
import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.chat import ScriptedPolicy
from lachesis.environments.environment import endless, scripts
from lachesis.environments.loading import describe
from lachesis.environments.play import play
from lachesis.trainer import train as main_job
from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.verifiers.trajectory import StopReason, Trajectory

NAMES = ("calculator", "sql", "tic_tac_toe")
NONSENSE = (
    "",
    "7",
    "<tool_call>",
    '<tool_call>{"name": "calculate", "arguments": {"expression": "1+1"}}</tool_call>',
    '<tool_call>{"name": "query", "arguments": {"sql": "SELECT * FROM sqlite_master"}}</tool_call>',
    '<tool_call>{"name": "query", "arguments": {"sql": "ATTACH \'x\' AS y"}}</tool_call>',
    '<tool_call>{"name": "nothing", "arguments": {}}</tool_call>' * 30,
    "<think>",
    "\ud800 \x00 <|im_end|>",
    "[" * 5000,
)


@pytest.mark.parametrize("name", NAMES)
def test_200_episodes_at_once_each_end_with_a_reason_and_a_reward(name: str) -> None:
    environment = describe(name).build()
    tasks = list(islice(endless(environment, "train", 0), 200))
    rng = random.Random(0)

    async def one(number: int) -> Trajectory:
        said = scripts(environment, environment.demonstration(tasks[number]))
        if number % 2:
            said = {agent: tuple(rng.choices(NONSENSE, k=12)) for agent in environment.agents}
        policies = {agent: ScriptedPolicy(script) for agent, script in said.items()}
        return await environment.score_trajectory(
            await play(environment, tasks[number], policies, (number,), inline=True)
        )

    async def all_of_them() -> list[Trajectory]:
        return await asyncio.gather(*map(one, range(200)))

    played = asyncio.run(all_of_them())
    assert all(trajectory.scored for trajectory in played), [t.error for t in played if t.error]
    stops = Counter(trajectory.stop for trajectory in played)
    assert set(stops) <= {StopReason.DONE, StopReason.TURNS, StopReason.TOOL_CALLS}
    assert sum(stops.values()) == 200
    if name != "tic_tac_toe":
        assert [t.rewards["policy"].total for t in played[::2]] == [1.0] * 100
        assert sum(t.rewards["policy"].total for t in played[1::2]) <= 5


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_model_learns_from_it_on_a_cpu(name: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"calculator": {"digits": 1, "operators": 1, "show_tools": False}}
    config = RunConfig.model_validate(
        {
            "out": str(tmp_path),
            "environments": [{"use": name, "group_size": 4, "config": settings.get(name, {})}],
            "model": {"path": "tiny", "context": 1536, "tiny": {"hidden": 32, "layers": 1}},
            "rollout": {"inline": True, "slots": 8, "sampling": {"max_tokens": 8}},
            "warm_start": {"steps": 2, "batch": 4, "every": 2},
            "trainer": {"steps": 1, "prompts": 2},
            "eval": {"tasks": 2},
        }
    )
    folder = RunFolder.create(config)
    try:
        summary = asyncio.run(main_job.train(config, config.build_environments(), folder, Progress(1, quiet=True)))
    finally:
        folder.close()
    assert summary["steps"] == 1
    rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["warm_start/loss"] > rows[1]["warm_start/loss"] > 0
    assert summary["tokens_generated"] > 0
