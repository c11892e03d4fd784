"""A pool whose agents are all played through URLs opens no engine, and everything else is as with one."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

TEAM = """
import sys
from lachesis import Environment, Rubric, Task, group_reward, reward

class Team(Environment):
    agents = ("asker", "answerer")

    def tasks(self, split, seed):
        return [Task(f"question {n}", answer="yes") for n in range(5)]

    async def run(self, episode):
        for agent in self.agents:
            chat = episode.chat(agent)
            chat.add("user", episode.task.prompt)
            await chat.reply()
        episode.artifacts["heavy"] = sorted({"torch", "transformers"} & set(sys.modules))
        if episode.task.prompt == "question 1" and not getattr(self, "failed", False):
            self.failed = True
            raise RuntimeError("the first try of question 1 fails")

    @reward(agent="asker")
    def yes(self, case) -> float:
        return float(case.completion == "yes")

    @group_reward(weight=0.5, agent="asker")
    def together(self, cases) -> list[float]:
        return [float(len(cases))] * len(cases)
"""

SCRIPT = """
import asyncio, json, sys
from lachesis.environments.loading import describe
from lachesis.rollout.config import AgentConfig, ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.evaluation import evaluate
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.rollout.workers.pool import PoolSpec

async def main():
    team = dict.fromkeys(("asker", "answerer"), AgentConfig(url={url!r}, model="m"))
    config = RolloutConfig(inline={inline}, workers=1, retries=2)
    environment = describe({file!r})
    spec = PoolSpec(ModelConfig(path="no such folder"), config, (environment,), agents=(team,))
    pool = open_pool(spec)
    try:
        tasks = enumerate(environment.build().tasks("test", 0))
        outcomes = [one async for one in evaluate(pool, 0, tasks, sampling=Sampling(), attempts=2)]
        infos = await pool.infos()
    finally:
        await pool.close()
    groups = [
        [one.attempts, [[t.artifacts["heavy"], sorted(t.rewards), t.rewards["asker"].total] for t in one.trajectories]]
        for one in sorted(outcomes, key=lambda one: one.index)
    ]
    heavy = sorted({{"torch", "transformers"}} & set(sys.modules))
    print(json.dumps({{"infos": len(infos), "groups": groups, "heavy": heavy}}))

asyncio.run(main())
"""


@pytest.mark.parametrize("inline", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_agents_behind_urls_are_retried_and_rewarded_as_groups_without_an_engine_model_or_torch(
    endpoint: Any, tmp_path: Path, inline: bool
) -> None:
    file = tmp_path / "team.py"
    file.write_text(TEAM)

    async def session() -> tuple[Any, list[Any]]:
        async with endpoint("yes") as (url, asked):
            script = SCRIPT.format(url=url, inline=inline, file=str(file))
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=pipe, stderr=pipe)
            out, errors = await asyncio.wait_for(process.communicate(), 100)
            assert process.returncode == 0, errors.decode()
            return json.loads(out.splitlines()[-1]), asked

    found, asked = asyncio.run(session())
    assert found["infos"] == 0
    assert found["heavy"] == []
    assert [group[0] for group in found["groups"]] == [[0, 1]] * 5
    attempts = [attempt for group in found["groups"] for attempt in group[1]]
    assert attempts == [[[], ["answerer", "asker"], 2.0]] * 10
    assert len(asked) >= 22  # two agents of ten attempts, and of one that was made again
