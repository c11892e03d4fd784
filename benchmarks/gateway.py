"""The agent gateway beyond the engine's time: 100 agents at a time that use tools, among up to 1,000 open episodes.

The agents run in a process of their own. Each conversation has 8 calls with 17 tools, as those of Hermes Agent. The
engine takes a second for each reply, whatever it is asked. The limit is an aiohttp server that waits as long, reads the
request's JSON and answers with a constant. Both serve as ``lachesis gateway`` does: on uvloop, with rare looks at
cyclic garbage. The tokenizer has 8,192 tokens and was trained on Lachesis' own pages, and splits text as Qwen's does. A
row has the tiny model's tokenizer instead, which has a token for nearly every character.

A call's time beyond the engine is what its agent waits, less that second. The client's own work is in it, which takes
about as long with the bare server, and the waiting for calls of other agents. So the gateway adds the difference of the
columns. First and later calls have rows of their own, as a first call is read, rendered and encoded whole. CPU is that
of the server's process over all calls, with its system calls, but without the agents. It is two to three times that of
a loop over the same calls, because the process sleeps between two calls and the processor's caches forget it.

On two cores, agents and server have one each, if nothing else runs. More load makes all figures worse, and those of the
gateway more than the bare server's. With a slower engine fewer calls would meet, and the gateway would look better.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

import numpy as np
import uvloop
from aiohttp import ClientSession, TCPConnector, web
from tokenizers import Regex, Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.token_chat import TokenPolicy
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.gateway.gateway import Gateway
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.verifiers.processes.garbage import collect_rarely

AGENTS, TURNS, EPISODES, ROUNDS = 100, 8, (100, 1000), 3
ENGINE = 1.0  # seconds of one reply
CONTEXT = 1 << 17
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": "Does something useful with a file, and says what it did. " * 4,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}},
        },
    }
    for number in range(17)
]
CALL = '<tool_call>\n{"name": "tool_1", "arguments": {"path": "a"}}\n</tool_call>'
_WORDS = (  # how Qwen's tokenizers split text before they merge
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SYSTEM = "You are an agent that uses its tools to do what it is asked. " * 50


@dataclass(frozen=True)
class Measured:
    """Milliseconds.

    Attributes:
        first: of the first call of each agent beyond the engine's time.
        later: the same of all other calls.
        cpu: of the server's process a call.
    """

    first: list[float]
    later: list[float]
    cpu: float


class WaitingEngine:
    """Answers every request with the same call of a tool, after a second."""

    def __init__(self, renderer: Renderer) -> None:
        self.ids = renderer.reply(CALL)

    async def generate(self, request: Request) -> Completion:
        await asyncio.sleep(ENGINE)
        logprobs, versions = np.full(self.ids.size, -1, np.float32), np.zeros(self.ids.size, np.int32)
        return Completion(self.ids, logprobs, versions, "stop")


def rows() -> Iterator[tuple[str, float, str, float]]:
    """The figures of all rounds together; the limit is a bare server, which takes turns with the gateway."""
    trained = trained_tokenizer()
    rounds = [(run(bare_server()), *(run(gateway(episodes, trained)) for episodes in EPISODES)) for _ in range(ROUNDS)]
    bare, *gateways = map(together, zip(*rounds, strict=True))
    for episodes, ours in zip(EPISODES, gateways, strict=True):
        among = f"{AGENTS} agents, {episodes:,} open episodes"
        for name, reached, limit in (("first", ours.first, bare.first), ("later", ours.later, bare.later)):
            yield f"a {name} call beyond the engine, {among}", fmean(reached), "ms", fmean(limit)
            yield f"its 99th percentile, {among}", slow(reached), "ms", slow(limit)
        both = [*ours.first, *ours.later], [*bare.first, *bare.later]
        yield f"any call beyond the engine, {among}", fmean(both[0]), "ms", fmean(both[1])
        yield f"CPU of a call, {among}", ours.cpu, "ms", bare.cpu
    tiny = run(gateway(EPISODES[0], build_tiny_tokenizer(context=CONTEXT)))
    yield "CPU of a call, the tiny model's tokenizer", tiny.cpu, "ms", bare.cpu


def together(rounds: Sequence[Measured]) -> Measured:
    """All rounds of one server."""
    first, later = ([ms for one in rounds for ms in getattr(one, name)] for name in ("first", "later"))
    return Measured(first, later, fmean(one.cpu for one in rounds))


def run(server: Any) -> Measured:
    """Measure a server on the event loop of ``lachesis gateway``."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(server))


def trained_tokenizer() -> PreTrainedTokenizerFast:
    """The tiny model's tokenizer with a vocabulary as models have it, trained on the pages in ``docs``."""
    tokenizer = build_tiny_tokenizer(context=CONTEXT)
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_WORDS), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    backend.decoder = tokenizer.backend_tokenizer.decoder
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=8192, show_progress=False, initial_alphabet=alphabet)
    pages = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
    backend.train_from_iterator([page.read_text(encoding="utf-8") for page in pages], trainer)
    for token in tokenizer.backend_tokenizer.get_added_tokens_decoder().values():
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
        chat_template=tokenizer.chat_template,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def slow(milliseconds: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(milliseconds, n=100)[-1]


@asynccontextmanager
async def gateway(episodes: int, tokenizer: PreTrainedTokenizerFast) -> AsyncIterator[tuple[str, list[str]]]:
    """A gateway with open episodes, each of which has answered a call."""
    renderer = Renderer(tokenizer)
    policy = TokenPolicy(WaitingEngine(renderer), renderer, Sampling(max_tokens=256), context=CONTEXT)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Gateway())
        opened = [await stack.enter_async_context(server.open(policy, seed=(0, n, 0))) for n in range(episodes)]
        idle = [one.key for one in opened[AGENTS:]]
        async with ClientSession(connector=TCPConnector(limit=50)) as session:
            await asyncio.gather(*(call(session, server.url, key, talk(n)) for n, key in enumerate(idle)))
        yield server.url, [one.key for one in opened[:AGENTS]]


@asynccontextmanager
async def bare_server() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that reads a request's JSON and answers with a constant."""
    used = {"id": "c", "type": "function", "function": {"name": "tool_1", "arguments": '{"path": "a"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [used]}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}

    async def handle(request: web.Request) -> web.Response:
        await request.json()
        await asyncio.sleep(ENGINE)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}".format(*runner.addresses[0][:2]), ["key"] * AGENTS
    await runner.cleanup()


async def measure(server: Any) -> Measured:
    """Let the agents play against the server."""
    async with server as (url, keys):
        collect_rarely()
        begun = time.process_time()
        command = [sys.executable, "-m", "benchmarks.gateway", url, *keys]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        cpu = time.process_time() - begun
    played = [[1e3 * (seconds - ENGINE) for seconds in agent] for agent in json.loads(out)]
    later = [beyond for agent in played for beyond in agent[1:]]
    return Measured([agent[0] for agent in played], later, 1e3 * cpu / (len(played) + len(later)))


def talk(number: int) -> list[dict[str, Any]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Do the task {number}. " * 20}]


async def call(session: ClientSession, url: str, key: str, messages: list[Any]) -> Any:
    """The reply to a conversation."""
    body = {"model": "policy", "messages": messages, "tools": TOOLS}
    headers = {"Authorization": f"Bearer {key}"}
    async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return (await response.json())["choices"][0]["message"]


async def agent(session: ClientSession, url: str, key: str, number: int) -> list[float]:
    """Play one conversation, begun at a time of its own, and return the seconds of each call."""
    messages, seconds = talk(number), []
    await asyncio.sleep(ENGINE * number / AGENTS)
    for turn in range(TURNS):
        begun = time.perf_counter()
        reply = await call(session, url, key, messages)
        seconds.append(time.perf_counter() - begun)
        content = f"{number} {turn}: the file has a line\n" * 10
        messages += [reply, {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": content}]
    return seconds


async def main(url: str, keys: list[str]) -> None:
    """Play all agents, and print the seconds of each call as JSON."""
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        played = await asyncio.gather(*(agent(session, url, key, number) for number, key in enumerate(keys)))
    print(json.dumps(played))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
