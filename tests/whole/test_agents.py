"""Real agent programs, unmodified, from their own virtual environments: played in the sandbox, and exact in tokens."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lachesis.environments.agent_program.environment import AgentProgram
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_model, build_tiny_tokenizer
from lachesis.rollout.orders import Order, Outcome
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.trajectory import Trajectory

HERMES = os.environ.get("LACHESIS_HERMES_PYTHON", "")
MINI = os.environ.get("LACHESIS_MINI_SWE_PYTHON", "")
CONTEXT = 1 << 17
CONFIG = """
model: {default: policy, provider: custom, base_url: "{url}/v1", api_key: "{key}"}
"""


def scripted(environment: AgentProgram, row: dict[str, Any], says: list[str]) -> tuple[Trajectory, list[list[int]]]:
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
    task = environment.task_of(row)
    assert task is not None
    order = Order(0, 0, task, 1, (0, 0), Sampling(max_tokens=512))

    async def run() -> Outcome:
        try:
            return (await worker.run([order]))[0]
        finally:
            await worker.close()

    outcome = asyncio.run(run())
    assert isinstance(outcome, Group), outcome
    return outcome.trajectories[0], sampled


def program(python: str, name: str, *arguments: str, **settings: Any) -> AgentProgram:
    """The program ``name`` of the virtual environment of ``python``."""
    home = Path(python).parent.parent
    command = [str(home / "bin" / name), *arguments]
    return AgentProgram(path=".", command=command, folders=[home], memory=2048, seconds=300.0, **settings)


def check_exact(trajectory: Trajectory, sampled: list[list[int]]) -> None:
    """Every sampled id is trained exactly once, in the order in which it was sampled."""
    trained = [segment.tokens[np.flatnonzero(segment.mask)].tolist() for segment in trajectory.segments]
    assert list(itertools.chain(*trained)) == list(itertools.chain(*sampled))
    proof = trajectory.artifacts["model"]["policy"]
    assert (proof["sampled"], proof["untrained"]) == (sum(map(len, sampled)), {})


@pytest.mark.skipif(not HERMES or sys.platform != "linux", reason="LACHESIS_HERMES_PYTHON is not set; see make agents")
def test_hermes_agent_calls_its_terminal_in_the_sandbox_and_every_sampled_token_is_trained() -> None:
    environment = program(
        HERMES,
        "hermes",
        *("-z", "{task}", "-m", "{model}", "--yolo", "--cli"),
        templates={"~/.hermes/config.yaml": CONFIG},
        answer_from="out.txt",
    )
    call = {"name": "terminal", "arguments": {"command": "pwd > out.txt; id -u; echo héllo"}}
    says = [f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>", "It is done."]
    row = {"prompt": "Write the working folder into out.txt.", "answer": "/box/work\n", "keep": ["out.txt"]}
    trajectory, sampled = scripted(environment, row, says)
    assert trajectory.artifacts["program"]["stdout"] == "It is done.\n"
    (result,) = [message["content"] for message in trajectory.messages["policy"] if message["role"] == "tool"]
    assert json.loads(result)["exit_code"] == 0
    assert "héllo" in json.loads(result)["output"]
    assert trajectory.rewards["policy"].total == 1.0
    check_exact(trajectory, sampled)


@pytest.mark.skipif(not MINI or sys.platform != "linux", reason="LACHESIS_MINI_SWE_PYTHON is not set; see make agents")
def test_mini_swe_agent_runs_a_command_in_the_sandbox_and_every_sampled_token_is_trained() -> None:
    environment = program(
        MINI,
        "mini",
        *("-m", "openai/{model}", "-t", "{task}", "-y", "--exit-immediately", "-l", "0"),
        variables={"MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors"},
        answer_from="out.txt",
    )
    row = {"prompt": "Write 42 into out.txt.", "answer": "42\n", "keep": ["out.txt"]}

    def call(command: str) -> str:
        return f"<tool_call>\n{json.dumps({'name': 'bash', 'arguments': {'command': command}})}\n</tool_call>"

    says = [call("echo 42 > out.txt"), call("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")]
    trajectory, sampled = scripted(environment, row, says)
    assert trajectory.rewards["policy"].total == 1.0
    assert len(sampled) == 2
    check_exact(trajectory, sampled)


LETTERS = """
[model]
path = "MODEL"
context = 4096
[[environments]]
use = "ENVIRONMENT"
group_size = 8
config = { parallel = 4 }
[rollout]
engine = "torch"
inline = true
deadline = 1200.0
sampling = { max_tokens = 8 }
[warm_start]
steps = 150
batch = 32
lr = 3e-3
[trainer]
steps = 8
prompts = 1
lr = 1e-2
[eval]
every = 4
tasks = 4
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not HERMES or sys.platform != "linux", reason="LACHESIS_HERMES_PYTHON is not set; see make agents")
def test_a_tiny_model_is_trained_through_hermes_agent(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=4096)
    environment = Path(__file__).with_name("hermes_letters.py")
    (tmp_path / "run.toml").write_text(LETTERS.replace("MODEL", str(model)).replace("ENVIRONMENT", str(environment)))
    command = [
        sys.executable,
        "-m",
        "lachesis.commands.cli",
        "train",
        str(tmp_path / "run.toml"),
        "--out",
        str(tmp_path),
    ]
    subprocess.run(command, check=True, timeout=3000)
    (metrics,) = tmp_path.glob("*/metrics.jsonl")
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    held_out = [row["heldout/reward"] for row in rows if "heldout/reward" in row]
    assert held_out[-1] > held_out[0] + 0.3, held_out
