"""Agent programs in containers of their task's image have the policy as their model, with exact tokens."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lachesis.environments.harbor.environment import Harbor
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order, Outcome
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.trajectory import Trajectory

from .conftest import FILES, total

MakeTask = Callable[..., Path]
HERMES = os.environ.get("LACHESIS_HERMES_PYTHON", "")
CONTEXT = 1 << 17
AGENT = """
import json, os, sys, urllib.request
body = {"model": sys.argv[1], "messages": [{"role": "user", "content": sys.argv[2]}], "max_tokens": 64}
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    json.dumps(body).encode(),
    {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"},
)
said = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
open("out.json", "w").write(said)
print(said)
"""


def scripted(environment: Harbor, says: list[str]) -> tuple[Trajectory, list[list[int]]]:
    """The episode in which the model says ``says``, and the ids of each of its replies."""
    tokenizer = build_tiny_tokenizer()
    sampled: list[list[int]] = []

    def script(request: Request) -> list[int]:
        text = says[min(len(sampled), len(says) - 1)]
        sampled.append([*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id])
        return sampled[-1]

    engine, config = ScriptedEngine(script, context=CONTEXT), RolloutConfig(inline=True, retries=0)
    worker = GroupWorker([], engine, Renderer(tokenizer), config, context=CONTEXT, sandbox=SandboxSettings())
    worker.environments = [environment]
    (task,) = environment.tasks("train", 0)
    order = Order(0, 0, task, 1, (0, 0), Sampling(max_tokens=512))

    async def run() -> Outcome:
        try:
            return (await worker.run([order]))[0]
        finally:
            await worker.close()

    outcome = asyncio.run(run())
    assert isinstance(outcome, Group), outcome
    return outcome.trajectories[0], sampled


def check_exact(trajectory: Trajectory, sampled: list[list[int]]) -> None:
    """Every sampled id is trained exactly once, in the order in which it was sampled."""
    trained = [segment.tokens[np.flatnonzero(segment.mask)].tolist() for segment in trajectory.segments]
    assert list(itertools.chain(*trained)) == list(itertools.chain(*sampled))


def test_what_the_policy_says_reaches_the_program_and_is_trained_exactly(make_task: MakeTask) -> None:
    command = ["{python}", "-c", AGENT, "{model}", "{task}"]
    environment = Harbor(path=make_task(), command=command, held_out=0.0, docker=True)
    trajectory, sampled = scripted(environment, ["[1, 2, 3, 7, 12, 40, 1000000]"])
    assert total(trajectory) == 1.0, trajectory.artifacts
    assert trajectory.messages["policy"][0]["content"] == "Sort /app/numbers.json into /app/out.json.\n"
    check_exact(trajectory, sampled)


@pytest.mark.slow
@pytest.mark.skipif(not HERMES or sys.platform != "linux", reason="LACHESIS_HERMES_PYTHON is not set; see make agents")
def test_hermes_agent_works_in_the_tasks_container_and_every_sampled_token_is_trained(make_task: MakeTask) -> None:
    home = Path(HERMES).parent.parent
    config = 'model: {default: policy, provider: custom, base_url: "{url}/v1", api_key: "{key}"}\n'
    environment = Harbor(
        path=make_task(),
        command=[str(home / "bin" / "hermes"), "-z", "{task}", "-m", "{model}", "--yolo", "--cli"],
        templates={"~/.hermes/config.yaml": config},
        folders=[home, Path(sys.base_prefix)],
        held_out=0.0,
        docker=True,
        seconds=300.0,
    )
    work = FILES["solution/solve.sh"].splitlines()[1]
    call = {"name": "terminal", "arguments": {"command": work}}
    says = [f"<tool_call>{json.dumps(call)}</tool_call>", "Done."]
    trajectory, sampled = scripted(environment, says)
    assert total(trajectory) == 1.0, trajectory.artifacts
    check_exact(trajectory, sampled)
