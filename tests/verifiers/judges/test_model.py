"""One model that judges, when its endpoint fails: outages, limits, budgets and keys, with a real server."""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.rubric import Rubric, use


def failing(times: int, response: Callable[[], web.Response]) -> Callable[[Any], Any]:
    """A script that fails so many times, and then gives a verdict."""
    left = iter(range(times))

    def script(asked: Any) -> Any:
        return response() if next(left, None) is not None else asked.verdict(10)

    return script


def test_an_outage_is_an_infra_error_and_the_next_score_is_right(server: Any, judge: Any) -> None:
    down = judge("Hello.", url="http://127.0.0.1:1/v1")
    assert (down.status, down.score) == ("infra_error", None)
    assert "2 of 2 tries" in down.reason
    assert judge("Hello.").status == "ok"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_call_is_repeated_after_a_passing_failure(server: Any, judge: Any, status: int) -> None:
    server.script = failing(2, lambda: web.Response(status=status, text="busy", headers={"Retry-After": "0.01"}))
    assert judge("Hello.", tries=3).score == 1.0
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (lambda: web.Response(status=503, text="down"), "HTTP 503: down"),
        (lambda: web.Response(status=429, text="slow down"), "HTTP 429"),
        (lambda: web.Response(status=404, text="no such model"), "HTTP 404"),
        (lambda: web.Response(status=401, text="who are you"), "is OPENAI_API_KEY set and right"),
        (lambda: web.Response(status=302, headers={"Location": "http://elsewhere/v1"}), "follow no redirect"),
        (lambda: web.Response(text="<html>"), "not JSON"),
        (lambda: web.Response(text="[" * 100_000), "not JSON"),
        (lambda: web.json_response([1]), "not an object"),
        (lambda: web.json_response({"choices": []}), "not a chat completion"),
        (lambda: web.json_response({"choices": [{"message": {"content": 7}}]}), "not a chat completion"),
        (lambda: web.Response(body=b"x" * (33 << 20)), "more than 32 MiB"),
    ],
)
def test_a_failure_of_the_endpoint_is_never_a_score(server: Any, judge: Any, response: Any, reason: str) -> None:
    server.script = lambda asked: response()
    verdict = judge("Hello.")
    assert (verdict.status, verdict.score) == ("infra_error", None)
    assert reason in verdict.reason


def test_a_slow_judge_ends_at_its_own_deadline_and_not_at_the_rubrics(server: Any, settings: Any, case: Any) -> None:
    server.delay = 0.5
    patient = Rubric(use("judge", **settings), deadline=0.25)
    assert asyncio.run(patient.score(case("Hello."))).total > 0
    hurried = Rubric(use("judge", **(settings | {"deadline": 0.05, "tries": 1})))
    (part,) = asyncio.run(hurried.score(case("Hello, you."))).components
    assert (part.verdict.status, part.verdict.score) == ("infra_error", None)
    assert "no answer within 0.05 s" in part.verdict.reason


def test_several_threads_and_loops_keep_to_one_limit_of_concurrent_calls(server: Any, settings: Any, case: Any) -> None:
    server.delay = 0.02
    verifier: Any = make_verifier("judge", settings | {"concurrency": 3})

    def work(thread: int) -> None:
        async def main() -> None:
            await asyncio.gather(*(verifier.verify(case(f"Hello {thread} {number}.")) for number in range(6)))

        asyncio.run(main())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 18
    assert server.most_inside <= 3


def test_the_same_question_is_asked_once_by_a_group_with_equal_replies(server: Any, settings: Any, case: Any) -> None:
    verifier: Any = make_verifier("judge", settings)

    async def group() -> list[Any]:
        return await asyncio.gather(*(verifier.verify(case("Hello.")) for _ in range(8)))

    assert [verdict.score for verdict in asyncio.run(group())] == pytest.approx([7 / 9] * 8)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"rubric": "Another."}, 2),
        ({"model": "other"}, 2),
        ({"temperature": 0.5}, 2),
        ({"max_tokens": 10}, 2),
        ({"options": {"seed": 3}}, 2),
        ({"scale": [0, 10]}, 2),
        ({"threshold": 0.9, "tries": 5, "deadline": 9.0}, 1),
    ],
)
def test_the_cache_knows_what_changes_an_answer(server: Any, judge: Any, change: Any, asked: int) -> None:
    judge("Hello.")
    judge("Hello.", **change)
    assert len(server.asked) == asked


def test_the_parameters_reach_the_endpoint(server: Any, judge: Any) -> None:
    judge("Hello.", options={"top_p": 0.5}, temperature=None, max_tokens=0)
    assert {"top_p": 0.5, "model": "m"}.items() <= server.asked[0].body.items()
    assert not {"temperature", "max_tokens"} & server.asked[0].body.keys()


def test_a_budget_of_calls_is_exact_and_holds_for_later_verifiers_too(server: Any, settings: Any, case: Any) -> None:
    limited: Any = make_verifier("judge", settings | {"budget": {"calls": 3}})

    async def many() -> list[Any]:
        return await asyncio.gather(*(limited.verify(case(f"Hello {number}.")) for number in range(10)))

    statuses = [verdict.status for verdict in asyncio.run(many())]
    assert (statuses.count("ok"), statuses.count("infra_error"), len(server.asked)) == (3, 7, 3)
    verdict = asyncio.run(make_verifier("judge", settings | {"budget": {"calls": 3}}).verify(case("New.")))
    assert verdict.score is None
    assert "the budget of 3 calls is used up" in verdict.reason
    assert "raise budget.calls" in verdict.reason
    cached = [asyncio.run(limited.verify(case(f"Hello {number}."))).status for number in range(10)]
    assert cached.count("ok") == 3, "cached verdicts cost nothing"


def test_failed_tries_count_as_calls(server: Any, judge: Any) -> None:
    server.script = lambda asked: web.Response(status=503)
    assert "the budget of 2 calls is used up" in judge("Hello.", tries=5, budget={"calls": 2}).reason
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("budget", "prices", "usage"),
    [
        ({"tokens": 110}, {}, {"prompt_tokens": 100, "completion_tokens": 10}),
        ({"money": 0.002}, {"input": 10, "output": 100}, {"prompt_tokens": 100, "completion_tokens": 10}),
        ({"tokens": 300}, {}, None),
        ({"tokens": 300}, {}, {"prompt_tokens": -5, "completion_tokens": "many"}),
        ({"tokens": 300}, {}, {"prompt_tokens": 10**30, "completion_tokens": True}),
    ],
)
def test_a_budget_of_tokens_or_money_ends_the_calls(
    server: Any, judge: Any, budget: Any, prices: Any, usage: Any
) -> None:
    server.usage = usage
    assert judge("Hello.", budget=budget, prices=prices).status == "ok"
    (name,) = budget
    assert f"{name} is used up" in judge("Hello, you.", budget=budget, prices=prices).reason


def test_the_key_comes_from_its_variable_and_is_nowhere_but_in_the_header(
    server: Any,
    judge: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret")
    server.script = lambda asked: f"The key is sk-very-secret.\n{asked.verdict(8)}"
    verdict = judge("Hello.", key_variable="JUDGE_KEY")
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    server.script = lambda asked: web.Response(status=400, text="bad key sk-very-secret")
    refused = judge("Hello, you.", key_variable="JUDGE_KEY")
    assert (verdict.status, refused.status) == ("ok", "infra_error")
    assert "sk-very-secret" not in json.dumps([verdict.to_json(), refused.to_json()]) + caplog.text
    with sqlite3.connect(tmp_path / "judges.sqlite") as file:
        assert "sk-very-secret" not in "\n".join(file.iterdump())


def test_a_cache_that_cannot_be_written_is_an_infra_error_with_the_cure(
    server: Any, judge: Any, tmp_path: Path
) -> None:
    (tmp_path / "text.sqlite").write_text("this is no database, and longer than a header of SQLite" * 100)
    verdict = judge("Hello.", cache=str(tmp_path / "text.sqlite"))
    assert (verdict.status, verdict.score) == ("infra_error", None)
    assert "name another with cache=" in verdict.reason
