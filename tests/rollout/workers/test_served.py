"""Programs that reach the policy over HTTP from a sandbox without a network, as a worker plays them."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lachesis.environments.agent_program.environment import AgentProgram
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import AgentConfig, RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order, Outcome
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.errors import EngineError, LachesisError
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import shared_sandbox
from lachesis.verifiers.trajectory import StopReason

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process sandbox needs Linux")

CLIENT = """
import json, os, sys, urllib.request, urllib.error

def ask(*messages):
    body = json.dumps({"model": "policy", "messages": list(messages)}).encode()
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
    try:
        return json.load(urllib.request.urlopen(request))["choices"][0]["message"]
    except urllib.error.HTTPError as error:
        print("refused:", error.code, json.load(error)["error"]["message"])
        sys.exit(3)

def user(text):
    return {"role": "user", "content": text}

"""


class Table:
    """A worker, its scripted engine, and what the engine sampled."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.tokenizer = build_tiny_tokenizer()
        self.sampled: list[list[int]] = []
        self.engine = ScriptedEngine(self._script, context=4096)
        made = {"path": tmp_path, "command": ["{python}", "agent.py", "{task}"], "seconds": 30.0}
        self.environment = AgentProgram(**{**made, **settings})
        sandbox = SandboxSettings(backend="process")
        config = RolloutConfig(inline=True, retries=0)
        self.worker = GroupWorker([], self.engine, Renderer(self.tokenizer), config, context=4096, sandbox=sandbox)
        self.worker.environments = [self.environment]

    def _script(self, request: Request) -> list[int]:
        if "break" in self.tokenizer.decode(request.prompt):
            raise EngineError("the engine is broken")
        text = f"reply {len(self.sampled)}"
        self.sampled.append([*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id])
        return self.sampled[-1]

    async def run(self, program: str, attempts: int = 1, **row: Any) -> Outcome:
        row = {"prompt": "the task", "answer": "reply 1", "files": {"agent.py": CLIENT + program}, **row}
        task = self.environment.task_of(row)
        assert task is not None
        order = Order(0, 0, task, attempts, (0, 0), Sampling(max_tokens=32))

        try:
            return (await self.worker.run([order]))[0]
        finally:
            await self.worker.close()

    def play(self, program: str, attempts: int = 1, **row: Any) -> Outcome:
        return asyncio.run(self.run(program, attempts, **row))


def test_a_program_in_the_sandbox_talks_to_the_policy_and_its_tokens_are_exact(tmp_path: Path) -> None:
    table = Table(tmp_path)
    outcome = table.play("""
first = ask(user(sys.argv[1]))
print(ask(user(sys.argv[1]), first, user("again"))["content"])
""")
    assert isinstance(outcome, Group), outcome
    (trajectory,) = outcome.trajectories
    (segment,) = trajectory.segments
    assert segment.tokens[np.flatnonzero(segment.mask)].tolist() == [*table.sampled[0], *table.sampled[1]]
    assert [message["role"] for message in trajectory.messages["policy"]] == ["user", "assistant"] * 2
    assert trajectory.metrics["turns"] == trajectory.metrics["gateway/calls"] == 2
    assert trajectory.artifacts["program"]["stdout"] == "reply 1\n"
    assert trajectory.artifacts["model"]["policy"]["untrained"] == {}
    assert trajectory.rewards["policy"].total == 1.0


@pytest.mark.slow
def test_a_program_in_a_container_reaches_the_policy_too(tmp_path: Path) -> None:
    try:
        shared_sandbox(backend="docker")
    except LachesisError as error:
        pytest.skip(f"no Docker sandbox: {error}")
    table = Table(tmp_path, image="lachesis-sandbox", parallel=2)
    outcome = table.play('ask(user("a"))\nprint(ask(user("b"))["content"])')
    assert isinstance(outcome, Group), outcome
    assert outcome.trajectories[0].artifacts["program"]["stdout"] == "reply 1\n"


def test_a_model_behind_a_url_plays_too_and_its_conversation_is_recorded(tmp_path: Path, endpoint: Any) -> None:
    table = Table(tmp_path)

    async def run() -> Outcome:
        async with endpoint("reply 1") as (url, _):
            table.worker._agents = [{"policy": AgentConfig(url=url, model="elsewhere")}]
            return await table.run('print(ask(user("hello"))["content"])')

    outcome = asyncio.run(run())
    assert isinstance(outcome, Group), outcome
    (trajectory,) = outcome.trajectories
    assert [message["content"] for message in trajectory.messages["policy"]] == ["hello", "reply 1"]
    assert trajectory.segments == ()
    assert trajectory.rewards["policy"].total == 1.0


def test_the_key_is_in_no_record(tmp_path: Path) -> None:
    program = """
key = os.environ["OPENAI_API_KEY"]
print(key, file=sys.stderr); print(key); open("key.txt", "w").write(key)
open("key.bin", "wb").write(bytes([255]) + key.encode())
print(ask(user("my key is " + key))["content"])
"""
    outcome = Table(tmp_path).play(program, keep=["key.txt", "key.bin"])
    assert isinstance(outcome, Group), outcome
    (trajectory,) = outcome.trajectories
    record = json.dumps([dict(trajectory.artifacts), [dict(m) for m in trajectory.messages["policy"]]])
    assert "sk-lachesis-" not in record
    assert "<redacted>" in trajectory.artifacts["program"]["stdout"]


def test_a_call_beyond_the_limit_of_turns_is_refused_and_ends_the_episode_as_turns(tmp_path: Path) -> None:
    table = Table(tmp_path, limits={"turns": 1, "seconds": 60.0})
    outcome = table.play('ask(user("a"))\nask(user("b"))\n')
    assert isinstance(outcome, Group), outcome
    (trajectory,) = outcome.trajectories
    assert trajectory.stop is StopReason.TURNS
    assert "refused: 403 this episode has had its 1 turns" in trajectory.artifacts["program"]["stdout"]
    assert len(table.sampled) == 1


def test_an_episode_whose_engine_failed_is_not_scored(tmp_path: Path) -> None:
    outcome = Table(tmp_path).play('ask(user("break"))')
    assert not isinstance(outcome, Group)
    assert "the engine is broken" in outcome.reason


def test_a_program_that_ends_before_it_asks_the_model_is_a_failure_with_what_it_said(tmp_path: Path) -> None:
    outcome = Table(tmp_path).play("sys.exit('no model is configured')")
    assert not isinstance(outcome, Group)
    assert "exit code 1 before it asked the model; it said: no model is configured" in outcome.reason


@pytest.mark.slow
def test_a_program_that_hangs_forks_or_dies_harms_only_its_own_episode(tmp_path: Path) -> None:
    table = Table(tmp_path, seconds=4.0, processes=16, parallel=4)
    outcome = table.play(
        """
number = int(ask(user(sys.argv[1]))["content"].split()[1])
if number == 0:
    while True: pass
if number == 1:
    os.kill(os.getppid(), 9)
if number == 2:
    try:
        while True: os.fork() or os.pause()
    except (OSError, AttributeError):
        sys.exit(1)
ask(user("reply 1"))
""",
        attempts=4,
    )
    assert isinstance(outcome, Group), outcome
    ended = sorted(trajectory.artifacts["program"]["ended"] for trajectory in outcome.trajectories)
    assert ended == ["exit", "exit", "killed", "seconds"]
