"""Generated agents that edit, compact, fork, cancel and retry: every sampled token is trained once or accounted for."""

import asyncio
import json
import random
from typing import Any

import pytest

from lachesis.rollout.gateway.budget import GatewayLimits
from lachesis.rollout.gateway.recording import Recording
from lachesis.rollout.service.engine.requests import Refusal
from lachesis.verifiers.trajectory import StopReason

from .conftest import CALLED, LOOK, TEMPLATES, Engine, ask, check_exact, opened, result, said, until, user

PIECES = ["the answer is 4", "hello", " \n", "né 😀", "<think>", "hm\n</think>\n\n", CALLED, "<tool_call>{broken"]
PIECES += ["<|im_end|>", "<tool_response>", "STOP", "{}", "<think>\nhm\n</think>\n\n"]
SYSTEMS = ["You are an agent.", "You are a subagent.", ""]


class Agent:
    """Talks, and treats its history as badly as programs do."""

    def __init__(self, engine: Engine, episode: Any, rng: random.Random) -> None:
        self.engine, self.episode, self.rng = engine, episode, rng
        self.options: dict[str, Any] = {"tools": [LOOK]} if rng.random() < 0.7 else {}
        self.messages = self.begin()

    def begin(self) -> list[Any]:
        system = self.rng.choice(SYSTEMS)
        return [*([{"role": "system", "content": system}] if system else []), user(self.text())]

    def text(self) -> str:
        return "".join(self.rng.choices(PIECES, k=self.rng.randint(1, 3)))

    async def play(self, steps: int) -> None:
        for _ in range(steps):
            act = self.rng.choice((self.go_on, self.go_on, self.go_on, self.change, self.fork, self.cancel))
            await act()

    async def go_on(self) -> None:
        more: dict[str, Any] = dict(self.options)
        if self.rng.random() < 0.2:
            more["stop"] = ["STOP"]
        if self.rng.random() < 0.2:
            more["n"] = 2
        if self.rng.random() < 0.2:
            more["max_tokens"] = self.rng.randint(1, 9)
        answer = await ask(self.episode, self.messages, **more)
        if self.rng.random() < 0.1:
            await ask(self.episode, self.messages, retried=True, **more)
        self.append(said(answer, self.rng.randrange(more.get("n", 1))))

    async def go_on_for_ever(self) -> None:
        while True:
            await self.go_on()

    def append(self, reply: dict[str, Any]) -> None:
        if self.rng.random() < 0.2:  # programs do so without meaning to edit
            reply["content"] = f" {reply['content'] or ''}\n"
            for call in reply.get("tool_calls", ()):
                call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), indent=2)
        self.messages.append(reply)
        if reply.get("tool_calls") and self.rng.random() < 0.9:
            self.messages.append(result(reply, self.text()))
        else:
            self.messages.append(user(self.text()))

    async def change(self) -> None:
        place = self.rng.randrange(len(self.messages))
        message = dict(self.messages[place])
        match self.rng.choice(("edit", "strip", "compact", "drop", "truncate", "tools", "begin")):
            case "edit":
                self.messages[place] = {**message, "content": self.text()}
            case "strip":
                for each in self.messages:
                    each.pop("reasoning_content", None)
            case "compact":
                self.messages = [*self.begin(), *self.messages[-2:]]
            case "drop" if len(self.messages) > 2:
                del self.messages[place]
            case "truncate":
                self.messages[place] = {**message, "content": (message["content"] or "")[: self.rng.randint(0, 9)]}
            case "tools":
                self.options = {} if self.options else {"tools": [LOOK]}
            case "begin":
                self.messages = self.begin()

    async def fork(self) -> None:
        others = [Agent(self.engine, self.episode, random.Random(self.rng.random())) for _ in range(2)]
        if self.rng.random() < 0.5:
            for other in others:
                other.messages, other.options = [dict(message) for message in self.messages], self.options
        await asyncio.gather(*(other.go_on() for other in others), self.go_on())

    async def cancel(self) -> None:
        self.engine.gate.clear()
        begun = self.engine.begun
        task = asyncio.create_task(ask(self.episode, self.messages, **self.options))
        await until(lambda: self.engine.begun > begun)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.engine.gate.set()
        if self.rng.random() < 0.7:
            self.append(said(await ask(self.episode, self.messages, **self.options)))


def played(template: str, seed: int) -> Recording:
    rng = random.Random(f"{template} {seed}")
    engine = Engine(template, context=1 << 16, max_tokens=64, ends=rng.random() < 0.9)
    engine.say = lambda request: "".join(rng.choices(PIECES, k=rng.randint(1, 4)))

    async def play() -> Recording:
        async with opened(engine) as episode:
            await Agent(engine, episode, rng).play(rng.randint(3, 9))
            return await episode.close()

    recording = asyncio.run(play())
    check_exact(engine, recording)
    return recording


def test_every_token_of_generated_conversations_is_trained_once_or_accounted_for() -> None:
    recordings = [played(template, seed) for template in TEMPLATES for seed in range(16)]
    proofs = [recording.proof for recording in recordings]
    assert {reason for proof in proofs for reason in proof.untrained} == {"after a stop string"}
    began = {reason for proof in proofs for reason in proof.began}
    assert {"opening", "conversation", "fork", "rewritten", "template"} <= began
    assert sum(proof.cancelled for proof in proofs) > 12
    assert sum(proof.retried for proof in proofs) > 4
    calls, segments = sum(proof.calls for proof in proofs), sum(len(recording.segments) for recording in recordings)
    assert segments < 0.8 * calls  # appends continue their segment


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_token_of_many_more_conversations_is_trained_once_or_accounted_for(template: str) -> None:
    for seed in range(1000, 1300):
        played(template, seed)


def test_an_episode_over_its_limits_is_exact_too() -> None:
    engine = Engine(say=lambda request: "the answer is 4")

    async def play() -> Recording:
        async with opened(engine, limits=GatewayLimits(tokens=25)) as episode:
            agent = Agent(engine, episode, random.Random(0))
            agent.options = {}
            with pytest.raises(Refusal, match="25 tokens"):
                await agent.go_on_for_ever()
            return await episode.close()

    recording = asyncio.run(play())
    check_exact(engine, recording)
    assert recording.stop is StopReason.LENGTH
    assert recording.proof.sampled == 25
