"""SQL by its results: what is right on every database passes, and nothing that a query does harms or helps."""

import asyncio
import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import configure_sandbox, shared_sandbox
from lachesis.verifiers.sql.result import Sql, extract_query, is_ordered
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

SCHEMA = "CREATE TABLE pets (name TEXT, kind TEXT, legs INTEGER, weight REAL);"
ROWS = [["Rex", "dog", 4, 30.5], ["Tom", "cat", 4, 4.1], ["Kit", "cat", 4, 4.1], ["Tweety", "bird", 2, None]]
PETS = {"schema": SCHEMA, "rows": {"pets": ROWS}}
OTHER = {"schema": SCHEMA, "rows": {"pets": [["Ant", "insect", 6, 0.1], ["Bo", "cat", 3, 5.0], ["Bo", "cat", 3, 5.0]]}}
BOMB = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

Judge = Callable[..., Verdict]


@pytest.fixture(scope="module")
def judge() -> Judge:
    try:
        shared_sandbox()
    except ConfigError:
        configure_sandbox(SandboxSettings(require="accident"))

    def one(completion: str, answer: Any, databases: Any = (PETS, OTHER), **params: Any) -> Verdict:
        task = Task("q", answer, {"databases": list(databases)} if databases else {})
        messages = {"policy": ({"role": "assistant", "content": completion},)}
        return asyncio.run(Sql(**params).verify(Case(Trajectory(task, messages=messages))))

    return one


RIGHT = [
    ("SELECT name FROM pets WHERE legs > 2", "SELECT name FROM pets WHERE legs >= 3"),
    ("```sql\nSELECT name FROM pets;\n```", "SELECT name FROM pets"),
    ("<think>SELECT 1</think>It is:\n```\nselect NAME from PETS -- all\n```\nDone.", "SELECT name FROM pets"),
    ("<answer>SELECT name AS n FROM pets</answer>", "SELECT name FROM pets"),
    ("SELECT name FROM pets ORDER BY name DESC", "SELECT name FROM pets"),
    ("SELECT name FROM pets ORDER BY legs, name", "SELECT name FROM pets ORDER BY legs"),
    ("SELECT name FROM pets ORDER BY legs, name DESC", "SELECT name FROM pets ORDER BY legs"),
    ("SELECT sum(weight) / count(weight) FROM pets", "SELECT avg(weight) FROM pets"),
    ("SELECT count(*) * 1.0 FROM pets", "SELECT count(*) FROM pets"),
    (
        "WITH c AS (SELECT * FROM pets) SELECT kind, count(*) FROM c GROUP BY 1",
        "SELECT kind, count(*) FROM pets GROUP BY kind",
    ),
    ("SELECT name FROM pets ORDER BY rowid DESC", "SELECT name FROM pets ORDER BY rowid DESC"),
    ("SELECT max(weight) FROM pets", "SELECT weight FROM pets ORDER BY weight DESC LIMIT 1"),
    (BOMB.replace("FROM n)", "FROM n WHERE i < 9)"), "SELECT 9"),
]
WRONG = [
    ("SELECT name FROM pets WHERE legs = 4", "SELECT name FROM pets WHERE legs >= 3", "on database 2"),
    ("SELECT 4", "SELECT count(*) FROM pets", "on database 2"),
    ("SELECT DISTINCT name FROM pets", "SELECT name FROM pets", "3 rows are expected, found 2"),
    ("SELECT name, legs FROM pets", "SELECT name FROM pets", "1 columns are expected, found 2"),
    ("SELECT legs, name FROM pets", "SELECT name, legs FROM pets", "other rows"),
    ("SELECT name FROM pets ORDER BY legs DESC", "SELECT name FROM pets ORDER BY legs", "another order"),
    ("SELECT name FROM pets", "SELECT name FROM pets ORDER BY name", "another order"),
    (
        "SELECT name FROM pets ORDER BY weight, name DESC",
        "SELECT name FROM pets ORDER BY weight, name",
        "another order",
    ),
    ("SELECT coalesce(weight, '') FROM pets", "SELECT weight FROM pets", "other rows"),
    ("SELECT coalesce(weight, 0) FROM pets", "SELECT weight FROM pets", "other rows"),
    ("SELECT CAST(legs AS TEXT) FROM pets", "SELECT legs FROM pets", "other rows"),
    ("SELECT name FROM pets UNION ALL SELECT name FROM pets", "SELECT name FROM pets", "more rows"),
    ("SELECT 1; DROP TABLE pets", "SELECT count(*) FROM pets", "one statement"),
    ("WITH x AS (SELECT 1) DELETE FROM pets", "SELECT count(*) FROM pets", "not authorized"),
    ("SELECT load_extension('x')", "SELECT count(*) FROM pets", "not authorized"),
    ("SELECT * FROM pragma_table_info('pets')", "SELECT count(*) FROM pets", "not authorized"),
    ("SELECT abs(random()) % 5", "SELECT count(*) FROM pets", "not authorized"),
    ("SELECT nil FROM pets", "SELECT count(*) FROM pets", "no such column"),
]


@pytest.mark.parametrize(("completion", "answer"), RIGHT)
def test_another_query_with_the_same_rows_is_right(judge: Judge, completion: str, answer: str) -> None:
    found = judge(completion, answer)
    assert found.passed, found.reason


@pytest.mark.parametrize(("completion", "answer", "reason"), WRONG)
def test_other_rows_on_any_database_are_wrong(judge: Judge, completion: str, answer: str, reason: str) -> None:
    found = judge(completion, answer)
    assert (found.status, found.score) == ("wrong", 0.0), found
    assert reason in found.reason


@pytest.mark.parametrize(
    "completion",
    ["", "I do not know.", "How many pets are there?", "ATTACH 'x' AS y", "PRAGMA table_info(pets)", "DROP TABLE pets"],
)
def test_what_is_no_query_is_not_run(judge: Judge, completion: str) -> None:
    assert judge(completion, "SELECT count(*) FROM pets").status == "unparseable"


@pytest.mark.parametrize(
    ("completion", "statuses"),
    [
        (BOMB, {"timeout"}),
        ("SELECT count(*) FROM " + ", ".join(f"pets p{n}" for n in range(30)), {"timeout"}),
        (BOMB.replace("SELECT count(*) FROM n", "SELECT i FROM n"), {"wrong", "limit", "timeout"}),
        ("SELECT replace(hex(zeroblob(400000)), '0', 'xxxxxxxxxxxxxxxx')", {"wrong", "limit"}),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, {"wrong", "limit"}),
        ("SELECT '" + "x" * 30_000 + "'", {"limit"}),
        ("SELECT 1 WHERE '" + "a" * 180 + "' LIKE '" + "%a" * 90 + "b'", {"wrong", "timeout"}),
    ],
)
def test_a_query_that_takes_too_much_scores_0_within_its_limits(
    judge: Judge, completion: str, statuses: set[str]
) -> None:
    found = judge(completion, "SELECT count(*) FROM pets", timeout=0.5)
    assert found.status in statuses, found
    assert found.score == 0.0


def test_columns_count_by_place_in_any_order_or_by_name(judge: Judge) -> None:
    answer, swapped = "SELECT name, legs FROM pets", "SELECT legs, name FROM pets"
    assert judge(swapped, answer, columns="any").passed
    assert judge(swapped, answer, columns="named").passed
    assert not judge("SELECT name AS legs, legs AS name FROM pets", answer, columns="named").passed
    assert "columns ['name', 'legs']" in judge("SELECT name, legs AS n FROM pets", answer, columns="named").reason
    assert not judge("SELECT legs, legs FROM pets", answer, columns="any").passed


def test_expected_rows_may_stand_for_the_query(judge: Judge) -> None:
    right = {"results": [[["Rex"], ["Tom"], ["Kit"]], [["Ant"], ["Bo"], ["Bo"]]]}
    assert judge("SELECT name FROM pets WHERE legs > 2", right).passed
    assert not judge("SELECT name FROM pets WHERE legs = 4", right).passed
    backwards = {"results": [[["Tweety"], ["Tom"], ["Rex"], ["Kit"]]], "ordered": True}
    assert judge("SELECT name FROM pets ORDER BY 1 DESC", backwards, [PETS]).passed
    assert not judge("SELECT name FROM pets ORDER BY 1", backwards, [PETS]).passed


def test_a_database_may_be_a_script_or_a_file_of_the_row_or_of_the_author(judge: Judge, tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / "zoo" / f"{number}.sqlite"
        path.parent.mkdir(exist_ok=True)
        with sqlite3.connect(path) as database:
            database.executescript(f"{SCHEMA} INSERT INTO pets VALUES ('Rex', 'dog', {number + 3}, x'00ff')")
    right, constant = "SELECT legs FROM pets", "SELECT 3"
    coded = [{"sqlite": base64.b64encode(path.read_bytes()).decode()} for path in sorted(tmp_path.glob("zoo/*"))]
    assert judge("SELECT weight FROM pets", "SELECT weight FROM pets", coded).passed
    assert judge("SELECT legs * 1 FROM pets", right, coded).passed
    assert judge(constant, right, coded[:1]).passed
    assert not judge(constant, right, coded).passed
    assert not judge(constant, right, None, folder=str(tmp_path), db_id="zoo").passed
    assert judge(right, right, None, folder=str(tmp_path), db_id="zoo").passed
    assert judge(right, right, None, folder=str(tmp_path), db_id="../zoo").status == "infra_error"
    assert judge(right, right, [f"{SCHEMA} INSERT INTO pets VALUES ('a', 'b', 1, 2)"]).passed


@pytest.mark.parametrize(
    ("answer", "databases"),
    [
        (None, [PETS]),
        ("SELECT nil FROM pets", [PETS]),
        ("DELETE FROM pets", [PETS]),
        ("SELECT name FROM pets WHERE 0", [PETS]),
        (BOMB, [PETS]),
        ("SELECT 1", None),
        ("SELECT 1", ["CREATE TABEL x"]),
        ("SELECT 1", [{"sqlite": "aGVsbG8="}]),
        ({"results": [[[1]]]}, [PETS, OTHER]),
    ],
)
def test_a_task_that_nobody_could_solve_is_an_infra_error(judge: Judge, answer: Any, databases: Any) -> None:
    assert judge("SELECT 1", answer, databases, timeout=0.5).status == "infra_error"


@pytest.mark.parametrize("info", [{}, {"databases": []}, {"databases": [3]}, {"databases": [{"schema": 1}]}])
def test_a_task_without_databases_is_refused_when_it_is_drawn(info: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="database"):
        Sql().check_expected("SELECT 1", info)


def test_only_the_outermost_order_counts() -> None:
    assert is_ordered("SELECT a FROM t ORDER BY (SELECT 1)")
    assert is_ordered("select a from t order\nby a limit 3")
    assert not is_ordered("SELECT a FROM (SELECT a FROM t ORDER BY a)")
    assert not is_ordered("SELECT 'ORDER BY' FROM t -- ORDER BY a")
    assert not is_ordered("SELECT rank() OVER (ORDER BY a) FROM t")


def test_the_last_sql_block_is_the_query() -> None:
    assert extract_query("```sql\nSELECT 1\n```\nno:\n```sql\nSELECT 2\n```") == "SELECT 2"
    assert extract_query("```json\n[1]\n```") == ""
    assert extract_query("-- all\nSELECT 1;") == "-- all\nSELECT 1;"
