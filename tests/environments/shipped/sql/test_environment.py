"""Questions to a database: players that look and answer, and players that try something else."""

import asyncio
import json
import time
from itertools import islice
from random import Random
from typing import Any

import pytest

from lachesis.environments.chat import ScriptedPolicy
from lachesis.environments.play import play
from lachesis.environments.shipped.sql.database import DOMAINS
from lachesis.environments.shipped.sql.environment import Sql
from lachesis.environments.shipped.sql.questions import draw_question
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory

ROWS, QUERY = Sql(), Sql(answer="query")
BOMB = "SELECT count(*) FROM " + ", ".join(f"sqlite_master m{number}" for number in range(40))


def call(sql: str, tool: str = "query") -> str:
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': {'sql': sql}})}</tool_call>"


def first(environment: Sql, kind: str = "", least: int = 0) -> Task:
    """The first task of the test split whose query holds ``kind``, with so many rows."""
    tasks = environment.tasks("test", 0)
    return next(task for task in tasks if kind in task.info["query"] and len(task.answer) >= least)


def attempt(environment: Sql, task: Task, *replies: str) -> Trajectory:
    return asyncio.run(environment.attempt(task, replies))


def verdict(trajectory: Trajectory) -> tuple[str, str]:
    (part,) = trajectory.rewards["policy"].components
    return part.verdict.status, part.verdict.reason


@pytest.mark.parametrize("settings", [{}, {"answer": "query"}, {"show_schema": False}])
def test_the_demonstration_earns_everything(settings: dict[str, Any]) -> None:
    environment = Sql(**settings)
    for split in ("train", "test"):
        for task in islice(environment.tasks(split, 0), 60):
            trajectory = asyncio.run(environment.attempt(task, environment.demonstration(task)))
            assert trajectory.rewards["policy"].total == 1.0, task.info
            assert ("CREATE TABLE" in task.prompt) == environment.config.show_schema


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        ("", "unparseable", "no answer"),
        (call("SELECT 1"), "unparseable", "no answer"),
        ("I do not know.", "unparseable", "not JSON"),
        ("[" * 100_000, "unparseable", "not JSON"),
        ("[[12345678]]", "wrong", "expected"),
        ("[]", "wrong", "found 0"),
        ('{"a": 1}', "wrong", "expected"),
    ],
)
def test_bad_rows_earn_nothing(reply: str, status: str, reason: str) -> None:
    found = verdict(attempt(ROWS, first(ROWS, "count(*)"), *[reply] * 8))
    assert found[0] == status
    assert reason in found[1]


def test_rows_may_stand_in_any_order_but_where_one_is_asked_for() -> None:
    free, fixed = first(ROWS, "SELECT name FROM", 2), first(ROWS, "ORDER BY", 2)
    assert attempt(ROWS, free, json.dumps(free.answer[::-1])).rewards["policy"].total == 1.0
    assert attempt(ROWS, fixed, json.dumps(fixed.answer[::-1])).rewards["policy"].total == 0.0
    assert attempt(ROWS, free, json.dumps(free.answer + free.answer[:1])).rewards["policy"].total == 0.0
    assert attempt(ROWS, free, json.dumps([name for (name,) in free.answer])).rewards["policy"].total == 1.0
    single = first(ROWS, "coalesce")
    value = single.answer[0][0]
    for reply in (f"{value}", f"{value}.0", f"```json\n[[{value}]]\n```", f"<think>hm</think>[[{value}]]"):
        assert attempt(ROWS, single, reply).rewards["policy"].total == 1.0, reply


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELEKT 1", "syntax error"),
        ("ATTACH 'x.db' AS f", "not authorized"),
        ("CREATE TABLE t (x)", "not authorized"),
        ("PRAGMA database_list", "not authorized"),
        (BOMB, "takes too long"),
        ("SELECT 1, 2, 3", "expected"),
    ],
)
def test_a_bad_query_earns_nothing_and_as_a_call_is_told_why(sql: str, reason: str) -> None:
    task = first(QUERY, "HAVING")
    asked = attempt(QUERY, task, call(sql), f"```sql\n{sql}\n```")
    status, said = verdict(asked)
    assert status == "wrong"
    assert reason in said
    heard = [message["content"] for message in asked.messages["policy"] if message["role"] == "tool"]
    assert reason in heard[0] or reason == "expected"


def test_a_query_that_spells_out_the_rows_it_saw_earns_nothing() -> None:
    task = first(QUERY, "HAVING", 2)
    values = ", ".join(f"('{name}', {count})" for name, count in task.answer)
    said = attempt(QUERY, task, f"VALUES {values}")
    assert said.artifacts["runs"][0]["found"] == said.artifacts["runs"][0]["expected"]
    assert verdict(said)[0] == "wrong"


@pytest.mark.parametrize(
    ("reply", "heard"),
    [
        (call("SELECT 1", "querry"), "did you mean 'query'"),
        ('<tool_call>{"name": "query", ', "could not be read"),
        ('<tool_call>{"name": "query", "arguments": {"sql": 5}}</tool_call>', "bad arguments"),
        (call("SELECT a.id FROM sqlite_master, sqlite_master b"), "no such column"),
    ],
)
def test_a_bad_call_is_answered(reply: str, heard: str) -> None:
    trajectory = attempt(ROWS, first(ROWS), reply, "[]")
    assert heard in trajectory.messages["policy"][-2]["content"]


def test_a_query_without_end_does_not_hold_up_the_event_loop() -> None:
    task = first(QUERY)
    slow = "SELECT count(*) FROM " + ", ".join(["sqlite_master"] + [f"sqlite_master m{n}" for n in range(30)])

    async def ticks() -> tuple[int, Trajectory]:
        policies = {"policy": ScriptedPolicy((call(slow), f"```sql\n{slow}\n```"))}
        playing = asyncio.ensure_future(play(QUERY, task, policies, (0,)))
        count, longest, last = 0, 0.0, time.thread_time()
        while not playing.done():
            await asyncio.sleep(0.001)
            now = time.thread_time()  # of the loop's thread, whatever else the machine does
            count, longest, last = count + 1, max(longest, now - last), now
        assert longest < 0.5
        return count, playing.result()

    count, trajectory = asyncio.run(ticks())
    assert count > 5
    assert trajectory.stop is StopReason.DONE


def test_splits_share_no_database_and_seeds_give_the_same_tasks() -> None:
    test = {task.info["database"] for task in ROWS.tasks("test", 0)}
    train = list(islice(ROWS.tasks("train", 0), 200))
    assert not test & {task.info["database"] for task in train}
    assert train == list(islice(ROWS.tasks("train", 0), 200))
    assert list(islice(ROWS.tasks("test", 1), 50)) == list(islice(ROWS.tasks("test", 2), 50))


def test_every_kind_of_question_can_be_had_of_every_domain() -> None:
    for domain in DOMAINS:
        assert len({draw_question(domain, Random(seed)).query.split(" WHERE ")[0] for seed in range(60)}) >= 5
