"""The clients of ``atroposlib`` and ``openai``, as a program: ``atropos_clients.py URL TOKENIZER``; prints JSON."""

import asyncio
import json
import sys
from typing import Any

import openai
from atroposlib.envs.server_handling.managed_server import ManagedServer
from atroposlib.envs.server_handling.openai_server import OpenAIServer
from atroposlib.envs.server_handling.server_baseline import APIServerConfig
from atroposlib.envs.server_handling.sglang_server import SGLangServer
from atroposlib.envs.server_handling.trl_vllm_server import TrlVllmServer
from atroposlib.envs.server_handling.vllm_server import VLLMServer
from atroposlib.utils.tokenize_for_trainer import tokenize_for_trainer

QUESTIONS = ("what is the sum?", "and the answer?")


async def chat(server: Any, n: int) -> list[str]:
    """Several samples of one question."""
    messages = [{"role": "user", "content": QUESTIONS[0]}]
    answer = await server.chat_completion(messages=messages, n=n, max_tokens=40, temperature=1.0)
    return [choice.message.content for choice in answer.choices]


async def conversation(server: Any) -> list[dict[str, str]]:
    """Two turns, as environments that call ``chat_completion`` play them."""
    messages: list[dict[str, str]] = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        answer = await server.chat_completion(messages=messages, n=1, max_tokens=40)
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
    return messages


async def managed(server: Any) -> list[dict[str, Any]]:
    """Two turns and then three samples through the managed server: the sequences that it would post."""
    manager = ManagedServer(server, tokenizer=server.tokenizer)
    messages: list[dict[str, str]] = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        answer = await manager.chat_completion(messages=messages, n=1, max_tokens=40, temperature=1.0)
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
    await manager.completion(prompt="hello", n=3, max_tokens=40, stop=["number"])
    return [node.model_dump() for node in manager.get_state()["nodes"]]


async def refusals(client: openai.AsyncClient) -> list[str]:
    """What the client of OpenAI makes of what is refused."""
    found = []
    for more in ({"model": "nobody"}, {"stream": True}, {"messages": [{"role": "user", "content": "hello " * 999}]}):
        body: Any = {"model": "policy", "messages": [{"role": "user", "content": "a"}], **more}
        try:
            await client.chat.completions.create(**body)
        except openai.APIStatusError as error:
            found.append(f"{type(error).__name__} {error.code}")
    return found


async def main(url: str, tokenizer: str) -> dict[str, Any]:
    config = {
        "api_key": "x",
        "model_name": "policy",
        "tokenizer_name": tokenizer,
        "timeout": 20,
        "base_url": f"{url}/v1",
    }
    settings = APIServerConfig(**config)
    vllm, sglang, plain = VLLMServer(settings), SGLangServer(settings), OpenAIServer(settings)
    trl = TrlVllmServer(APIServerConfig(**{**config, "base_url": url, "model_name": tokenizer}))
    client = openai.AsyncClient(api_key="x", base_url=f"{url}/v1")
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    question: Any = [{"role": "user", "content": "look at the door"}]
    called = await client.chat.completions.create(model="policy", messages=question, tools=[tool], logprobs=True)
    messages = await conversation(plain)
    return {
        "chat": {name: await chat(each, 3) for name, each in (("vllm", vllm), ("openai", plain), ("trl", trl))},
        "tokenized": [
            tokenize_for_trainer(vllm.tokenizer, messages, train_on_all_assistant_turns=all_of_them)
            for all_of_them in (False, True)
        ],
        "managed": {"vllm": await managed(vllm), "sglang": await managed(sglang)},
        "refusals": await refusals(client),
        "call": called.choices[0].message.tool_calls[0].function.model_dump(),
        "models": [model.id async for model in client.models.list()],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
