"""Rubrics: labels, weights, and verifiers that misbehave."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.registry import verifier
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.rubric import Rubric, group_reward, reward, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, passed


def case(text: str, answer: Any = "42", agent: str = "policy") -> Case:
    return Case(Trajectory(Task("q", answer), messages={agent: ({"role": "assistant", "content": text},)}), agent)


@verifier("test_behaviour")
@dataclass(frozen=True)
class Behaviour:
    """Does what ``kind`` says."""

    kind: str = ""

    async def verify(self, case: Case) -> Any:
        match self.kind:
            case "raise":
                raise RuntimeError("broken checker")
            case "timeout":
                raise TimeoutError("a socket of its own")
            case "hang":
                await asyncio.sleep(60)
            case "nonsense":
                return 1.0
        return passed()


class Holder:
    @reward(weight=0.5)
    def shouts(self, case: Case) -> bool:
        return case.completion.isupper()

    @reward(weight=0.0, label="length")
    async def characters(self, case: Case) -> float:
        return len(case.completion)


class Odd:
    @reward()
    def exits(self, case: Case) -> float:
        sys.exit(3)

    @reward()
    def scalar(self, case: Case) -> Any:
        return np.float32(0.5)


def test_a_reward_that_exits_has_judged_nothing_and_ends_no_run() -> None:
    judged = asyncio.run(Rubric().with_methods(Odd()).score(case("yes")))
    assert judged.score("exits") is None
    assert "SystemExit: 3" in judged.components[0].verdict.reason


def test_a_numpy_scalar_is_a_number() -> None:
    judged = asyncio.run(Rubric().with_methods(Odd()).score(case("yes")))
    assert judged.score("scalar") == 0.5


def test_every_component_is_kept_by_label_with_its_weight() -> None:
    rubric = Rubric(use("exact", weight=2.0), use("exact", label="loose", weight=0.5, ignore_case=True))
    judged = asyncio.run(rubric.score(case("yes", "YES")))
    assert [(c.label, c.weight, c.verdict.score) for c in judged.components] == [
        ("exact", 2.0, 0.0),
        ("loose", 0.5, 1.0),
    ]
    assert judged.total == 0.5
    assert all(component.verdict.elapsed > 0 for component in judged.components)


def test_marked_methods_are_part_of_the_reward() -> None:
    judged = asyncio.run(Rubric().with_methods(Holder()).score(case("LOUD")))
    assert judged.total == 0.5
    assert judged.score("length") == 4.0


def test_weights_change_by_label_and_an_unknown_label_names_the_nearest() -> None:
    rubric = Rubric(use("exact"), use("format", weight=0.1)).with_weights({"format": 0.0})
    assert rubric.weights == {"exact": 1.0, "format": 0.0}
    with pytest.raises(ConfigError, match="did you mean 'format'"):
        rubric.with_weights({"fromat": 1.0})


def test_labels_are_unique_and_weights_finite() -> None:
    with pytest.raises(ConfigError, match="two rewards are labelled 'exact'"):
        Rubric(use("exact"), use("exact"))
    with pytest.raises(ConfigError, match="finite"):
        Rubric(use("exact", weight=float("nan")))
    with pytest.raises(ConfigError, match="finite"):
        Rubric(use("exact")).with_weights({"exact": float("inf")})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("raise", "broken checker.*test_rubric.py, line"),
        ("timeout", "a socket of its own"),
        ("hang", "more than its 0.05 s"),
        ("nonsense", "returns a Verdict, found 1.0"),
    ],
)
def test_a_verifier_that_fails_has_judged_nothing_and_harms_only_its_own_verdict(kind: str, reason: str) -> None:
    rubric = Rubric(use("test_behaviour", kind=kind), use("exact"), deadline=0.05)
    start = time.monotonic()
    judged = asyncio.run(rubric.score(case("42")))
    broken, exact = (component.verdict for component in judged.components)
    assert broken.status == "infra_error"
    assert exact.passed
    assert time.monotonic() - start < 30
    assert re.search(reason, broken.reason)


def test_an_entry_judges_only_its_own_agent() -> None:
    rubric = Rubric(use("exact", agent="x"), use("exact", agent="y", label="other"))
    judged = asyncio.run(rubric.score(case("42", agent="y")))
    assert [component.label for component in judged.components] == ["other"]
    assert rubric.agents == {"x", "y"}


@pytest.mark.parametrize("value", [float("nan"), "high", None])
def test_a_method_that_returns_no_number_is_an_infrastructure_error(value: Any) -> None:
    class Bad:
        @reward()
        def score(self, case: Case) -> Any:
            return value

    judged = asyncio.run(Rubric().with_methods(Bad()).score(case("a")))
    assert judged.components[0].verdict.status == "infra_error"


def test_a_method_may_return_a_verdict() -> None:
    class Careful:
        @reward()
        def score(self, case: Case) -> Verdict:
            return infra_error("no network")

    assert asyncio.run(Rubric().with_methods(Careful()).score(case("a"))).unjudged


def judged(rubric: Rubric, text: str, answer: Any = "42") -> Reward:
    """The reward, and proof that it survives storage."""
    found = asyncio.run(rubric.score(case(text, answer)))
    assert Reward.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    return found


def test_if_a_gate_passes_everything_counts() -> None:
    rubric = Rubric(use("exact"), use("format", gate=True, weight=0.1), gated=-1.0)
    found = judged(rubric, "<think>so</think>42")
    assert [(part.label, part.verdict.score) for part in found.components] == [("exact", 1.0), ("format", 1.0)]
    assert found.total == pytest.approx(1.1)
    assert found.success


def test_if_a_gate_fails_nothing_else_counts_or_is_judged() -> None:
    raising = use("test_behaviour", kind="raise")
    rubric = Rubric(use("exact"), use("format", gate=True), raising, use("number", weight=0), gated=-0.5)
    found = judged(rubric, "42")
    assert [part.label for part in found.components] == ["format"]
    assert found.skipped == ("exact", "test_behaviour", "number")
    assert (found.total, found.scored, found.success) == (-0.5, True, False)
    assert found.score("exact") is None


def test_gates_are_judged_in_order_and_the_first_that_fails_ends_it() -> None:
    rubric = Rubric(use("exact"), use("number", gate=True), use("format", gate=True, weight=0))
    assert judged(rubric, "four").gate == "number"
    found = judged(rubric, "it is 42")
    assert (found.gate, found.skipped, [part.label for part in found.components]) == (
        "format",
        ("exact",),
        ["number", "format"],
    )
    assert found.total == 0.0


def test_a_gate_that_could_not_be_judged_leaves_no_score_even_at_weight_0() -> None:
    found = judged(Rubric(use("test_behaviour", kind="raise", gate=True, weight=0), use("exact")), "42")
    assert not found.scored
    assert found.skipped == ("exact",)
    with pytest.raises(DataError, match="broken checker"):
        _ = found.total


def test_a_method_may_be_a_gate() -> None:
    class Strict:
        @reward(gate=True, weight=0)
        def short(self, case: Case) -> bool:
            return len(case.completion) < 5

    rubric = Rubric(use("exact")).with_methods(Strict())
    assert judged(rubric, "42").total == 1.0
    assert judged(rubric, "long " * 9).gate == "short"


def test_rewards_from_the_episode_do_not_count_behind_a_failed_gate() -> None:
    found = judged(Rubric(use("format", gate=True)), "42").extended([Component("win", 1.0, passed())])
    assert found.total == 0.0


def test_a_metric_that_could_not_be_judged_leaves_the_reward_scored() -> None:
    found = judged(Rubric(use("exact"), use("test_behaviour", kind="raise", weight=0)), "42")
    assert (found.scored, found.total) == (True, 1.0)


def test_totals_and_scores_stay_within_bounds_and_the_original_is_kept() -> None:
    class Long:
        @reward(clip=(-1.0, 2.0))
        def length(self, case: Case) -> float:
            return len(case.completion)

    found = judged(Rubric(use("exact"), clip=(0.0, 2.5)).with_methods(Long()), "42")
    assert found.score("length") == 2.0
    assert found.total == 2.5
    (part,) = [part for part in judged(Rubric().with_methods(Long()), "12345").components]
    assert part.verdict.evidence["unclipped"] == 5.0
    assert judged(Rubric(use("exact", weight=-3), clip=(-1, 1)), "42").total == -1.0


def test_bounds_do_not_change_verdicts_without_a_judged_score() -> None:
    found = judged(Rubric(use("number", clip=(0.5, 1)), use("test_behaviour", kind="raise", clip=(0.5, 1))), "none")
    assert [part.verdict.score for part in found.components] == [0.0, None]


@pytest.mark.parametrize("clip", [(1, 0), (0, float("nan")), (0, float("inf")), (1,), (1, 1)])
def test_impossible_bounds_are_refused(clip: Any) -> None:
    with pytest.raises(ConfigError, match="the lower first"):
        Rubric(use("exact", clip=clip))
    with pytest.raises(ConfigError, match="the lower first"):
        Rubric(clip=clip)
    with pytest.raises(ConfigError, match="finite"):
        Rubric(gated=float("nan"))


def attempts(*texts: str, agent: str = "policy", rubric: Rubric) -> list[Case]:
    """Judged cases of one task."""
    found = []
    for text in texts:
        one = case(text, agent=agent)
        rewards = {agent: asyncio.run(rubric.score(one))}
        found.append(Case(one.trajectory.with_rewards(rewards), agent))
    return found


def compare(rubric: Rubric, *texts: str) -> list[Reward]:
    return asyncio.run(rubric.score_group(attempts(*texts, rubric=rubric)))


class Peers:
    @group_reward(weight=0.5)
    def rare(self, cases: Sequence[Case]) -> list[float]:
        texts = [one.completion for one in cases]
        return [float(texts.count(text) == 1) for text in texts]

    @group_reward(weight=0.0, clip=(0, 2))
    async def right(self, cases: Sequence[Case]) -> list[Verdict]:
        assert all(one.reward.score("exact") is not None for one in cases)
        return [passed(score=sum(bool(one.reward.score("exact")) for one in cases))] * len(cases)


def test_group_rewards_see_all_attempts_and_what_they_earned() -> None:
    found = compare(Rubric(use("exact")).with_methods(Peers()), "42", "42", "41")
    assert [given.total for given in found] == [1.0, 1.0, 0.5]
    assert [given.score("right") for given in found] == [2.0, 2.0, 2.0]


def test_group_rewards_are_reweighted_by_label_and_judged_for_groups_only() -> None:
    rubric = Rubric(use("exact")).with_methods(Peers()).with_weights({"rare": 0.0, "right": 1.0})
    assert rubric.scores_groups
    assert [part.label for part in judged(rubric, "42").components] == ["exact"]
    assert [given.total for given in compare(rubric, "42", "0")] == [2.0, 1.0]
    assert not Rubric(use("exact")).scores_groups


def test_attempts_behind_a_gate_take_no_part_in_group_rewards() -> None:
    rubric = Rubric(use("format", gate=True, weight=0), use("exact")).with_methods(Peers())
    found = compare(rubric, "42", "<think>a</think>42", "<think>a</think>42")
    assert [given.total for given in found] == [0.0, 1.0, 1.0]
    assert found[0].skipped == ("exact", "rare", "right")
    assert compare(rubric, "42", "41")[1].skipped == ("exact", "rare", "right")


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (lambda cases: [1.0], "one verdict per case, here 2"),
        (lambda cases: [1.0, "high"], "return a number or a Verdict"),
        (lambda cases: 1 / 0, "ZeroDivisionError"),
        (lambda cases: None, "not iterable"),
        (lambda cases: [1.0, float("nan")], "finite"),
    ],
)
def test_a_group_reward_that_fails_has_judged_none_of_the_group(result: Any, reason: str) -> None:
    class Bad:
        @group_reward()
        def together(self, cases: Sequence[Case]) -> Any:
            return result(cases)

    found = compare(Rubric(use("exact")).with_methods(Bad()), "42", "41")
    assert [given.scored for given in found] == [False, False]
    assert re.search(reason, found[0].unjudged[0].verdict.reason)


def test_a_group_reward_that_hangs_is_ended() -> None:
    class Slow:
        @group_reward()
        async def together(self, cases: Sequence[Case]) -> list[float]:
            await asyncio.sleep(60)
            return []

    found = compare(Rubric(use("exact"), deadline=0.05).with_methods(Slow()), "42", "41")
    assert "more than its 0.05 s" in found[0].unjudged[0].verdict.reason


def test_a_group_reward_is_its_own_agents_and_no_gate() -> None:
    rubric = Rubric(use("majority", agent="x"))
    (given,) = asyncio.run(rubric.score_group(attempts("a", agent="y", rubric=rubric)))
    assert given.components == ()
    with pytest.raises(ConfigError, match="cannot be a gate"):
        Rubric(use("majority", gate=True))
