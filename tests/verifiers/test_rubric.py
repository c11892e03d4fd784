"""Rubrics: labels, weights, and verifiers that misbehave."""

import asyncio
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import verifier
from lachesis.verifiers.rubric import Rubric, reward, use
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
    judged = asyncio.run(Rubric().with_methods(Odd()).judge(case("yes")))
    assert judged.score("exits") is None
    assert "SystemExit: 3" in judged.components[0].verdict.reason


def test_a_scalar_of_numpys_is_a_number() -> None:
    judged = asyncio.run(Rubric().with_methods(Odd()).judge(case("yes")))
    assert judged.score("scalar") == 0.5


def test_every_component_is_kept_by_label_with_its_weight() -> None:
    rubric = Rubric(use("exact", weight=2.0), use("exact", label="loose", weight=0.5, ignore_case=True))
    judged = asyncio.run(rubric.judge(case("yes", "YES")))
    assert [(c.label, c.weight, c.verdict.score) for c in judged.components] == [
        ("exact", 2.0, 0.0),
        ("loose", 0.5, 1.0),
    ]
    assert judged.total == 0.5
    assert all(component.verdict.elapsed > 0 for component in judged.components)


def test_marked_methods_are_part_of_the_reward() -> None:
    judged = asyncio.run(Rubric().with_methods(Holder()).judge(case("LOUD")))
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
    judged = asyncio.run(rubric.judge(case("42")))
    broken, exact = (component.verdict for component in judged.components)
    assert broken.status == "infra_error"
    assert exact.passed
    assert time.monotonic() - start < 5
    assert re.search(reason, broken.reason)


def test_an_entry_judges_only_its_own_agent() -> None:
    rubric = Rubric(use("exact", agent="x"), use("exact", agent="y", label="other"))
    judged = asyncio.run(rubric.judge(case("42", agent="y")))
    assert [component.label for component in judged.components] == ["other"]
    assert rubric.agents == {"x", "y"}


@pytest.mark.parametrize("value", [float("nan"), "high", None])
def test_a_method_that_returns_no_number_is_an_infrastructure_error(value: Any) -> None:
    class Bad:
        @reward()
        def score(self, case: Case) -> Any:
            return value

    judged = asyncio.run(Rubric().with_methods(Bad()).judge(case("a")))
    assert judged.components[0].verdict.status == "infra_error"


def test_a_method_may_return_a_verdict() -> None:
    class Careful:
        @reward()
        def score(self, case: Case) -> Verdict:
            return infra_error("no network")

    assert asyncio.run(Rubric().with_methods(Careful()).judge(case("a"))).unjudged
