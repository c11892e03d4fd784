"""The real clients of OpenAI and Anthropic, unmodified, and the messages that they send back."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from lachesis.rollout.gateway.episode import Opened
from lachesis.rollout.gateway.gateway import Gateway
from lachesis.rollout.gateway.recording import Recording
from lachesis.verifiers.errors import EngineError

from .conftest import CALLED, LOOK, Engine, check_exact, until, user

Engines = Callable[..., Engine]
THOUGHT = "<think>\nhm\n</think>\n\n"
SHAPE: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
TOOL: Any = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
FUNCTION: Any = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": None}


def recorded(engine: Engine, talk: Callable[[Opened], Awaitable[None]]) -> Recording:
    async def play() -> Recording:
        async with Gateway() as gateway, gateway.open(engine.policy) as opened:
            await talk(opened)
            return await opened.close()

    recording = asyncio.run(asyncio.wait_for(play(), 60))
    check_exact(engine, recording)
    return recording


def of_openai(opened: Opened) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{opened.url}/v1", api_key=opened.key, max_retries=0)


def of_anthropic(opened: Opened) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=opened.url, api_key=opened.key, max_retries=0)


def test_openai_streams_a_loop_of_tools_into_one_segment(engine: Engines) -> None:
    table = engine(lines=[f"{THOUGHT}I look.\n{CALLED}\n{CALLED}", "the answer is 4"])

    async def talk(opened: Opened) -> None:
        client = of_openai(opened)
        messages: list[Any] = [user("hello")]
        stream: Any = await client.chat.completions.create(
            model="policy", messages=messages, tools=[LOOK], stream=True, stream_options={"include_usage": True}
        )
        content, reasoning, calls, finish, usage = "", "", dict[int, Any](), None, None
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                content += choice.delta.content or ""
                reasoning += getattr(choice.delta, "reasoning_content", "")
                finish = choice.finish_reason or finish
                for part in choice.delta.tool_calls or ():
                    whole = calls.setdefault(part.index, {"id": part.id, "name": part.function.name, "arguments": ""})
                    whole["arguments"] += part.function.arguments
        assert (content, reasoning, finish) == ("I look.", "hm", "tool_calls")
        assert usage.completion_tokens == table.returned[0][1].tokens.size
        assert [(call["name"], call["arguments"]) for call in calls.values()] == [("look", '{"at": "x"}')] * 2
        told = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in calls.values()
        ]
        messages.append({"role": "assistant", "content": content, "reasoning_content": reasoning, "tool_calls": told})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "42"} for call in told]
        last = await client.chat.completions.create(model="policy", messages=messages, tools=[LOOK])
        assert last.choices[0].message.content == "the answer is 4"

    assert len(recorded(table, talk).segments) == 1


def test_openai_gets_samples_logprobs_and_schemas(engine: Engines) -> None:
    table = engine(lines=["one", "two", '{"n": 4}'])

    async def talk(opened: Opened) -> None:
        client = of_openai(opened)
        answer = await client.chat.completions.create(model="policy", messages=[user("hello")], n=2, logprobs=True)
        assert [choice.message.content for choice in answer.choices] == ["one", "two"]
        for choice, (_, completion) in zip(answer.choices, table.returned, strict=True):
            assert choice.logprobs is not None
            assert [entry.logprob for entry in choice.logprobs.content or ()] == completion.logprobs.tolist()
        form: Any = {"type": "json_schema", "json_schema": {"name": "number", "schema": SHAPE}}
        await client.chat.completions.create(model="policy", messages=[user("number")], response_format=form)
        assert json.loads(table.returned[-1][0].sampling.schema) == SHAPE

    assert len(recorded(table, talk).segments) == 3


def test_openai_completes_text_and_ids(engine: Engines) -> None:
    table = engine(lines=["one", "two", "three"])

    async def talk(opened: Opened) -> None:
        client = of_openai(opened)
        first = await client.completions.create(model="policy", prompt=["hello", "hi"], max_tokens=64, logprobs=1)
        assert [choice.text for choice in first.choices] == ["one", "two"]
        prompt, completion = table.returned[0]
        longer = [*prompt.prompt.tolist(), *completion.tokens.tolist(), 66]
        stream: Any = await client.completions.create(model="policy", prompt=longer, max_tokens=64, stream=True)
        assert [chunk.choices[0].text async for chunk in stream] == ["three"]

    recording = recorded(table, talk)
    assert len(recording.segments) == 2  # ids that continue those of a reply continue its segment


def test_openai_responses_continue_by_items_and_by_name(engine: Engines) -> None:
    table = engine(lines=[f"{THOUGHT}{CALLED}", f"{THOUGHT}the answer is 4", "hello"])

    async def talk(opened: Opened) -> None:
        client = of_openai(opened)
        asked: list[Any] = [user("hello")]
        first = await client.responses.create(model="policy", instructions="Be kind.", input=asked, tools=[FUNCTION])
        reasoning, called = first.output
        assert (reasoning.type, called.type, first.status) == ("reasoning", "function_call", "completed")
        asked += [item.model_dump(exclude_none=True) for item in first.output]
        asked.append({"type": "function_call_output", "call_id": called.call_id, "output": "42"})  # type: ignore[union-attr]
        async with client.responses.stream(
            model="policy", instructions="Be kind.", input=asked, tools=[FUNCTION]
        ) as stream:
            kinds = [event.type async for event in stream]
            second = await stream.get_final_response()
        assert {"response.output_text.delta", "response.reasoning_text.delta", "response.completed"} <= {*kinds}
        assert second.output_text == "the answer is 4"
        third = await client.responses.create(
            model="policy",
            instructions="Be kind.",
            input="more",
            previous_response_id=second.id,
            tools=[FUNCTION],
            text={"format": {"type": "json_schema", "name": "number", "schema": SHAPE}},
        )
        assert third.output_text == "hello"
        assert json.loads(table.returned[-1][0].sampling.schema) == SHAPE

    assert len(recorded(table, talk).segments) == 1


def test_openai_responses_that_keep_only_sealed_reasoning_continue_too(engine: Engines) -> None:
    table = engine(lines=[f"{THOUGHT}the answer is 4", "hello"])

    async def talk(opened: Opened) -> None:
        client = of_openai(opened)
        first = await client.responses.create(model="policy", input="hello", store=False)
        kept = [item.model_dump(exclude_none=True) for item in first.output]
        del kept[0]["content"]
        asked: Any = [user("hello"), *kept, user("more")]
        await client.responses.create(model="policy", input=asked, store=False)

    assert len(recorded(table, talk).segments) == 1


def test_anthropic_streams_thoughts_and_tools_into_one_segment(engine: Engines) -> None:
    table = engine(lines=[f"{THOUGHT}I look.\n{CALLED}", f"{THOUGHT}{CALLED}", "the answer is 4"])

    async def talk(opened: Opened) -> None:
        client = of_anthropic(opened)
        options: dict[str, Any] = {"model": "policy", "max_tokens": 400, "system": "Be kind.", "tools": [TOOL]}
        messages: list[Any] = [user("hello")]
        async with client.messages.stream(messages=messages, **options) as stream:
            kinds = [event.type async for event in stream]
            first = await stream.get_final_message()
        assert {"thinking", "text", "input_json", "message_stop"} <= {*kinds}
        assert [block.type for block in first.content] == ["thinking", "text", "tool_use"]
        assert (first.stop_reason, first.content[2].input) == ("tool_use", {"at": "x"})  # type: ignore[union-attr]
        messages += [{"role": "assistant", "content": first.content}, answered(first, "42")]
        second = await client.messages.create(messages=messages, **options)
        assert second.usage.output_tokens == table.returned[1][1].tokens.size
        messages += [{"role": "assistant", "content": second.content}, answered(second, "43")]
        last = await client.messages.create(messages=messages, **options)
        assert (last.content[0].text, last.stop_reason) == ("the answer is 4", "end_turn")  # type: ignore[union-attr]

    def answered(message: Any, text: str) -> dict[str, Any]:
        used = message.content[-1].id
        content = [{"type": "text", "text": text}]
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": used, "content": content}]}

    recording = recorded(table, talk)
    assert len(recording.segments) == 1
    assert recording.messages[3]["content"] == "42"


def test_anthropic_raises_its_own_errors(engine: Engines) -> None:
    table = engine(context=128)

    async def talk(opened: Opened) -> None:
        client = of_anthropic(opened)
        for error, asked in (
            (anthropic.NotFoundError, {"model": "other"}),
            (anthropic.BadRequestError, {"messages": [user("hello " * 200)]}),
            (anthropic.BadRequestError, {"messages": [{"role": "user", "content": [{"type": "image"}]}]}),
        ):
            try:
                await client.messages.create(
                    **{"model": "policy", "max_tokens": 9, "messages": [user("hello")], **asked}  # type: ignore[arg-type]
                )
            except error:
                continue
            raise AssertionError(asked)

    assert recorded(table, talk).proof.calls == 0


def test_the_token_route_gives_ids_and_logprobs_and_continues_by_ids(engine: Engines) -> None:
    table = engine(lines=["one", "two"])

    async def talk(opened: Opened) -> None:
        prompt = table.renderer.prompt([{"role": "user", "content": "hello"}]).tolist()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {opened.key}"}) as session:
            for _ in range(2):
                body = {"model": "policy", "token_ids": prompt, "sampling_params": {"max_tokens": 64, "logprobs": 1}}
                async with session.post(f"{opened.url}/inference/v1/generate", json=body) as response:
                    (choice,) = (await response.json())["choices"]
                completion = table.returned[-1][1]
                assert choice["token_ids"] == completion.tokens.tolist()
                assert [entry["logprob"] for entry in choice["logprobs"]["content"]] == completion.logprobs.tolist()
                prompt = [*prompt, *choice["token_ids"], 66, 67]

    assert len(recorded(table, talk).segments) == 1


def test_long_generations_keep_the_connection_of_clients_that_do_not_stream(engine: Engines) -> None:
    table = engine(lines=["one", "two", "three"])

    async def talk() -> None:
        async with Gateway(heartbeat=0.002) as gateway, gateway.open(table.policy) as opened:
            for number, ask in enumerate(
                (
                    lambda: of_openai(opened).chat.completions.create(model="policy", messages=[user("hello")]),
                    lambda: of_openai(opened).responses.create(model="policy", input="hello"),
                    lambda: of_anthropic(opened).messages.create(model="policy", max_tokens=64, messages=[user("hi")]),
                )
            ):
                table.gate.clear()
                asking = asyncio.create_task(ask())  # type: ignore[arg-type]
                await until(lambda wanted=number: table.begun > wanted)
                await asyncio.sleep(0.05)  # some white space is sent
                table.gate.set()
                answer: Any = await asking
                assert ("one", "two", "three")[number] in answer.model_dump_json()
            assert (await opened.close()).proof.untrained == {}

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_white_space_is_sent_before_the_answer_while_the_model_thinks(engine: Engines) -> None:
    table = engine()
    table.gate.clear()

    async def talk() -> None:
        async with Gateway(heartbeat=0.002) as gateway, gateway.open(table.policy) as opened:
            body = {"model": "policy", "messages": [user("hello")]}
            headers = {"Authorization": f"Bearer {opened.key}"}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(f"{opened.url}/v1/chat/completions", json=body) as answer,
            ):
                assert (answer.status, answer.content_type) == (200, "application/json")
                assert await answer.content.readexactly(2) == b"\n\n"
                table.gate.set()
                assert (await answer.json())["choices"][0]["message"]["content"] == "the answer is 4"
            check_exact(table, await opened.close())

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_an_error_after_white_space_is_a_lost_connection_which_the_client_tries_again(engine: Engines) -> None:
    table = engine()
    failed: list[Any] = []

    def failing(request: Any) -> str:
        failed.append(request)
        if len(failed) == 1:
            raise EngineError("no engine")
        return "the answer is 4"

    async def talk() -> None:
        async with Gateway(heartbeat=0.002) as gateway, gateway.open(table.policy) as opened:
            table.say = failing
            table.gate.clear()
            client = openai.AsyncOpenAI(base_url=f"{opened.url}/v1", api_key=opened.key, max_retries=1)
            asking = asyncio.create_task(client.chat.completions.create(model="policy", messages=[user("hello")]))
            await until(lambda: table.begun)
            await asyncio.sleep(0.05)
            table.gate.set()
            assert (await asking).choices[0].message.content == "the answer is 4"
            assert (await opened.close()).failure == ""

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_anthropic_counts_tokens_without_asking_the_model(engine: Engines) -> None:
    table = engine(lines=["one"], context=2048)

    async def talk(opened: Opened) -> None:
        client = of_anthropic(opened)
        asked: dict[str, Any] = {"model": "policy", "system": "Be kind.", "messages": [user("hello")], "tools": [TOOL]}
        counted = await client.messages.count_tokens(**asked)
        answer = await client.messages.create(max_tokens=64, **asked)
        assert counted.input_tokens == answer.usage.input_tokens
        assert (await client.messages.count_tokens(model="policy", messages=[user("hello")])).input_tokens < 60
        for error, wrong in (
            (anthropic.NotFoundError, {"model": "other"}),
            (anthropic.BadRequestError, {"messages": []}),
            (anthropic.BadRequestError, {"messages": [user("x" * 200_000)]}),
        ):
            with pytest.raises(error):
                await client.messages.count_tokens(**{**asked, **wrong})
        with pytest.raises(anthropic.AuthenticationError):
            await anthropic.AsyncAnthropic(base_url=opened.url, api_key="wrong").messages.count_tokens(**asked)

    recording = recorded(table, talk)
    assert (recording.proof.calls, len(recording.branches)) == (1, 1)
