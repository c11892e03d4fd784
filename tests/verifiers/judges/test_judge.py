"""A language model as a judge, against a real server on this machine."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lachesis.commands.verify.line import Line
from lachesis.environments.environment import Environment
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.judges.calibration import Calibration
from lachesis.verifiers.judges.judge import Judge
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.rows.row import check_entries
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory


def test_one_line_in_a_rubric_scores_a_reply_and_verify_finds_the_verdict_in_the_cache(
    server: Any, settings: Any
) -> None:
    class Kind(Environment):
        rubric = Rubric(use("judge", **settings))

    reward = Kind().score(Task("Say hello."), "Hello, dear friend.")
    assert (reward.total, reward.success) == (pytest.approx(7 / 9), True)
    assert reward.components[0].verdict.evidence["answers"] == ["8"]
    row = {"verifier": "judge", "completion": "Hello, dear friend.", "prompt": "Say hello.", "params": settings}
    again = asyncio.run(Line(1, json.dumps(row).encode()).verify())
    assert (again.score, again.evidence["cached"], len(server.asked)) == (reward.total, 1, 1)


def test_the_judge_sees_rubric_task_reference_and_the_reply_without_its_reasoning(server: Any, judge: Any) -> None:
    judge("<think>a secret plan</think>Hello.", task={"answer": "Hi."})
    (asked,) = server.asked
    assert "The reply is kind." in asked.system
    assert asked.data == {"TASK": "Say hello.", "REFERENCE ANSWER": "Hi.", "REPLY": "Hello."}
    judge("<think>a secret plan</think>Hello.", task={"answer": {"a": 1}}, reasoning=True, reference=False)
    assert server.asked[1].data == {
        "TASK": "Say hello.",
        "REPLY": "<think>a secret plan</think>Hello.".replace("<", "< "),
    }


def test_a_task_may_have_criteria_of_its_own_which_are_data(server: Any, judge: Any) -> None:
    judge("Hello.", task={"info": {"criteria": "It names the weather."}}, rubric_from="criteria")
    assert server.asked[0].data["CRITERIA OF THIS TASK"] == "It names the weather."
    assert "weather" not in server.asked[0].system
    assert judge("Hello.", rubric_from="criteria").status == "infra_error"
    with pytest.raises(DataError, match="no text 'criteria'"):
        Judge(url=server.url, model="m", rubric="r", rubric_from="criteria").check_expected(None, {})


def test_a_whole_conversation_can_be_judged(server: Any, settings: Any) -> None:
    said = (("user", "Hi."), ("assistant", "<think>x</think>Yes?"), ("user", "Bye."), ("assistant", "Good bye."))
    messages: Any = tuple({"role": role, "content": content} for role, content in said)
    case = Case(Trajectory(Task("Hi."), messages={POLICY: messages}))
    asyncio.run(make_verifier("judge", settings | {"conversation": True}).verify(case))
    assert list(server.asked[0].data.values()) == ["Hi.", "Yes?", "Bye.", "Good bye."]


def test_a_tool_result_that_the_judge_cannot_take_is_the_policys_fault(server: Any, settings: Any) -> None:
    said = (("user", "Hi."), ("assistant", "call"), ("tool", "flood"), ("assistant", "Good bye."))
    messages: Any = tuple({"role": role, "content": content} for role, content in said)
    case = Case(Trajectory(Task("Hi."), messages={POLICY: messages}))
    overflow = {"error": {"code": "context_length_exceeded"}}
    server.script = lambda asked: web.json_response(overflow, status=400) if "flood" in asked.user else asked.verdict(5)
    verdict = asyncio.run(make_verifier("judge", settings | {"conversation": True}).verify(case))
    assert (verdict.status, verdict.score) == ("limit", 0.0)


@pytest.mark.parametrize(
    ("params", "answer", "score", "status"),
    [
        ({}, "10", 1.0, "ok"),
        ({}, "**1**", 0.0, "wrong"),
        ({}, "5.5", 0.5, "ok"),
        ({"threshold": 0.8}, "8/10", 7 / 9, "wrong"),
        ({"scale": [0, 1]}, "0.25", 0.25, "wrong"),
        ({"labels": {"good": 1, "fair": 0.4, "bad": -1}}, "Fair.", 0.4, "wrong"),
        ({"labels": {"good": 1, "fair": 0.4, "bad": -1}}, "bad", -1.0, "wrong"),
    ],
)
def test_numbers_of_the_scale_and_labels_become_scores(
    server: Any, judge: Any, params: Any, answer: str, score: float, status: str
) -> None:
    server.script = lambda asked: asked.verdict(answer)
    verdict = judge("Hello.", **params)
    assert (verdict.score, verdict.status) == (pytest.approx(score), status)


@pytest.mark.parametrize(("combine", "score"), [("mean", 0.5), ("majority", 0.25), ("min", 0.25), ("max", 1.0)])
def test_several_judges_give_one_score_and_their_agreement(server: Any, judge: Any, combine: str, score: float) -> None:
    said = {"a": 2, "b": 2, "c": 5}
    server.script = lambda asked: asked.verdict(said[asked.body["model"]])
    verdict = judge("Hello.", model=["a", "b", "c"], combine=combine, scale=[1, 5])
    assert verdict.score == pytest.approx(score)
    assert verdict.evidence["answers"] == ["2", "2", "5"]
    assert verdict.evidence["agreement"] == pytest.approx(1 - (0 + 0.75 + 0.75) / 3)


def test_a_model_that_is_listed_twice_is_asked_twice(server: Any, judge: Any) -> None:
    judge("Hello.", model=["a", "a"], temperature=1.0)
    assert len(server.asked) == 2
    assert judge("Hello.", model=["a", "a"], temperature=1.0).evidence["cached"] == 2


def test_a_reply_that_alone_keeps_the_judge_from_a_verdict_is_unparseable_also_from_the_cache(
    server: Any, judge: Any
) -> None:
    server.script = lambda asked: "I am confused." if "confuse" in asked.data["REPLY"] else asked.verdict(5)
    verdict = judge("I will confuse you.")
    assert (verdict.status, verdict.score) == ("unparseable", 0.0)
    assert [asked.data["REPLY"] for asked in server.asked] == ["I will confuse you."] * 2 + ["I do not know."]
    assert judge("I will confuse you.") == verdict
    assert len(server.asked) == 3


def test_a_judge_that_gives_no_verdict_on_a_harmless_reply_either_is_an_infra_error(server: Any, judge: Any) -> None:
    server.script = lambda asked: "It is nice."
    verdict = judge("Hello.")
    assert (verdict.status, verdict.score) == ("infra_error", None)
    assert "also on a harmless reply; raise max_tokens" in verdict.reason
    server.script = lambda asked: asked.verdict(8)
    assert judge("Hello.").status == "ok", "such a failure is not cached"


@pytest.mark.parametrize(
    ("message", "status"), [("maximum context length is 8", "limit"), ("blocked by a filter", "unparseable")]
)
def test_a_reply_that_the_endpoint_does_not_take_is_the_replys_fault_if_it_takes_another(
    server: Any, judge: Any, message: str, status: str
) -> None:
    refused = {"error": {"message": message}}
    server.script = lambda asked: (
        web.json_response(refused, status=400) if "Hello" in asked.data["REPLY"] else asked.verdict(5)
    )
    assert judge("Hello.").status == status
    server.script = lambda asked: web.json_response(refused, status=400)
    assert judge("Hello, you.").status == "infra_error"


def test_a_verdict_that_was_cut_off_does_not_count(server: Any, judge: Any) -> None:
    def cut(asked: Any) -> dict[str, Any]:
        return {"choices": [{"message": {"content": asked.verdict(1)}, "finish_reason": "length"}]}

    server.script = cut
    assert "cut off (max_tokens = 2048)" in judge("Hello.").reason


def test_empty_and_too_long_replies_need_no_call(server: Any, judge: Any) -> None:
    assert judge("<think>so</think>").status == "unparseable"
    assert judge("\u200b\u2060").status == "unparseable"
    assert judge("Hello.", longest=5).status == "limit"
    assert not server.asked


def test_a_calibration_is_applied_to_its_own_judge_and_refused_by_others(
    server: Any, judge: Any, settings: Any, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    made = make_verifier("judge", settings)
    assert isinstance(made, Judge)
    Calibration(made.identity, "isotonic", ((0.0, 0.0), (1.0, 0.45))).write(path)
    verdict = judge("Hello.", calibration=str(path))
    assert (verdict.score, verdict.status) == (pytest.approx(0.35), "wrong")
    assert verdict.evidence["uncalibrated"] == pytest.approx(7 / 9)
    with pytest.raises(ConfigError, match="another rubric; calibrate this one"):
        judge("Hello.", calibration=str(path), rubric="Another.")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rubric": " "}, "rubric"),
        ({"url": "ftp://a"}, "URL of an endpoint"),
        ({"url": ["http://a", "http://b"]}, "one url"),
        ({"model": []}, "model"),
        ({"scale": [3, 1]}, "scale"),
        ({"scale": [1, float("nan")]}, "scale"),
        ({"labels": {"good": 1}}, "labels"),
        ({"labels": {"good": 1, "Good": 0}}, "differ only in case"),
        ({"labels": {"*good*": 1, "bad": 0}}, "without marks"),
        ({"threshold": "high"}, "threshold"),
        ({"combine": "median"}, "mean, majority, min, max"),
        ({"tries": 0}, "tries"),
        ({"concurrency": 1.5}, "whole number"),
        ({"budget": {"call": 3}}, "did you mean 'calls'"),
        ({"budget": {"money": 3}}, "needs prices"),
        ({"prices": {"input": -1}}, "prices.input"),
        ({"options": {"messages": []}}, "cannot set 'messages'"),
        ({"calibration": "/nowhere.json"}, "calibrate_on makes one"),
    ],
)
def test_an_impossible_setting_is_refused(settings: Any, params: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_verifier("judge", settings | params)


def test_a_key_in_the_settings_is_refused_and_not_shown(settings: Any) -> None:
    for params in (
        {"key_variable": "sk-abc.hunter2"},
        {"url": "http://me:hunter2@host/v1"},
        {"url": "http://h/?key=hunter2"},
        {"options": {"api_key": "hunter2"}},
    ):
        with pytest.raises(ConfigError) as found:
            make_verifier("judge", settings | params)
        assert "hunter2" not in str(found.value)


def test_a_row_of_a_dataset_cannot_send_text_anywhere(settings: Any) -> None:
    row = {"verifier": "judge", "params": settings}
    with pytest.raises(DataError, match="a row cannot set"):
        check_entries(Task("q", verify=(row,)))
