import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lachesis.rollout.chats.chat_tokenizer import ChatTokenizer
from lachesis.rollout.engines.engine import Completion, Request
from lachesis.verifiers.errors import DeadlineExceeded, EngineError
from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.formats.format import tool_format

Rooms = Callable[..., Any]
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def posted(table: Any, path: str, *bodies: Any) -> list[tuple[int, Any]]:
    """The status and JSON of each answer, one after the other."""

    async def post() -> list[tuple[int, Any]]:
        async with table.client() as client:
            answers = []
            for body in bodies:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                response = await client.post(path, data=data)
                answers.append((response.status, await response.json()))
            return answers

    return asyncio.run(post())


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "policy", "messages": HELLO, **more}


def test_a_chat_completion_has_openais_form(room: Rooms) -> None:
    table = room(["the answer is 4"])
    ((status, answer),) = posted(table, "/v1/chat/completions", chat(logprobs=True, return_token_ids=True))
    (choice,) = answer["choices"]
    assert (status, answer["object"], answer["model"]) == (200, "chat.completion", "policy")
    assert choice["message"] == {"role": "assistant", "content": "the answer is 4"}
    assert choice["finish_reason"] == "stop"
    (turn,) = table.memory._turns
    assert choice["token_ids"] == turn.completion.tokens.tolist()
    assert answer["prompt_token_ids"] == table.renderer.prompt(HELLO).tolist()
    assert [entry["logprob"] for entry in choice["logprobs"]["content"]] == turn.completion.logprobs.tolist()
    assert "".join(entry["token"] for entry in choice["logprobs"]["content"]) == "the answer is 4<|im_end|>"
    counted = {"prompt_tokens": len(answer["prompt_token_ids"]), "completion_tokens": len(choice["token_ids"])}
    assert answer["usage"] == {**counted, "total_tokens": sum(counted.values())}


def test_n_samples_have_n_seeds_and_equal_seeds_are_equal_requests(room: Rooms) -> None:
    table = room(["a", "b", "c"])
    first, *_ = posted(table, "/v1/chat/completions", chat(n=3, seed=7), chat(n=3, seed=7), chat(), chat())
    assert [choice["message"]["content"] for choice in first[1]["choices"]] == ["a", "b", "c"]
    assert [choice["index"] for choice in first[1]["choices"]] == [0, 1, 2]
    seeds = [request.sampling.seed for request in table.engine.requests]
    assert seeds[:3] == seeds[3:6]
    assert len(set(seeds[:3])) == 3
    assert seeds[6] != seeds[7]


def test_sampling_is_what_the_request_asks(room: Rooms) -> None:
    table = room()
    asked = {"temperature": 0.5, "top_p": 0.9, "top_k": -1, "max_completion_tokens": 3, "stop": None, "seed": None}
    posted(table, "/v1/chat/completions", chat(**asked), chat(max_tokens=9999), chat(temperature=0))
    small, large, greedy = (request.sampling for request in table.engine.requests)
    assert (small.temperature, small.top_p, small.top_k, small.max_tokens) == (0.5, 0.9, 0, 3)
    assert large.max_tokens == table.context - table.engine.requests[1].prompt.size
    assert greedy.temperature == 0.0
    assert small.stop_ids == table.renderer.stop_ids


def test_a_length_stop_is_said(room: Rooms) -> None:
    ((_, answer),) = posted(room(["the answer is 4"], whole=True), "/v1/chat/completions", chat(max_tokens=3))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "the answer"


@pytest.mark.parametrize("include", [False, True])
def test_a_completion_ends_with_the_token_that_completes_the_first_stop_string(room: Rooms, include: bool) -> None:
    table = room(["the answer is hello, is the sum"], whole=True)
    body = {
        "model": "policy",
        "prompt": "hello",
        "stop": ["llo, i", "s h"],
        "max_tokens": 99,
        "include_stop_str_in_output": include,
        "logprobs": 1,
    }
    ((_, answer),) = posted(table, "/v1/completions", body)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("the answer i" + "s h" * include, "stop")
    (turn,) = table.memory._turns
    assert table.renderer.decode(turn.completion.tokens) == "the answer is hello"
    assert choice["logprobs"]["token_logprobs"] == turn.completion.logprobs.tolist()
    assert choice["logprobs"]["text_offset"] == [0, 3, 4, 10, 11, 13, 14]


@pytest.mark.parametrize("stop", [[7, "is"], 7, ["is", 7]])
def test_ids_among_the_stop_strings_are_stop_ids(room: Rooms, stop: Any) -> None:
    table = room(["the answer"])
    body = {"prompt": {"prompt_token_ids": [65, 66]}, "logprobs": 0, "stop_token_ids": [8]}
    ((status, _),) = posted(table, "/generate", {**body, "stop": stop})
    assert status == 200
    assert {7, 8} <= set(table.engine.requests[0].sampling.stop_ids)


def test_a_stop_string_that_is_one_token_stops_the_engine(room: Rooms) -> None:
    table = room(["the answer is 4"], whole=True)
    stops = ["<|im_end|>", "is"]
    ((_, answer),) = posted(table, "/v1/completions", {"model": "policy", "prompt": "a", "stop": stops})
    assert answer["choices"][0]["text"] == "the answer "
    (is_id,) = table.renderer.written("is").tolist()
    assert is_id in table.engine.requests[0].sampling.stop_ids


@pytest.mark.parametrize("prompt", ["hello", ["hello", "sum"], [65, 66], [[65, 66], [67]]])
def test_completions_take_text_and_ids_one_and_several(room: Rooms, prompt: Any) -> None:
    table = room()
    ((status, answer),) = posted(table, "/v1/completions", {"model": "policy", "prompt": prompt, "n": 2})
    several = isinstance(prompt[0], list) or prompt == ["hello", "sum"]
    assert (status, len(answer["choices"])) == (200, 4 if several else 2)
    assert table.engine.requests[0].prompt.tolist() == (
        table.renderer.written("hello").tolist() if "hello" in prompt else [65, 66]
    )


def test_generate_answers_as_vllm_does(room: Rooms) -> None:
    table = room(["hello", "the sum"])
    body = {"prompt": {"prompt_token_ids": [65, 66]}, "logprobs": 0, "n": 2, "max_tokens": 30, "stop": ["sum"]}
    ((_, answer),) = posted(table, "/generate", body)
    assert (answer["text"], answer["finish_reasons"]) == (["hello", "the "], ["stop", "stop"])
    assert answer["prompt_token_ids"] == [65, 66]
    for entries, ids in zip(answer["logprobs"], answer["token_ids"], strict=True):
        assert [int(next(iter(entry[0]))) for entry in entries] == ids
        assert all(next(iter(entry[0].values())) < 0 for entry in entries)
    assert len(answer["token_ids"][0]) > 1


def test_generate_answers_as_sglang_does(room: Rooms) -> None:
    table = room(["hello", "a", "b"])
    bodies = [
        {"input_ids": [65, 66], "sampling_params": {"max_new_tokens": 30, "n": n}, "return_logprob": True}
        for n in (1, 2)
    ]
    (_, one), (_, two) = posted(table, "/generate", *bodies)
    assert (one["text"], one["meta_info"]["finish_reason"]) == ("hello", {"type": "stop"})
    assert [entry[1] for entry in one["meta_info"]["output_token_logprobs"]] == one["output_ids"]
    assert [answer["text"] for answer in two] == ["a", "b"]


def test_generate_answers_as_trl_does(room: Rooms) -> None:
    table = room(whole=True)
    body = {"prompts": ["hello", "sum"], "n": 2, "repetition_penalty": 1.0, "top_k": -1, "min_p": 0.0, "max_tokens": 50}
    ((_, answer),) = posted(table, "/generate/", body)
    assert answer["completion_ids"] == [table.sampled("the answer is 4")] * 4


def test_health_and_models_say_what_is_served(room: Rooms) -> None:
    table = room()

    async def get() -> list[Any]:
        async with table.client() as client:
            return [await (await client.get(path)).json() for path in ("/health", "/v1/models")]

    health, models = asyncio.run(get())
    assert health == {"status": "ok", "version": 3}
    assert [model["id"] for model in models["data"]] == ["policy"]


BAD = [
    (b"{", 400, None),
    (b"\xff", 400, None),
    (b"[" * 100_000, 400, None),
    (b"[]", 400, None),
    (chat(model="other"), 404, "model_not_found"),
    (chat(messages=[]), 400, None),
    (chat(messages=[{"role": "robot", "content": "a"}]), 400, None),
    (chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]), 400, None),
    (chat(messages=[{"role": "user", "content": "hello " * 2000}]), 400, "context_length_exceeded"),
    (chat(stream=True), 400, None),
    (chat(n=0), 400, None),
    (chat(n=10_000), 400, None),
    (chat(temperature=-1), 400, None),
    (chat(temperature="hot"), 400, None),
    (b'{"model": "policy", "messages": [{"role": "user", "content": "a"}], "temperature": NaN}', 400, None),
    (chat(max_tokens=0), 400, None),
    (chat(stop=[""]), 400, None),
    (chat(repetition_penalty=1.2), 400, None),
    (chat(logprobs=True, top_logprobs=5), 400, None),
    (chat(tools=[1]), 400, None),
    (chat(response_format={"type": "xml"}), 400, None),
    (chat(response_format={"type": "json_schema"}), 400, None),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_bad_input_is_refused_in_openais_form(room: Rooms, body: Any, status: int, code: str | None) -> None:
    ((found, answer),) = posted(room(), "/v1/chat/completions", body)
    assert (found, answer["error"]["code"], answer["error"]["type"]) == (status, code, "invalid_request_error")
    assert len(answer["error"]["message"]) > 10


BAD_PROMPTS = [
    {"prompt": {"prompt_token_ids": [10**6]}},
    {"prompt": {"prompt_token_ids": [-1]}},
    {"prompt": {"prompt_token_ids": []}},
    {"prompt": {"prompt_token_ids": [65] * 512}},
    {"prompt": {"prompt_token_ids": [65]}, "prompt_logprobs": 1},
    {"input_ids": [65], "sampling_params": 3},
    {"input_ids": [[65]]},
    {"sampling_params": {}},
    {"prompts": []},
    {},
]


@pytest.mark.parametrize("body", BAD_PROMPTS, ids=str)
def test_bad_prompts_are_refused_before_the_engine_sees_them(room: Rooms, body: Any) -> None:
    table = room()
    ((status, answer),) = posted(table, "/generate", body)
    assert (status, table.engine.requests, len(table.memory)) == (400, [], 0)
    assert answer["error"]["message"]


def test_a_template_without_a_place_for_tools_is_no_reason_to_leave_them_out_silently(room: Rooms) -> None:
    table = room()
    table.tokenizer.chat_template = (
        "{%- for message in messages -%}{{ message.content }}{%- endfor -%}{{ 'A:' if add_generation_prompt }}"
    )
    table.renderer._data = ChatTokenizer.of(table.tokenizer)
    table.renderer._forget()
    refused, served = posted(table, "/v1/chat/completions", chat(tools=[TOOL]), chat(tools=[TOOL], tool_choice="none"))
    assert (refused[0], served[0]) == (400, 200)
    assert "no place for tools" in refused[1]["error"]["message"]


def test_calls_that_cannot_be_read_are_the_text_that_they_are(room: Rooms) -> None:
    text = '<tool_call>{"name": </tool_call>'
    ((_, answer),) = posted(room([text]), "/v1/chat/completions", chat(tools=[TOOL]))
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": text}


def test_thinking_is_told_to_the_template(room: Rooms) -> None:
    table = room()
    table.tokenizer.chat_template += "{{- '<think></think>' if enable_thinking is false }}"
    table.renderer._data = ChatTokenizer.of(table.tokenizer)
    table.renderer._forget()
    wanted: list[dict[str, Any]] = [{}, {"chat_template_kwargs": {"enable_thinking": False}}]
    wanted += [{"reasoning": {"enabled": True}}]
    posted(table, "/v1/chat/completions", *(chat(**more) for more in wanted))
    ends = [table.renderer.decode(request.prompt, ()).endswith("<think></think>") for request in table.engine.requests]
    assert ends == [False, True, False]


@pytest.mark.parametrize("error", [EngineError("the engine failed"), DeadlineExceeded("no engine answered")])
def test_an_engine_that_fails_is_503_and_the_client_may_try_again(room: Rooms, error: Exception) -> None:
    def fail(request: Request) -> str:
        raise error

    table = room(say=fail)

    async def post() -> Any:
        async with table.client() as client:
            response = await client.post("/v1/chat/completions", json=chat())
            return response.status, response.headers["Retry-After"], await response.json()

    status, wait, answer = asyncio.run(post())
    assert (status, wait, answer["error"]["message"]) == (503, "1", str(error))


def test_a_schema_is_passed_on_and_one_that_the_engine_refuses_is_bad_input(room: Rooms) -> None:
    schemas: list[str] = []

    def refuse(request: Request) -> str:
        schemas.append(request.sampling.schema)
        raise EngineError("this schema is not supported")

    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}}
    answers = posted(
        room(say=refuse),
        "/v1/chat/completions",
        chat(response_format=wanted),
        chat(response_format={"type": "json_object"}),
        chat(response_format={"type": "text"}),
    )
    assert schemas == ['{"type": "integer"}', '{"type": "object"}', ""]
    assert [status for status, _ in answers] == [400, 400, 503]
    assert answers[0][1]["error"]["param"] == "response_format"


def test_an_aborted_reply_is_503_and_is_not_remembered(room: Rooms) -> None:
    table = room()

    async def aborted(request: Request) -> Completion:
        return Completion(np.array([65], np.int32), np.array([-1.0], np.float32), np.array([0], np.int32), "abort")

    table.engine.generate = aborted
    ((status, _),) = posted(table, "/v1/chat/completions", chat())
    assert (status, len(table.memory)) == (503, 0)


def test_a_text_begins_with_what_the_tokenizer_puts_before_it_and_never_twice(room: Rooms) -> None:
    table = room()
    begin = table.begin_with("<|endoftext|>")
    bodies = [{"model": "policy", "prompt": prompt} for prompt in ("hello", "<|endoftext|>hello")]
    posted(table, "/v1/completions", *bodies)
    one, two = (request.prompt.tolist() for request in table.engine.requests)
    assert one == two == [begin, *table.renderer.written("hello").tolist()]


def test_a_hundred_requests_at_once_are_answered_each_with_its_own(room: Rooms) -> None:
    table = room(say=lambda request: table.renderer.decode(request.prompt, ())[-40:-23])

    async def ask(client: Any, number: int) -> str:
        messages = [{"role": "user", "content": f"the number is {number:03d}"}]
        answer = await table.chat(client, messages, n=2)
        first, second = (choice["message"]["content"] for choice in answer["choices"])
        assert first == second
        return str(first)

    async def ask_all() -> list[str]:
        async with table.client() as client:
            return await asyncio.gather(*(ask(client, number) for number in range(100)))

    answers = asyncio.run(ask_all())
    assert [answer for number, answer in enumerate(answers) if f"{number:03d}" not in answer] == []
    assert table.memory.counts.sampled == 200


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | JSON, "content": st.text(max_size=20) | JSON},
    optional={"name": JSON, "tool_call_id": JSON, "tool_calls": JSON},
)
FIELDS = {
    "model": st.just("policy"),
    "n": st.integers(-1, 3) | JSON,
    "stop": st.lists(st.text(max_size=3), max_size=3) | JSON,
    "max_tokens": st.integers(0, 40) | JSON,
    "temperature": st.floats(-1, 3) | JSON,
    "logprobs": JSON,
    "seed": st.integers() | JSON,
    "tools": st.lists(JSON, max_size=2) | st.just([TOOL]),
    "tool_choice": JSON,
    "response_format": JSON,
    "chat_template_kwargs": JSON,
    "reasoning": JSON,
    "sampling_params": JSON,
    "input_ids": st.lists(st.integers(0, 400), max_size=5) | JSON,
    "text": JSON,
    "prompts": JSON,
    "prompt": st.text(max_size=9) | st.lists(st.integers(-1, 400), max_size=5) | JSON,
}
BODIES = JSON | st.fixed_dictionaries({"messages": st.lists(MESSAGE, max_size=3) | JSON}, optional=FIELDS)
SOUND = {"model": "policy", "messages": HELLO, "prompt": "hello"}
BODIES |= st.fixed_dictionaries({}, optional=FIELDS).map(lambda body: SOUND | dict([*body.items()][:2]))
RAW = st.builds(lambda body: json.dumps(body).encode(), BODIES) | st.binary(max_size=30)
PATHS = ("/v1/chat/completions", "/v1/completions", "/generate", "/generate/")


def test_no_body_is_answered_with_a_500(room: Rooms) -> None:
    table = room(most=50)
    seen = set()

    async def fuzz() -> None:
        async with table.client() as client:
            loop = asyncio.get_running_loop()

            @settings(max_examples=int(os.environ.get("LACHESIS_FUZZ", "400")))
            @given(st.sampled_from(PATHS), RAW)
            def post(path: str, data: bytes) -> None:
                status, text = asyncio.run_coroutine_threadsafe(send(path, data), loop).result()
                seen.add(status)
                assert status in (200, 400, 404), text
                assert status == 200 or json.loads(text)["error"]["message"]

            async def send(path: str, data: bytes) -> tuple[int, str]:
                response = await client.post(path, data=data)
                return response.status, await response.text()

            await asyncio.to_thread(post)

    asyncio.run(fuzz())
    assert {200, 400} <= seen
    assert len(table.memory) <= 50


def test_the_routes_start_without_torch() -> None:
    heavy = "sorted({'torch', 'transformers', 'ray'} & set(sys.modules))"
    program = f"import sys, lachesis.rollout.service.engine.routes; print({heavy})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_reply_that_was_cut_off_is_continued_with_the_end_of_its_turn(room: Rooms) -> None:
    table = room(["the answer is 4", "yes"], ends=False, whole=True)

    async def talk() -> None:
        async with table.client() as client:
            first = await table.chat(client, HELLO, max_tokens=3)
            said = first["choices"][0]["message"]
            await table.chat(client, [*HELLO, said, {"role": "user", "content": "more"}])

    asyncio.run(talk())
    text = table.renderer.decode(table.engine.requests[1].prompt)
    assert text.count("<|im_end|>") == text.count("<|im_start|>") - 1


def test_calls_are_read_in_the_form_of_the_models_template(room: Rooms) -> None:
    call = tool_format("glm45").write_calls([ToolCall("look", {"at": "x"})])
    table = room([f"I look.\n{call}"], whole=True)
    table.renderer.call_format = "glm45"
    ((_, answer),) = posted(table, "/v1/chat/completions", chat(tools=[TOOL]))
    (choice,) = answer["choices"]
    function = choice["message"]["tool_calls"][0]["function"]
    assert (choice["finish_reason"], function["name"], json.loads(function["arguments"])) == (
        "tool_calls",
        "look",
        {"at": "x"},
    )
    assert choice["message"]["content"].strip() == "I look."
