"""A thousand conversations at once in one process: nobody is left waiting, all end with a reason, memory is bounded."""

import asyncio
import gc
from collections import Counter
from pathlib import Path

from lachesis.environments.loading import describe
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.trajectory import StopReason

GROUPS, ATTEMPTS = 125, 8
CALL = '<tool_call>{"name": "calculate", "arguments": {"expression": "1+1"}}</tool_call>'
MOST_MIB = 256
"""That a thousand open conversations with threads for their tools may take."""


def resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_a_thousand_multi_turn_episodes_at_once() -> None:
    tokenizer = build_tiny_tokenizer()
    call, answer = ([*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in (CALL, "2"))
    spec = describe("calculator", config={"show_tools": False, "limits": {"turns": 4, "tool_calls": 3}})
    asked: Counter[int] = Counter()
    widest = 0

    def script(request: Request) -> list[int]:
        """Three calls, then an answer; in every third group calls without end."""
        nonlocal widest
        said = sum(request.prompt.tolist().count(token) for token in [tokenizer.convert_tokens_to_ids("<tool_call>")])
        asked[said] += 1
        widest = max(widest, sum(asked.values()) - asked[0] if asked[0] < GROUPS * ATTEMPTS else 0)
        return call if said < 3 or request.route % 3 == 0 else answer

    worker = GroupWorker(
        [spec], ScriptedEngine(script, context=1024), Renderer(tokenizer), RolloutConfig(), 1024, SandboxSettings()
    )
    tasks = worker.environments[0].tasks("train", 0)
    orders = [
        Order(index, 0, task, ATTEMPTS, (0, 0), Sampling(max_tokens=100))
        for index, task in zip(range(GROUPS), tasks, strict=False)
    ]
    before = resident()
    outcomes = asyncio.run(worker.run(orders))
    grown = resident() - before
    stops: Counter[StopReason] = Counter()
    for outcome in outcomes:
        assert isinstance(outcome, Group), outcome
        stops.update(attempt.stop for attempt in outcome.trajectories)
        assert {attempt.metrics["turns"] for attempt in outcome.trajectories} == {4.0}
    calls_only = ATTEMPTS * len(range(0, GROUPS, 3))
    assert stops == {StopReason.TOOL_CALLS: calls_only, StopReason.DONE: GROUPS * ATTEMPTS - calls_only}
    assert asked == dict.fromkeys(range(4), GROUPS * ATTEMPTS)
    assert widest == 0, "somebody had a second turn before everybody had a first"
    assert grown < MOST_MIB
    del outcomes, outcome
    gc.collect()
    settled = resident()
    asyncio.run(worker.run(orders))
    gc.collect()
    assert resident() - settled < MOST_MIB / 8  # a second thousand finds room in what the first has given back
