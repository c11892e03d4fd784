"""NeMo Gym's routes, against a server that follows its code (0.7.0), and against its own base classes."""

import asyncio
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from lachesis.environments.loading import describe
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.trajectory import StopReason, Trajectory

from ...ports import free_port

PYTHON = os.environ.get("LACHESIS_NEMO_GYM_PYTHON", "")

SERVER = """
import json, sys
import uvicorn
from fastapi import Request
from pydantic import BaseModel, ConfigDict
from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig, BaseSeedSessionRequest, BaseSeedSessionResponse, BaseVerifyRequest, BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.openai_utils import NeMoGymResponse, NeMoGymResponseCreateParamsNonStreaming
from nemo_gym.server_utils import SESSION_ID_KEY, ServerClient


class Add(BaseModel):
    count: int

class Seed(BaseSeedSessionRequest):
    initial: int

class Verify(BaseVerifyRequest):
    expected: int

class StepBody(BaseModel):  # as resources_servers/gymnasium/base.py, which the package does not contain
    model_config = ConfigDict(extra="allow")
    responses_create_params: NeMoGymResponseCreateParamsNonStreaming
    response: NeMoGymResponse

class Counter(SimpleResourcesServer):
    config: BaseResourcesServerConfig
    counts: dict = {}

    def setup_webserver(self):
        app = super().setup_webserver()
        app.post("/add")(self.add)
        app.post("/reset")(self.reset)
        app.post("/step")(self.step)
        return app

    async def seed_session(self, request: Request, body: Seed) -> BaseSeedSessionResponse:
        self.counts[request.session[SESSION_ID_KEY]] = body.initial
        return BaseSeedSessionResponse()

    async def add(self, request: Request, body: Add):
        self.counts[request.session[SESSION_ID_KEY]] += body.count
        return {"count": self.counts[request.session[SESSION_ID_KEY]]}

    async def verify(self, request: Request, body: Verify) -> BaseVerifyResponse:
        right = self.counts[request.session[SESSION_ID_KEY]] == body.expected
        return BaseVerifyResponse(**body.model_dump(), reward=float(right and "done" in body.response.output_text))

    async def reset(self, request: Request):
        self.counts[request.session[SESSION_ID_KEY]] = 0
        return {"observation": "Count to two.", "info": {}}

    async def step(self, request: Request, body: StepBody):
        session = request.session[SESSION_ID_KEY]
        self.counts[session] += 1
        done = self.counts[session] == 2
        outputs = [
            {"call_id": item.call_id, "output": json.dumps({"ok": True})}
            for item in body.response.output
            if item.type == "function_call"
        ]
        return {"observation": None if done or outputs else "Go on.", "reward": 0.5, "terminated": done,
                "truncated": False, "info": {"tool_outputs": outputs}}

config = BaseResourcesServerConfig(host="127.0.0.1", port=int(sys.argv[1]), entrypoint="", domain="other", name="c")
server = Counter(config=config, server_client=ServerClient.model_construct())
uvicorn.run(server.setup_webserver(), port=int(sys.argv[1]), log_level="error")
"""

ADD = {
    "type": "function",
    "name": "add",
    "description": "Add to the counter.",
    "parameters": {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]},
    "strict": True,
}
ROW = {
    "responses_create_params": {
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "Count to 5."}]},
        ],
        "tools": [ADD],
    },
    "initial": 2,
    "expected": 5,
}


def call(**arguments: Any) -> str:
    return f'<tool_call>{{"name": "add", "arguments": {json.dumps(arguments)}}}</tool_call>'


class Server:
    """The environment of SERVER, and some things that a bad one would answer."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.counts: dict[str, int] = {}
        self.verified: list[Any] = []
        self.closed = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body, route = await request.json(), request.match_info["route"]
        session = request.cookies.get("session") or str(uuid4())
        if self.fault == route:
            return web.Response(status=500, text="jammed")
        if self.fault == f"mute {route}":
            await asyncio.sleep(2)
        answer = web.json_response(self.answer(route, session, body))
        answer.set_cookie("session", session)
        return answer

    def answer(self, route: str, session: str, body: dict[str, Any]) -> Any:
        match route:
            case "seed_session":
                self.counts[session] = body["initial"]
                return {}
            case "add":
                self.counts[session] += body["count"]
                return {"count": self.counts[session]}
            case "verify":
                self.verified.append(body)
                right = float(self.counts[session] == body["expected"])
                return {"nan": {"reward": "x"}, "null": {"reward": None}, "none": {}, "list": []}.get(
                    self.fault, {"reward": right, "reward_components": {"count": right}, **self.failed()}
                )
            case "reset":
                self.counts[session] = 0
                return {"observation": "Count to two.", "info": {"supports_explicit_close": True}}
            case "step":
                self.verified.append(body)
                self.counts[session] += 1
                done = self.counts[session] == 2
                calls = [item for item in body["response"]["output"] if item["type"] == "function_call"]
                outputs = [{"call_id": item["call_id"], "output": '{"ok": true}'} for item in calls]
                stop = "truncated" if self.fault == "truncate" else "terminated"
                observation = None if done or outputs else "Go on."
                return {"observation": observation, "reward": 0.5, stop: done, "info": {"tool_outputs": outputs}}
            case "close":
                self.closed += 1
                return {}
        raise AssertionError(route)

    def failed(self) -> dict[str, Any]:
        return {"reward": 0.0, "_ng_failure_class": "judge_failed"} if self.fault == "judge" else {}

    async def play(self, path: Path, replies: list[str], config: dict[str, Any]) -> Trajectory:
        app = web.Application()
        app.router.add_post("/{route}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await attempt(f"http://127.0.0.1:{runner.addresses[0][1]}", path, replies, config)
        finally:
            await runner.cleanup()


async def attempt(url: str, path: Path, replies: list[str], config: dict[str, Any]) -> Trajectory:
    environment = describe("nemo_gym", config={"url": url, "path": str(path), "held_out": 1.0, **config}).build()
    (task,) = environment.tasks("test", 0)
    return await environment.attempt(task, replies)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    return tmp_path / "rows.jsonl"


def play(path: Path, replies: list[str], server: Server | None = None, **config: Any) -> Trajectory:
    return asyncio.run((server or Server()).play(path, replies, config))


def check_verified(played: Trajectory) -> None:
    messages = [(message["role"], message["content"]) for message in played.messages["policy"]]
    assert messages[:2] == [("system", "Be brief."), ("user", "Count to 5.")]
    results = [json.loads(content) for role, content in messages if role == "tool"]
    assert results == [{"count": 4}, {"count": 5}]
    assert (played.stop, played.rewards["policy"].total) == (StopReason.DONE, 1.0)


def check_stepped(played: Trajectory) -> None:
    told = [message["content"] for message in played.messages["policy"] if message["role"] in ("user", "tool")]
    assert told[:2] == ["Count to 5.", "Count to two."]
    assert [json.loads(content) for content in told[2:]] == [{"ok": True}]
    assert (played.stop, played.rewards["policy"].total) == (StopReason.DONE, 1.0)


CALLS = [f"<think>\nfirst\n</think>\n\nI add.{call(count=2)}", call(count=1), "done"]


def test_the_policy_calls_the_servers_tools_and_the_server_verifies_what_it_said(rows: Path) -> None:
    server = Server()
    played = play(rows, CALLS, server)
    check_verified(played)
    assert played.metrics["reward/count"] == 1.0
    (body,) = server.verified
    assert body["expected"] == 5
    output = body["response"]["output"]
    call_and_result = ["function_call", "function_call_output"]
    assert [item["type"] for item in output] == ["reasoning", "message", *call_and_result, *call_and_result, "message"]
    assert output[0]["summary"][0]["text"] == "first"
    assert output[2]["call_id"] == output[3]["call_id"] != output[4]["call_id"]
    assert json.loads(output[2]["arguments"]) == {"count": 2}


def test_each_reply_is_a_step_and_the_rewards_add_up(rows: Path) -> None:
    server = Server()
    check_stepped(play(rows, [call(count=1), "two"], server, style="gymnasium"))
    assert [len(body["response"]["output"]) for body in server.verified] == [1, 1]
    assert server.closed == 1


def test_truncated_is_a_stop_reason_and_keeps_the_rewards(rows: Path) -> None:
    played = play(rows, ["one", "two"], Server("truncate"), style="gymnasium")
    assert (played.stop, played.rewards["policy"].total) == (StopReason.TURNS, 1.0)


def test_a_limit_ends_the_episode_and_the_server_still_verifies_it(rows: Path) -> None:
    played = play(rows, [call(count=3)] * 5, limits={"turns": 1})
    assert (played.stop, played.rewards["policy"].total) == (StopReason.TURNS, 1.0)


def test_a_limit_of_calls_leaves_the_results_of_those_before_it(rows: Path) -> None:
    server = Server()
    played = play(rows, [call(count=3) + call(count=1)], server, limits={"tool_calls": 1})
    assert (played.stop, played.rewards["policy"].total) == (StopReason.TOOL_CALLS, 1.0)
    kinds = [item["type"] for item in server.verified[0]["response"]["output"]]
    assert kinds == ["function_call", "function_call", "function_call_output"]


def test_a_call_that_cannot_be_read_is_told_to_the_policy_and_is_a_message_for_the_server(rows: Path) -> None:
    server = Server()
    played = play(rows, ["<tool_call>{nonsense</tool_call>", "done"], server)
    assert played.rewards["policy"].total == 0.0
    assert [item["type"] for item in server.verified[0]["response"]["output"]] == ["message", "message"]


def test_an_error_of_a_tool_is_shown_to_the_policy(rows: Path) -> None:
    played = play(rows, [call(count=1), "done"], Server("add"))
    assert [message["content"] for message in played.messages["policy"] if message["role"] == "tool"] == ["jammed"]
    assert played.scored


@pytest.mark.parametrize(
    ("fault", "stop", "says"),
    [
        ("seed_session", StopReason.ENVIRONMENT_ERROR, "/seed_session answered with 500: jammed"),
        ("verify", StopReason.ENVIRONMENT_ERROR, "/verify answered with 500"),
        ("nan", StopReason.ENVIRONMENT_ERROR, "must be a finite number, found 'x'"),
        ("null", StopReason.ENVIRONMENT_ERROR, "must be a finite number, found None"),
        ("none", StopReason.ENVIRONMENT_ERROR, "has no reward"),
        ("list", StopReason.ENVIRONMENT_ERROR, "must answer with an object"),
        ("judge", StopReason.INFRA_ERROR, "could not verify: judge_failed"),
        ("mute verify", StopReason.INFRA_ERROR, "no answer within 0.5 s"),
    ],
)
def test_a_fault_of_the_server_is_never_a_score(rows: Path, fault: str, stop: StopReason, says: str) -> None:
    played = play(rows, [call(count=3), "done"], Server(fault), deadline=0.5 if "mute" in fault else 60.0)
    assert played.stop is stop
    assert says in str(played.error)
    assert not played.scored


def test_a_server_that_is_not_there_is_an_infrastructure_failure(rows: Path) -> None:
    played = asyncio.run(attempt("http://127.0.0.1:9", rows, ["done"], {}))
    assert played.stop is StopReason.INFRA_ERROR
    assert "cannot reach http://127.0.0.1:9/seed_session" in str(played.error)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "?"}, "line 1: no responses_create_params"),
        ({"responses_create_params": {"input": []}}, "input must be text or a list of items"),
        ({"responses_create_params": {"input": [{"type": "item_reference"}]}}, "no text, message or call"),
        ({"responses_create_params": {"input": "Hi", "tools": [{"type": "web_search"}]}}, "of type function"),
    ],
)
def test_a_row_that_cannot_be_played_is_refused(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    settings = {"url": "http://nowhere", "path": str(tmp_path / "rows.jsonl")}
    with pytest.raises(DataError) as refused:
        list(describe("nemo_gym", config=settings).build().tasks("test", 0))
    assert says in str(refused.value)
    with pytest.raises(ConfigError, match="'url'"):
        describe("nemo_gym", config={**settings, "url": "nowhere"}).build()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[str]:
    if not PYTHON:
        pytest.skip("NeMo Gym is not installed: docs/interop.md")
    (tmp_path / "server.py").write_text(SERVER)
    port = free_port()
    process = subprocess.Popen([PYTHON, "server.py", str(port)], cwd=tmp_path)
    try:
        for _ in range(900):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/reverify_mode", timeout=5).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_server_on_the_real_base_classes_is_played(real: str, rows: Path) -> None:
    check_verified(asyncio.run(attempt(real, rows, CALLS, {})))
    check_stepped(asyncio.run(attempt(real, rows, [call(count=1), "two"], {"style": "gymnasium"})))
