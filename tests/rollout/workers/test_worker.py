"""A worker's groups: judged one by one, then together; what stays without a score is tried again, and then left out."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from lachesis.environments.environment import Environment
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Failure, Order, Outcome
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.case import Case
from lachesis.verifiers.group import Group
from lachesis.verifiers.rubric import Rubric, group_reward, use
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.task import Task
from lachesis.verifiers.verdict import Verdict, infra_error, passed


class Crowd(Environment):
    """Earns for being right and for saying what nobody else says; its judge of groups may be away for a while."""

    rubric = Rubric(use("exact"), use("number", weight=0))
    away: ClassVar[int] = 0
    seen: ClassVar[list[int]] = []

    @group_reward(weight=0.5)
    async def rare(self, cases: Sequence[Case]) -> list[Verdict]:
        Crowd.seen.append(len(cases))
        if Crowd.away:
            Crowd.away -= 1
            return [infra_error("the judge is away")] * len(cases)
        texts = [case.completion for case in cases]
        return [passed(score=float(texts.count(text) == 1)) for text in texts]


def make(says: Sequence[str], away: int = 0, **settings: Any) -> tuple[Outcome, int]:
    """The outcome of one order whose attempts say the texts, and how many requests it took."""
    tokenizer = build_tiny_tokenizer()
    left = list(says)

    def script(request: Request) -> list[int]:
        return [*tokenizer.encode(left.pop(0), add_special_tokens=False), tokenizer.eos_token_id]

    Crowd.away, Crowd.seen = away, []
    engine = ScriptedEngine(script)
    config = RolloutConfig(inline=True, **settings)
    worker = GroupWorker([], engine, Renderer(tokenizer), config, context=256, sandbox=SandboxSettings())
    worker.environments = [Crowd()]
    order = Order(0, 0, Task("q", "4"), len(says), (0, 0), Sampling(max_tokens=16))
    (outcome,) = asyncio.run(worker.run([order]))
    return outcome, len(engine.requests)


def totals(outcome: Outcome) -> list[float]:
    assert isinstance(outcome, Group)
    return [attempt.rewards["policy"].total for attempt in outcome.trajectories]


def test_a_group_is_judged_together_when_all_its_attempts_are_there() -> None:
    outcome, _ = make(["4", "4", "5"])
    assert sorted(totals(outcome)) == [0.5, 1.0, 1.0]
    assert Crowd.seen == [3]


def test_one_attempt_alone_has_no_group_reward() -> None:
    outcome, _ = make(["4"])
    assert totals(outcome) == [1.0]
    assert Crowd.seen == []


def test_a_judge_of_groups_that_is_away_is_asked_again_and_nothing_is_played_anew() -> None:
    outcome, requests = make(["4", "5"], away=2, retries=3)
    assert sorted(totals(outcome)) == [0.5, 1.5]
    assert (Crowd.seen, requests) == ([2, 2, 2], 2)


@pytest.mark.parametrize(("policy", "asked"), [("retry", 3), ("drop", 1), ("fail", 1)])
def test_a_judge_of_groups_that_stays_away_fails_the_group_as_the_policy_says(policy: str, asked: int) -> None:
    outcome, _ = make(["4", "5"], away=99, retries=2, on_failure=policy)
    assert outcome == Failure(0, "reward 'rare' of agent 'policy' was not judged: the judge is away")
    assert len(Crowd.seen) == asked


@pytest.mark.parametrize(
    "judged",
    [lambda attempts: None, lambda attempts: [*attempts, *attempts], lambda attempts: attempts[:1], lambda _: [1, 2]],
)
def test_a_judge_of_groups_that_returns_other_ones_fails_its_group_alone(
    monkeypatch: pytest.MonkeyPatch, judged: Any
) -> None:
    async def score_group(self: Crowd, attempts: Sequence[Any]) -> Any:
        return judged(list(attempts))

    monkeypatch.setattr(Crowd, "score_group", score_group)
    outcome, _ = make(["4", "5"])
    assert isinstance(outcome, Failure)
    assert "TypeError" in outcome.reason


def test_a_judge_that_returns_no_trajectory_leaves_its_attempts_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def score_trajectory(self: Crowd, trajectory: Any) -> Any:
        return None

    monkeypatch.setattr(Crowd, "score_trajectory", score_trajectory)
    outcome, _ = make(["4", "5"], retries=0)
    assert isinstance(outcome, Failure)
    assert "score_trajectory returns the trajectory that it was given" in outcome.reason
