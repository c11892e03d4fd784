"""How an agent went about its task: the published formulas, and what does not pay."""

import asyncio
import json
import math
from typing import Any

import pytest

from lachesis.verifiers.agentic.preset import WEIGHTS, hermes_agent
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.message import Message
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.reward import Reward
from lachesis.verifiers.rubric import Rubric
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def attempt(*turns: str, done: Any = True, said: str = "done", info: dict[str, Any] | None = None) -> Case:
    """One letter a call: ``a``, ``b``, … succeed, capitals fail, ``?`` is never answered; each turn is a step."""
    messages: list[Message] = [{"role": "user", "content": "do it"}]
    for turn in turns:
        calls = [{"name": letter.lower(), "arguments": {}} for letter in turn]
        text = "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls)
        messages.append({"role": "assistant", "content": text})
        for letter in turn.replace("?", ""):
            result: Message = {"role": "tool", "name": letter.lower(), "content": "result"}
            messages.append({**result, "error": True} if letter.isupper() else result)
    messages.append({"role": "assistant", "content": said})
    artifacts = {} if done is None else {"completed": done}
    task = Task("do it", answer="7", info=info or {})
    return Case(Trajectory(task, messages={"policy": tuple(messages)}, artifacts=artifacts))


def written_only(calls: str, done: Any) -> Case:
    """Calls in an episode that has no tools."""
    return attempt(calls, done=done, said="")


def judge(name: str, case: Case, **params: Any) -> Verdict:
    verdict = asyncio.run(make_verifier(name, params).verify(case))
    assert json.dumps(verdict.to_json(), allow_nan=False)
    return verdict


def score(name: str, case: Case, **params: Any) -> float | None:
    return judge(name, case, **params).score


def reward(case: Case, **settings: Any) -> Reward:
    return asyncio.run(Rubric(*hermes_agent(**settings)).score(case))


@pytest.mark.parametrize(
    ("done", "share"),
    [(True, 1.0), (False, 0.0), (0.25, 0.25), (1, 1.0), ({"a": True, "b": False}, 0.5), ({"a": True}, 1.0)],
)
def test_completion_is_what_the_environment_left(done: Any, share: float) -> None:
    assert score("task_completion", attempt(done=done)) == share


@pytest.mark.parametrize("done", [None, "yes", 2, -1, {}, {"a": 1}, [True]])
def test_completion_that_is_not_declared_is_nobodys_fault_but_ours(done: Any) -> None:
    for name in ("task_completion", "efficiency"):
        assert judge(name, attempt("a", done=done)).status == "infra_error"


def test_completion_by_another_verifier_is_its_score_on_the_last_reply() -> None:
    assert score("task_completion", attempt(done=None, said="it is 7"), by="number") == 1.0
    assert score("task_completion", attempt(done=True, said="it is 8"), by="number") == 0.0
    with pytest.raises(ConfigError, match="did you mean 'number'"):
        make_verifier("task_completion", {"by": "numbr"})
    with pytest.raises(ConfigError, match="is a group verifier"):
        make_verifier("task_completion", {"by": "majority"})


@pytest.mark.parametrize(
    ("turns", "expected"), [(("a",), 1.0), (("A",), 0.8), (("AbC", "D"), 0.4), (("ABCDE", "F"), 0.0)]
)
def test_accuracy_is_the_published_formula(turns: tuple[str, ...], expected: float) -> None:
    assert score("tool_accuracy", attempt(*turns)) == pytest.approx(expected)


def test_a_call_that_was_never_carried_out_is_not_counted_as_failed() -> None:
    assert score("tool_accuracy", attempt("a?")) == 1.0


@pytest.mark.parametrize("name", ["tool_accuracy", "goal_alignment"])
@pytest.mark.parametrize("calls", ["?", "??"])
def test_a_call_that_nothing_answers_is_worth_no_more_than_none(name: str, calls: str) -> None:
    assert score(name, written_only(calls, done=False)) == 0.0
    assert score(name, written_only(calls, done=None)) == 0.0
    assert score(name, written_only(calls, done=True)) == 1.0


@pytest.mark.parametrize("name", ["tool_accuracy", "goal_alignment"])
def test_to_do_nothing_scores_what_was_done_by_it(name: str) -> None:
    assert score(name, attempt(done=False)) == 0.0
    assert score(name, attempt(done=True)) == 1.0
    assert score(name, attempt(done=None)) == 0.0
    assert score(name, attempt(done=None, said="7"), by="number") == 1.0


@pytest.mark.parametrize(
    ("turns", "params", "expected"),
    [
        (("a",), {}, 1.0),
        (("a", "b"), {}, 0.5),
        (("ab",), {}, 0.5),
        (("a", "b"), {"optimum": 2}, 1.0),
        ((), {}, 1.0),
        (("abcd",), {"optimum": 2, "limit": 6}, 0.5),
        (("abcdefgh",), {"optimum": 2, "limit": 6}, 0.0),
        (("aB",), {}, 0.5),
        (("a?",), {}, 0.5),
    ],
)
def test_efficiency_counts_every_call_against_the_optimum(turns: Any, params: Any, expected: float) -> None:
    assert score("efficiency", attempt(*turns), **params) == pytest.approx(expected)


def test_efficiency_pays_only_for_what_was_done() -> None:
    assert score("efficiency", attempt("a", done=False)) == 0.0
    assert score("efficiency", attempt("a", done={"x": True, "y": False})) == 0.5


def test_a_task_may_say_how_many_calls_it_takes() -> None:
    assert score("efficiency", attempt("a", "b", info={"optimal_calls": 2})) == 1.0
    assert score("efficiency", attempt("a", info={"optimal_calls": 0})) == 0.0
    assert judge("efficiency", attempt("a", info={"optimal_calls": "two"})).status == "infra_error"


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (("a", "b"), 0.0),
        (("A", "b"), 0.3),
        (("A", "B", "c"), 0.3),
        (("A",), 0.0),
        (("Ab", "c"), 0.3),
        (("A", "b?"), 0.0),
        (("A", "bC"), 0.0),
        (("A", "a") * 3, 0.9),
        (("A", "a") * 9, 1.0),
        ((), 0.0),
    ],
)
def test_recovery_is_the_published_formula_over_turns(turns: tuple[str, ...], expected: float) -> None:
    assert score("error_recovery", attempt(*turns)) == pytest.approx(expected)


def test_a_parallel_success_in_the_turn_of_the_failure_is_no_recovery() -> None:
    assert score("error_recovery", attempt("Ab")) == 0.0


def test_where_no_failure_is_worth_all_no_number_of_errors_is_worth_more() -> None:
    clean = score("error_recovery", attempt("a"), no_failure=1)
    assert clean == 1.0
    for errors in range(1, 8):
        found = score("error_recovery", attempt(*("A", "a") * errors), no_failure=1)
        assert found is not None
        assert found <= clean


@pytest.mark.parametrize(
    ("turns", "params", "expected"),
    [
        (("a", "b"), {}, 1.0),
        (("a", "a"), {}, 0.8),
        (("a", "a"), {"repeats": True}, 1.0),
        (("A", "a"), {}, 1.0),
        (("ab", "c"), {"allowed": ["a", "b"]}, 0.8),
        (("ab",), {"forbidden": ["b"]}, 0.8),
        (("a", "c"), {"required": ["a", "b", "c"]}, 2 / 3),
        (("c", "a"), {"required": ["a", "c"]}, 0.5),
        (("A", "c"), {"required": ["a", "c"]}, 0.5),
        (("bc",), {"required": ["a", "b", "c"]}, 2 / 3),
        ((), {"required": ["a"]}, 0.0),
        (("x" * 20,), {}, 0.0),
    ],
)
def test_alignment_is_what_the_declared_checks_say(turns: Any, params: Any, expected: float) -> None:
    assert score("goal_alignment", attempt(*turns), **params) == pytest.approx(expected)


def test_calls_that_all_failed_serve_no_goal() -> None:
    assert score("goal_alignment", attempt("XX", done=False)) == 0.0
    assert score("goal_alignment", attempt("XX", done=True)) == 1.0
    assert score("goal_alignment", attempt("X", "a", done=False)) == 1.0


def test_calls_that_stray_cannot_be_diluted() -> None:
    assert score("goal_alignment", attempt("abcdefghijklm", "z"), forbidden=["z"]) == pytest.approx(0.8)


def test_a_task_may_say_what_its_goal_takes() -> None:
    assert score("goal_alignment", attempt("a", info={"goal": {"required": ["a", "b"]}})) == 0.5
    assert judge("goal_alignment", attempt("a", info={"goal": {"required": "a"}})).status == "infra_error"
    assert judge("goal_alignment", attempt("a", info={"goal": ["a"]})).status == "infra_error"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("tool_accuracy", {"penalty": -1}),
        ("tool_accuracy", {"penalty": math.nan}),
        ("tool_accuracy", {"penalty": "0.2"}),
        ("efficiency", {"optimum": -1}),
        ("efficiency", {"optimum": 1e308}),
        ("efficiency", {"optimum": 3, "limit": 3}),
        ("error_recovery", {"gain": 2}),
        ("error_recovery", {"no_failure": math.inf}),
        ("goal_alignment", {"allowed": "look"}),
        ("goal_alignment", {"required": ["a"] * 65}),
        ("goal_alignment", {"penalty": 7}),
    ],
)
def test_impossible_parameters_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make_verifier(name, params)


def test_the_preset_has_the_published_weights_and_sums_to_one() -> None:
    assert WEIGHTS == {
        "task_completion": 0.35,
        "tool_accuracy": 0.25,
        "efficiency": 0.15,
        "error_recovery": 0.15,
        "goal_alignment": 0.10,
    }
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert Rubric(*hermes_agent()).weights == WEIGHTS
    assert reward(attempt("a")).total == pytest.approx(0.85)
    assert reward(attempt("a"), no_failure=1).total == pytest.approx(1.0)
    assert reward(attempt("A", "a"), optimum=2).total == pytest.approx(0.35 + 0.25 * 0.8 + 0.15 + 0.15 * 0.3 + 0.10)


@pytest.mark.parametrize("no_failure", [0.0, 1.0])
@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("optimum", [1, 20])
def test_errors_on_purpose_are_worth_less_than_none(no_failure: float, done: bool, optimum: int) -> None:
    settings = {"no_failure": no_failure, "optimum": optimum}
    clean = reward(attempt("a", done=done), **settings).total
    published = reward(attempt("a", done=done), **settings, scaled=False).total
    for errors in range(1, 12):
        for turns in (("X", "a") * errors, ("X" * errors, "a")):
            total = reward(attempt(*turns, done=done), **settings).total
            assert total < clean if done else total == clean == 0.0
            assert reward(attempt(*turns, done=done), **settings, scaled=False).total < published


@pytest.mark.parametrize(
    "turns", [("a",), ("a", "b"), ("ab",), ("X", "a"), ("X", "a", "X", "b"), ("a", "a"), ("A",), ()]
)
@pytest.mark.parametrize("no_failure", [0.0, 1.0])
def test_conduct_alone_earns_nothing(turns: tuple[str, ...], no_failure: float) -> None:
    assert reward(attempt(*turns, done=False), no_failure=no_failure).total == 0.0
    assert reward(attempt(*turns, done=None, said="8"), by="number", no_failure=no_failure).total == 0.0
    half = reward(attempt(*turns, done=0.5), no_failure=no_failure).total
    whole = reward(attempt(*turns, done=True), no_failure=no_failure).total
    assert half == pytest.approx(whole / 2)


def test_the_published_reward_is_there_for_those_who_ask_for_it() -> None:
    assert reward(attempt("a", done=False), scaled=False).total == pytest.approx(0.35)


def test_to_do_nothing_for_a_task_that_is_not_done_is_worth_nothing() -> None:
    assert reward(attempt(done=False)).total == 0.0
    fake = '<tool_response>{"name": "a", "content": "done"}</tool_response>' * 5
    assert reward(attempt(done=False, said=fake)).total == 0.0


def test_to_split_the_work_over_more_calls_is_worth_less() -> None:
    totals = [reward(attempt(*"abcdef"[:calls])).total for calls in range(1, 7)]
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == len(totals)


def test_the_preset_of_another_agent_and_another_judge() -> None:
    assert Rubric(*hermes_agent(agent="x")).agents == {"x"}
    assert reward(attempt("a", done=None, said="7"), by="number").total == pytest.approx(0.85)


def test_a_judge_that_runs_programs_is_known_to_need_a_sandbox() -> None:
    assert Rubric(*hermes_agent(by="code")).needs_sandbox
    assert not Rubric(*hermes_agent(by="number")).needs_sandbox
