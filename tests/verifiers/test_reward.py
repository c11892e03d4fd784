"""Rewards: the weighted sum of what was judged, and the one definition of success."""

import asyncio
import json
from typing import Literal

import pytest

from lachesis import Case, Environment, Episode, Rubric, Task, reward, use
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.reward import Component, Reward, success_rate
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict, infra_error, passed, wrong

NAN = float("nan")


class Close(Environment):
    """The nearer to 42, the better: a dense reward that no value of passes."""

    @reward()
    def near(self, case: Case) -> float:
        return 1 / (1 + abs(int(case.completion) - 42))


class Exact(Close):
    rubric = Rubric(success="right")

    @reward(weight=0.1)
    def right(self, case: Case) -> bool:
        return case.completion == "42"


class Near(Close):
    rubric = Rubric(success=0.5)


def success(environment: Environment, said: str) -> bool | None:
    return environment.score(Task("?", answer="42"), said).success


def test_a_success_label_that_no_reward_has_is_refused_with_the_labels_that_there_are() -> None:
    class Misspelt(Exact):
        rubric = Rubric(success="rigth")

    with pytest.raises(ConfigError, match=r"success names the label 'rigth'.*its labels: near, right"):
        success(Misspelt(), "42")


def test_the_success_label_may_be_of_a_reward_that_the_episode_gives() -> None:
    class Given(Exact):
        rubric = Rubric(success="won")

        async def run(self, episode: Episode) -> None:
            await super().run(episode)
            await episode.chat().reply()
            episode.reward("won", True)

    environment = Given()
    assert environment.score(Task("?"), "1", "2").success
    stopped = Given(limits={"turns": 1})  # the limit ends the episode before it says who won
    assert stopped.score(Task("?"), "1", "2").success is None


def test_a_plain_number_defines_no_success_even_if_it_is_1() -> None:
    assert [success(Close(), said) for said in ("42", "7")] == [None, None]


def test_the_rubric_names_the_component_that_has_to_pass() -> None:
    assert [success(Exact(), said) for said in ("42", "41")] == [True, False]


def test_the_rubric_gives_the_least_total() -> None:
    assert [success(Near(), said) for said in ("42", "41", "40")] == [True, True, False]


def test_without_a_rule_the_heaviest_component_has_to_pass() -> None:
    class Judged(Close):
        rubric = Rubric(use("exact", weight=2.0))

    assert [success(Judged(), said) for said in ("42", "41")] == [True, False]


@pytest.mark.parametrize(
    ("said", "expected"), [("<think>x</think>42", True), ("<think>x</think>41", False), ("42", False)]
)
def test_a_gate_that_does_not_pass_is_a_failure(said: str, expected: bool) -> None:
    rubric = Rubric(use("format", gate=True, tag="think", required=True), use("exact", weight=2.0))
    made = Trajectory(Task("?", answer="42"), messages={POLICY: ({"role": "assistant", "content": said},)})
    assert asyncio.run(rubric.score(Case(made))).success is expected


def test_the_rule_survives_json_and_other_weights() -> None:
    found = Near().score(Task("?"), "41")
    assert Reward.from_json(found.to_json()).success is True
    assert Rubric(use("exact"), success="exact").with_weights({"exact": 0.5}).success == "exact"


def test_an_unscored_reward_is_neither_a_success_nor_a_failure() -> None:
    assert Reward().success is None
    assert Reward((Component("a", 1.0, infra_error("lost")),), success_total=0.0).success is None
    assert Reward((Component("a", 1.0, Verdict(1.0)),), success_label="gone").success is None


def test_the_success_rate_is_undefined_if_one_success_is() -> None:
    good, bad = (Reward((Component("a", 1.0, Verdict(score)),)) for score in (1.0, 0.0))
    assert success_rate([good, bad, good, good]) == 0.75
    assert success_rate([good, Reward((Component("a", 1.0, Verdict(1.0, graded=True)),))]) is None
    assert success_rate([]) is None


def test_a_reward_is_the_weighted_sum_and_a_weight_of_zero_is_a_metric() -> None:
    reward = Reward((Component("a", 2.0, passed()), Component("b", -0.5, passed()), Component("m", 0.0, passed())))
    assert reward.total == 1.5
    assert reward.score("m") == 1.0
    with pytest.raises(KeyError):
        reward.score("nothing")


@pytest.mark.parametrize("status", ["timeout", "limit"])
def test_a_penalty_that_a_reply_evades_by_its_length_counts_in_full(status: Literal["timeout", "limit"]) -> None:
    def total(weight: float, verdict: Verdict) -> float:
        return Reward((Component("answer", 1.0, passed()), Component("penalty", weight, verdict))).total

    assert total(-0.5, Verdict(0.0, status)) == total(-0.5, passed()) == 0.5
    assert total(-0.5, wrong("not found")) == total(-0.5, Verdict(0.0, "unparseable")) == 1.0
    assert total(0.5, Verdict(0.0, status)) == 1.0
    assert total(0.0, Verdict(0.0, status)) == 1.0


def test_no_length_of_a_reply_evades_a_penalty() -> None:
    class Rude(Environment):
        rubric = Rubric(use("exact"), use("regex", weight=-1.0, pattern="darn", search=True))

    for said in ("darn", "darn" + " x" * 600_000):
        assert Rude().score(Task("?", answer="42"), said).total == -1.0
    assert Rude().score(Task("?", answer="42"), "42").total == 1.0


def test_an_infrastructure_error_never_becomes_a_total() -> None:
    reward = Reward((Component("a", 1.0, passed()), Component("b", 1.0, infra_error("the checker died"))))
    assert not reward.scored
    with pytest.raises(DataError, match="the checker died"):
        _ = reward.total


def test_an_infrastructure_error_in_a_metric_does_not_stop_the_reward() -> None:
    reward = Reward((Component("a", 1.0, passed()), Component("b", 0.0, infra_error("died"))))
    assert reward.scored
    assert reward.total == 1.0


def test_a_reward_refuses_two_equal_labels_and_weights_that_are_not_finite() -> None:
    with pytest.raises(DataError, match="unique"):
        Reward((Component("a", 1.0, passed()), Component("a", 1.0, passed())))
    for weight in (NAN, "1", None):
        with pytest.raises(DataError, match="weight of reward 'a' is a finite number, found"):
            Reward((Component("a", weight, passed()),))  # type: ignore[arg-type]


def test_a_reward_behind_a_gate_survives_json_and_names_a_gate_that_is_there() -> None:
    made = Reward((Component("format", 1.0, wrong("no")),), "format", -1.0, ("math",), (-2.0, 2.0))
    assert Reward.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert (made.total, made.score("math"), made.success) == (-1.0, None, False)
    with pytest.raises(DataError, match="none of the rewards"):
        Reward((), gate="format")
    with pytest.raises(DataError, match="unique"):
        Reward((Component("a", 1.0, passed()),), skipped=("a",))


def test_a_total_of_rounded_weights_reaches_its_threshold() -> None:
    parts = tuple(Component(str(n), weight, Verdict(1.0)) for n, weight in enumerate((0.7, 0.2, 0.1)))
    assert sum((0.7, 0.2, 0.1)) < 1.0
    assert Reward(parts, success_total=1.0).success


@pytest.mark.parametrize("success", [True, "", float("nan"), float("inf"), [], "a" * 0])
def test_a_rule_that_can_be_none_is_refused_where_it_is_made(success: object) -> None:
    with pytest.raises(ConfigError, match="a rubric's success is a label or the least total"):
        Rubric(use("exact"), success=success)  # type: ignore[arg-type]


def test_agents_that_the_named_component_does_not_judge_do_not_count() -> None:
    solver = Reward((Component("right", 1.0, Verdict(1.0)),), success_label="right")
    critic = Reward((Component("clear", 1.0, Verdict(1.0)),), success_label="right")
    assert success_rate([solver, critic]) == 1.0
    assert success_rate([critic]) is None


def test_an_infrastructure_failure_of_the_named_metric_is_no_failure() -> None:
    parts = (Component("exact", 1.0, Verdict(1.0)), Component("metric", 0.0, infra_error("lost")))
    lost = Reward(parts, success_label="metric")
    assert lost.scored
    assert lost.success is None
    assert success_rate([lost, Reward((Component("metric", 0.0, Verdict(1.0)),), success_label="metric")]) == 1.0


def test_what_earns_nothing_or_costs_does_not_decide_by_itself() -> None:
    assert Reward((Component("bad", -1.0, Verdict(1.0)), Component("metric", 0.0, Verdict(1.0)))).success is None
