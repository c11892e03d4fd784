"""Advantages by turn on their way from an environment's ``run`` to the samples that are trained on."""

import asyncio
from typing import Any

import numpy as np

from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.trainer.advantages.estimator import compute_advantages
from lachesis.trainer.learner.sample import samples_of
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.task import Task


class Turns(Environment):
    """Gives each turn the number that was said as its advantage, says nothing of others, and ends at "stop"."""

    async def run(self, episode: Episode) -> None:
        chat = episode.chat()
        chat.add("user", "say")
        while (said := (await chat.reply()).text) != "stop":
            if said.lstrip("-").isdigit():
                episode.turn_advantage(int(said) / 4)
            chat.add("user", "again")
        episode.reward("long", len(chat.messages))


def test_the_value_of_a_turn_is_the_advantage_of_its_tokens_and_turns_without_a_value_have_0() -> None:
    tokenizer = build_tiny_tokenizer()
    first = ["3", "stop"]  # of two attempts: one goes on for four turns, the other gives no value at all

    def script(request: Request) -> list[int]:
        turn = tokenizer.decode(request.prompt).count("again")
        line = first.pop(0) if turn == 0 else ["", "hm", "-7", "stop"][turn]
        return [*tokenizer.encode(line, add_special_tokens=False), tokenizer.eos_token_id]

    engine, config = ScriptedEngine(script), RolloutConfig(inline=True)
    worker = GroupWorker([], engine, Renderer(tokenizer), config, context=256, sandbox=SandboxSettings())
    worker.environments = [Turns()]
    (group,) = asyncio.run(worker.run([Order(0, 0, Task("q"), 2, (0, 0), Sampling(max_tokens=16))]))
    assert isinstance(group, Group)
    found = [
        [(tokenizer.decode(sample.tokens[span]), set(sample.advantages[span].tolist())) for span in spans(sample.mask)]
        for sample in samples_of([group], compute_advantages([group], "grpo"), context=256)
    ]
    end = tokenizer.eos_token
    long = [(f"3{end}", {0.75}), (f"hm{end}", {0.0}), (f"-7{end}", {-1.75}), (f"stop{end}", {0.0})]
    assert found == [long, [(f"stop{end}", {0.0})]]


def spans(mask: Any) -> list[slice]:
    """The runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [slice(start, end) for start, end in edges.reshape(-1, 2)]
