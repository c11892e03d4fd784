"""OpenEnv's protocol, against a server that follows its code (openenv-core 0.3.0), and against the real one."""

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from lachesis.environments.loading import describe
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.trajectory import StopReason, Trajectory

from ...ports import free_port

PYTHON = os.environ.get("LACHESIS_OPENENV_PYTHON", "")

SERVER = '''
import sys
import uvicorn
from fastmcp import FastMCP
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
from openenv.core.env_server.types import Action, Observation, State


class Guess(Action):
    digits: str

class Seen(Observation):
    text: str

class Lock(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True
    def reset(self, seed=None, episode_id=None, **more):
        self.code = f"{seed % 10}42"
        return Seen(text=f"open the lock {self.code[0]}..", done=False, reward=None)
    def step(self, action, timeout_s=None, **more):
        if action.digits == "boom":
            raise RuntimeError("jammed")
        right = sum(a == b for a, b in zip(action.digits, self.code))
        return Seen(text=f"{right} are right", done=action.digits == self.code, reward=right / 4)
    @property
    def state(self):
        return State()

class Tools(MCPEnvironment):
    SUPPORTS_CONCURRENT_SESSIONS = True
    def __init__(self):
        mcp = FastMCP("tools")
        @mcp.tool
        def double(number: int) -> int:
            """Twice the number."""
            return 2 * number
        super().__init__(mcp)
    def reset(self, seed=None, episode_id=None, **more):
        return Observation(done=False, reward=0.0)
    def _step_impl(self, action, timeout_s=None, **more):
        return Observation(done=False, reward=0.0)
    @property
    def state(self):
        return State()

port, kind = int(sys.argv[1]), sys.argv[2]
made = (Lock, Guess, Seen) if kind == "lock" else (Tools, CallToolAction, CallToolObservation)
uvicorn.run(create_app(*made, env_name=kind, max_concurrent_envs=1), port=port, log_level="error")
'''


def error(code: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "data": {"message": message, "code": code}}


def observation(reward: Any, done: bool = False, **seen: Any) -> dict[str, Any]:
    return {"type": "observation", "data": {"observation": seen, "reward": reward, "done": done}}


def answer(message: dict[str, Any], state: dict[str, Any]) -> dict[str, Any] | None:
    """What the real server answers, for the environment of SERVER, and some things that a bad one would."""
    data = message.get("data", {})
    match message["type"], data:
        case "state", _:
            return {"type": "state", "data": {}}
        case "close", _:
            return None
        case "reset", {"seed": seed}:
            state["code"] = f"{seed % 10}42"
            return observation(None, text=f"open the lock {seed % 10}..")
        case _, {"type": "list_tools"}:
            tool = {"name": "double", "description": "Twice the number.", "input_schema": {"type": "object"}}
            return observation(None, tools=[tool])
        case _, {"type": "call_tool", "arguments": {"number": int(number)}}:
            content = [{"type": "text", "text": str(2 * number)}]
            return observation(number / 10, number == 9, tool_name="double", result={"content": content}, error=None)
        case _, {"type": "call_tool"}:
            return error("EXECUTION_ERROR", "jammed")
        case _, {"digits": "boom"}:
            return error("EXECUTION_ERROR", "jammed")
        case _, {"digits": "nan"}:
            return observation("much", text="")
        case _, {"digits": "mute"}:
            return {}
        case _, {"digits": "bye"}:
            return None
        case _, {"digits": str(digits)}:
            right = sum(a == b for a, b in zip(digits, state["code"], strict=False))
            return observation(right / 4, digits == state["code"], text=f"{right} are right")
    return error("VALIDATION_ERROR", "Invalid message")


class Server:
    """A server with room for one session; ``full`` sessions are turned away first."""

    def __init__(self, full: int = 0) -> None:
        self.full, self.open = full, 0

    async def session(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        if self.full:
            self.full -= 1
            await ws.send_json(error("CAPACITY_REACHED", "1 of 1 sessions"))
            await ws.close()
            return ws
        self.open += 1
        state: dict[str, Any] = {}
        async for message in ws:
            told = answer(json.loads(message.data), state) if message.type is WSMsgType.TEXT else None
            if told is None:
                break
            if told:
                await ws.send_json(told)
        self.open -= 1
        await ws.close()
        return ws

    async def play(self, replies: list[str], config: dict[str, Any]) -> Trajectory:
        app = web.Application()
        app.router.add_get("/ws", self.session)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            return await attempt(f"http://127.0.0.1:{port}", replies, config)
        finally:
            await runner.cleanup()


async def attempt(url: str, replies: list[str], config: dict[str, Any]) -> Trajectory:
    settings = {"url": url, "action": "digits", "observation": "text", "deadline": 60.0, **config}
    if settings.get("mcp"):
        settings["observation"] = ""
    environment = describe("openenv", config=settings).build()
    return await environment.attempt(next(iter(environment.tasks("test", 0))), replies)


def play(replies: list[str], server: Server | None = None, **config: Any) -> Trajectory:
    return asyncio.run((server or Server()).play(replies, config))


def told(trajectory: Trajectory, role: str = "user") -> list[str]:
    return [message["content"] for message in trajectory.messages["policy"] if message["role"] == role]


def check_lock(played: Trajectory) -> None:
    assert told(played) == ["Three digits.\n\nopen the lock 0..", "1 are right"]
    assert (played.stop, played.rewards["policy"].total) == (StopReason.DONE, 1.0)
    assert played.rewards["policy"].components[0].verdict.steps == (0.25, 0.75)


def check_tools(played: Trajectory) -> None:
    assert told(played, "tool") == ["8"]
    assert played.stop is StopReason.DONE
    assert played.completion() == "It is 8."


CALL = '<tool_call>{"name": "double", "arguments": {"number": NUMBER}}</tool_call>'


def test_replies_are_actions_and_the_rewards_of_all_steps_add_up() -> None:
    check_lock(play(["000", "042"], instruction="Three digits."))


def test_a_reply_may_be_the_whole_action_as_json() -> None:
    played = play(["042", '{"digit": 1}', '{"digits": "042"}'], action="")
    assert told(played)[1].startswith("Error: the reply must be one JSON object")
    assert "VALIDATION_ERROR" in told(played)[2]
    assert played.rewards["policy"].total == 0.75


def test_the_policy_calls_the_servers_tools_until_it_answers_or_the_server_is_done() -> None:
    played = play([CALL.replace("NUMBER", "4"), "It is 8."], mcp=True)
    check_tools(played)
    assert played.rewards["policy"].total == pytest.approx(0.4)
    done = play([CALL.replace("NUMBER", "9"), "never said"], mcp=True)
    assert (told(done, "tool"), done.stop) == (["18"], StopReason.DONE)


def test_an_episode_without_a_step_earns_nothing_and_is_a_failure() -> None:
    for config in ({"mcp": True}, {"action": "", "limits": {"turns": 1}}):
        reward = play(["No."], success=0.5, **config).rewards["policy"]
        assert (reward.total, reward.success) == (0.0, False)


@pytest.mark.parametrize(
    ("replies", "config", "stop", "says"),
    [
        (["boom"], {}, StopReason.ENVIRONMENT_ERROR, "EXECUTION_ERROR: jammed"),
        ([CALL.replace("NUMBER", '"x"')], {"mcp": True}, StopReason.ENVIRONMENT_ERROR, "EXECUTION_ERROR: jammed"),
        (["nan"], {}, StopReason.ENVIRONMENT_ERROR, "must be a finite number, found 'much'"),
        (["1"], {"action": "number"}, StopReason.ENVIRONMENT_ERROR, "check config.action"),
        (["1"], {"observation": "prompt"}, StopReason.ENVIRONMENT_ERROR, "no 'prompt'"),
        (["mute"], {"deadline": 0.3}, StopReason.INFRA_ERROR, "no answer to step within 0.3 s"),
        (["bye"], {}, StopReason.INFRA_ERROR, "closed the connection"),
    ],
)
def test_a_fault_of_the_other_side_is_never_a_score(
    replies: list[str], config: dict[str, Any], stop: StopReason, says: str
) -> None:
    played = play(replies, **config)
    assert played.stop is stop
    assert says in str(played.error)
    assert not played.scored


def test_a_server_without_room_is_asked_again() -> None:
    server = Server(full=2)
    assert play(["042"], server).rewards["policy"].total == 0.75
    assert server.open == 0


def test_a_server_that_never_has_room_or_is_not_there_is_an_infrastructure_failure() -> None:
    full = play(["042"], Server(full=99), deadline=0.7)
    assert full.stop is StopReason.INFRA_ERROR
    assert "1 of 1 sessions" in str(full.error)
    absent = asyncio.run(attempt("http://127.0.0.1:9", ["042"], {}))
    assert absent.stop is StopReason.INFRA_ERROR


def test_seeds_decide_the_tasks_and_held_out_seeds_are_never_trained_on() -> None:
    environment = describe("openenv", config={"url": "http://nowhere", "test_tasks": 3}).build()
    tested = {task.info["seed"] for task in environment.tasks("test", 1)}
    assert tested == {0, 1, 2}
    assert not tested & {task.info["seed"] for task in islice(environment.tasks("train", 1), 50)}
    with pytest.raises(ConfigError, match="'url'"):
        describe("openenv", config={"url": "localhost:8000"}).build()


@pytest.fixture(params=["lock", "tools"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    if not PYTHON:
        pytest.skip("openenv-core is not installed: make interop")
    (tmp_path / "server.py").write_text(SERVER)
    port = free_port()
    process = subprocess.Popen([PYTHON, "server.py", str(port), request.param], cwd=tmp_path)
    try:
        for _ in range(900):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", request.param
    finally:
        process.kill()
        process.wait()


def test_the_real_server_is_played(real: tuple[str, str]) -> None:
    url, kind = real
    if kind == "lock":
        check_lock(asyncio.run(attempt(url, ["000", "042"], {"instruction": "Three digits."})))
        assert "VALIDATION_ERROR" in str(asyncio.run(attempt(url, ["1"], {"action": "number"})).error)
        assert "jammed" in str(asyncio.run(attempt(url, ["boom"], {})).error)

        async def two_at_once() -> list[Trajectory]:
            return await asyncio.gather(*(attempt(url, ["042"], {}) for _ in range(2)))

        assert [played.rewards["policy"].total for played in asyncio.run(two_at_once())] == [0.75, 0.75]
    else:
        check_tools(asyncio.run(attempt(url, [CALL.replace("NUMBER", "4"), "It is 8."], {"mcp": True})))
