"""The text policy against a real server on this machine."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from lachesis.environments.environment import Environment
from lachesis.environments.play import play
from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.rollout.chats.text_chat import TextPolicy, raw_text, wire_messages
from lachesis.rollout.engines.engine import Sampling
from lachesis.verifiers.errors import ConfigError, EngineError
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason

from ...ports import free_port

SAMPLING = Sampling(temperature=0.5, max_tokens=64)


def completion(content: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"choices": [choice], "usage": {"completion_tokens": 7}}


class Endpoint:
    """An OpenAI-compatible server that gives prepared answers, one a request, the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = await answer()
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer)


@asynccontextmanager
async def serving(endpoint: Endpoint, **settings: Any) -> AsyncIterator[TextPolicy]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with TextPolicy(
            f"http://127.0.0.1:{port}", "m", SAMPLING, **{"backoff": 0.01, "tries": 3, **settings}
        ) as policy:
            yield policy
    finally:
        await runner.cleanup()


def ask(endpoint: Endpoint, use_policy: Callable[[TextPolicy], Awaitable[Any]], **settings: Any) -> Any:
    async def main() -> Any:
        async with serving(endpoint, **settings) as policy:
            return await use_policy(policy)

    return asyncio.run(main())


async def one_reply(policy: TextPolicy) -> Any:
    chat = policy.open("policy", (0,))
    chat.add("user", "hello")
    return await chat.reply()


def test_a_reply_is_read_and_the_conversation_sent_whole() -> None:
    endpoint = Endpoint(completion("one"), completion("two", finish="length"))

    async def converse(policy: TextPolicy) -> Any:
        chat = policy.open("policy", (3, 1))
        chat.add("system", "be brief")
        chat.add("user", "first")
        first = await chat.reply()
        chat.add("user", "second")
        return first, await chat.reply(temperature=0.0, max_tokens=5), chat

    first, second, chat = ask(endpoint, converse)
    assert (first.text, first.stop, first.tokens) == ("one", "stop", 7)
    assert (second.text, second.stop) == ("two", "length")
    assert [message["content"] for message in endpoint.bodies[1]["messages"]] == ["be brief", "first", "one", "second"]
    assert endpoint.bodies[0]["max_tokens"] == 64
    assert endpoint.bodies[0]["temperature"] == 0.5
    assert (endpoint.bodies[1]["max_tokens"], endpoint.bodies[1]["temperature"]) == (5, 0.0)
    assert endpoint.bodies[0]["seed"] != endpoint.bodies[1]["seed"]
    assert chat.segments() == []


def test_the_same_seed_asks_the_same_and_another_asks_other() -> None:
    endpoint = Endpoint(completion("x"))

    async def thrice(policy: TextPolicy) -> None:
        for seed in ((1, 2), (1, 2), (1, 3)):
            chat = policy.open("policy", seed)
            chat.add("user", "q")
            await chat.reply()

    ask(endpoint, thrice)
    seeds = [body["seed"] for body in endpoint.bodies]
    assert seeds[0] == seeds[1] != seeds[2]


def test_the_key_is_sent_when_its_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "abc")
    endpoint = Endpoint(completion("x"))
    ask(endpoint, one_reply, key_variable="MY_KEY")
    assert endpoint.headers[0]["Authorization"] == "Bearer abc"
    monkeypatch.delenv("MY_KEY")
    ask(endpoint, one_reply, key_variable="MY_KEY")
    assert "Authorization" not in endpoint.headers[1]


def test_parsed_reasoning_and_calls_become_the_raw_text_again() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}]
    reply = ask(
        Endpoint(completion(None, finish="tool_calls", reasoning_content="sum it", tool_calls=calls)), one_reply
    )
    assert reply.reasoning == "sum it"
    assert [(call.name, call.arguments, call.error) for call in reply.tool_calls] == [("add", {"a": 1, "b": 2}, "")]
    raw = '<think>\nsum it\n</think>\n\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    assert reply.raw == raw
    assert ask(Endpoint(completion(raw)), one_reply) == reply  # unparsed, it is the same reply


def test_reasoning_that_was_cut_off_holds_no_answer() -> None:
    reply = ask(Endpoint(completion(None, finish="length", reasoning_content="it is 4")), one_reply)
    assert (reply.text, reply.reasoning, reply.stop) == ("", "it is 4", "length")


def test_arguments_that_are_not_json_stay_as_the_model_wrote_them() -> None:
    raw = raw_text({"content": "", "tool_calls": [{"function": {"name": "add", "arguments": '{"a": '}}]})
    reply = ask(Endpoint(completion(raw)), one_reply)
    assert reply.tool_calls[0].error.startswith("not JSON")


def test_results_go_back_with_the_ids_of_their_calls() -> None:
    raw = raw_text({"content": "", "tool_calls": [{"function": {"name": n, "arguments": {}}} for n in ("f", "g")]})
    wire = wire_messages(
        [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": f"<think>\nhm\n</think>\n\n{raw}"},
            {"role": "tool", "content": "1", "name": "f"},
            {"role": "tool", "content": "2", "name": "g"},
        ]
    )
    ids = [call["id"] for call in wire[1]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [message["tool_call_id"] for message in wire[2:]] == ids
    assert "hm" not in json.dumps(wire)


def test_a_call_that_could_not_be_read_goes_back_as_text() -> None:
    history = [
        {"role": "assistant", "content": "<tool_call>\n{oops\n</tool_call>"},
        {"role": "tool", "content": "not JSON", "name": ""},
    ]
    wire = wire_messages(history)  # type: ignore[arg-type]
    assert "tool_calls" not in wire[0]
    assert wire[1]["role"] == "user"


def test_a_tool_episode_runs_to_its_end() -> None:
    class Adder(Environment):
        rubric = Rubric(use("exact"))

        def tools(self, episode: Any) -> list[Any]:
            def add(a: int, b: int) -> int:
                """The sum."""
                return a + b

            return [add]

    calls = [{"id": "x", "type": "function", "function": {"name": "add", "arguments": '{"a": 20, "b": 22}'}}]
    endpoint = Endpoint(completion(None, finish="tool_calls", tool_calls=calls), completion("42"))
    environment = Adder()

    async def episode(policy: TextPolicy) -> Any:
        played = await play(environment, Task("20+22?", answer="42"), {"policy": policy}, (0,))
        return await environment.score_trajectory(played)

    trajectory = ask(endpoint, episode)
    assert trajectory.rewards["policy"].total == 1.0
    assert endpoint.bodies[0]["tools"][0]["function"]["name"] == "add"
    assert endpoint.bodies[1]["messages"][-1]["content"] == "42"
    assert endpoint.bodies[1]["messages"][-1]["role"] == "tool"


def test_forks_share_the_history_and_nothing_after_it() -> None:
    async def split(policy: TextPolicy) -> Any:
        chat = policy.open("policy", (0,))
        chat.add("user", "q")
        other = chat.fork()
        other.add("user", "more")
        chat.rewrite([{"role": "user", "content": "anew"}])
        return [[message["content"] for message in one.messages] for one in (chat, other)]

    assert ask(Endpoint(completion("x")), split) == [["anew"], ["q", "more"]]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_again(status: int) -> None:
    endpoint = Endpoint(web.Response(status=status, text="busy"), completion("there"))
    assert ask(endpoint, one_reply).text == "there"
    assert len(endpoint.bodies) == 2


def test_retry_after_is_obeyed() -> None:
    endpoint = Endpoint(web.Response(status=429, headers={"Retry-After": "0.4"}), completion("x"))

    async def timed(policy: TextPolicy) -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await one_reply(policy)
        return loop.time() - start

    assert ask(endpoint, timed) >= 0.4


async def _hang() -> Any:
    await asyncio.sleep(2)
    return completion("too late")


def _busy() -> Any:
    async def respond() -> web.Response:
        return web.Response(status=500, text="broken")

    return respond


def _text(text: str) -> Any:
    async def respond() -> web.Response:
        return web.Response(text=text)

    return respond


@pytest.mark.parametrize(
    ("answer", "tries", "says"),
    [
        (_busy(), 3, r"HTTP 500: broken.* \(3 of 3 tries\)"),
        (_text("{half"), 3, r"not JSON.* \(3 of 3 tries\)"),
        (_text("[1]"), 1, "not an object"),
        (_text('{"choices": []}'), 1, "not a chat completion"),
        (_text('{"choices": [{"message": {"content": 5}}]}'), 1, "not a chat completion"),
    ],
)
def test_a_lasting_failure_is_an_engine_error_after_bounded_tries(answer: Any, tries: int, says: str) -> None:
    endpoint = Endpoint(answer)
    with pytest.raises(EngineError, match=says):
        ask(endpoint, one_reply)
    assert len(endpoint.bodies) == tries


def test_an_endpoint_that_never_answers_is_an_engine_error_after_bounded_tries() -> None:
    endpoint = Endpoint(_hang)
    with pytest.raises(EngineError, match=r"no answer within 0\.2 s \(3 of 3 tries\)"):
        ask(endpoint, one_reply, deadline=0.2)
    assert len(endpoint.bodies) <= 3  # a try may end before the endpoint has read it


def _zipped(size: int) -> Any:
    async def respond() -> web.Response:
        body = gzip.compress(b" " * size, 9)
        return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    return respond


def test_an_answer_without_end_is_read_up_to_a_limit() -> None:
    with pytest.raises(EngineError, match="more than 32 MiB"):
        ask(Endpoint(_zipped(200 << 20)), one_reply, deadline=30.0)


def test_a_prompt_follows_no_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter22")
    other = "http://user:pass@elsewhere.example/v1?token=abcdefgh"
    for status in (301, 302, 303, 307, 308):
        endpoint = Endpoint(web.Response(status=status, headers={"Location": other}))
        with pytest.raises(
            EngineError, match=r"redirects to http://<redacted>@elsewhere\.example/v1\?token=<redacted>;"
        ):
            ask(endpoint, one_reply)
        assert len(endpoint.bodies) == 1


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_what_an_endpoint_echoes_is_shown_without_secrets_and_escapes(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter22")
    echo = "you sent Authorization: Bearer hunter22 and Basic dXNlcjpwYXNz \x1b[31m\x1b]0;title\x07\x9b2J\u202e no JSON"
    with pytest.raises(EngineError) as caught:
        ask(Endpoint(web.Response(status=status, text=echo)), one_reply, tries=1)
    said = str(caught.value)
    assert "hunter22" not in said
    assert "dXNlcjpwYXNz" not in said
    assert said.isprintable()


def test_a_password_in_the_address_is_not_shown() -> None:
    async def main() -> None:
        address = "http://ann:hunter22@127.0.0.1:9/v1"
        async with TextPolicy(address, "m", SAMPLING, tries=1) as policy:
            with pytest.raises(EngineError) as caught:
                await one_reply(policy)
            assert "hunter22" not in str(caught.value)
            assert "<redacted>@127.0.0.1:9/v1" in str(caught.value)

    asyncio.run(main())
    with pytest.raises(ConfigError) as caught:
        TextPolicy("ftp://ann:hunter22@host/v1", "m", SAMPLING)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    endpoint = Endpoint(web.Response(status=status, text="no"))
    with pytest.raises(EngineError, match=f"HTTP {status}"):
        ask(endpoint, one_reply)
    assert len(endpoint.bodies) == 1


def test_a_full_context_is_a_length_stop() -> None:
    refusal = json.dumps({"error": {"code": "context_length_exceeded", "message": "maximum context length is 8"}})
    reply = ask(Endpoint(web.Response(status=400, text=refusal)), one_reply)
    assert (reply.text, reply.stop) == ("", "length")


def test_a_refused_connection_leaves_the_trajectory_unscored() -> None:
    port = free_port()
    environment = Arithmetic()

    async def main() -> Any:
        async with TextPolicy(f"http://127.0.0.1:{port}/v1", "m", SAMPLING, tries=2, backoff=0.01) as policy:
            played = await play(environment, Task("1+1=", answer="2"), {"policy": policy}, (0,))
            return await environment.score_trajectory(played)

    trajectory = asyncio.run(main())
    assert trajectory.stop is StopReason.INFRA_ERROR
    assert not trajectory.scored
    assert "EngineError" in trajectory.error


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"http\(s\)://"):
        TextPolicy(url, "m", SAMPLING)


def test_an_unknown_sampling_setting_names_the_nearest() -> None:
    async def misspelt(policy: TextPolicy) -> None:
        await policy.open("policy", (0,)).reply(temprature=1.0)

    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        ask(Endpoint(completion("x")), misspelt)
