"""The database: what untrusted SQL may read, and all that it may not do."""

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lachesis.environments.shipped.sql.database import DOMAINS, MAX_ROWS, Database, QueryError

DATABASE = Database(DOMAINS[0], 7)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM customers",
        "select count(*) from orders where item like 'b%';",
        "SELECT name, sum(price) FROM customers c JOIN orders ON c.id = customer_id GROUP BY c.id HAVING count(*) > 1",
        "SELECT sql FROM sqlite_master",
        "WITH big AS (SELECT * FROM orders WHERE price > 50) SELECT count(*) FROM big",
        "SELECT item, rank() OVER (ORDER BY price) FROM orders",
        "WITH a AS (SELECT 1 x) SELECT count(*) FROM a, a b",
        "VALUES (1)",
        "SELECT CASE WHEN price > 5 THEN 'a' ELSE NULL END, CAST(price AS TEXT) || '!' FROM orders UNION SELECT 1, 2",
    ],
)
def test_reading_is_allowed(sql: str) -> None:
    assert DATABASE.run(sql).rows


@pytest.mark.parametrize("domain", DOMAINS)
def test_equal_seeds_give_equal_rows_and_others_other_rows(domain: object) -> None:
    rows = [Database(domain, seed).run(f"SELECT * FROM {domain.things}").rows for seed in (1, 1, 2)]  # type: ignore[arg-type,attr-defined]
    assert rows[0] == rows[1] != rows[2]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO customers VALUES (99, 'x', 'y')",
        "UPDATE orders SET price = 0",
        "DELETE FROM orders",
        "DROP TABLE orders",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "CREATE VIEW v AS SELECT 1",
        "ATTACH DATABASE '{file}' AS f",
        "ATTACH ':memory:' AS f",
        "VACUUM INTO '{file}'",
        "DETACH main",
        "PRAGMA database_list",
        "PRAGMA writable_schema = 1",
        "SELECT * FROM pragma_table_info('orders')",
        "SELECT load_extension('{file}')",
        "SELECT readfile('/etc/passwd')",
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(1000)",
        "SELECT printf('%1000000d', 1)",
        "SELECT * FROM json_each('[1]')",
        "BEGIN",
        "SAVEPOINT a",
        "ANALYZE",
        "REINDEX",
        "EXPLAIN DROP TABLE orders",
        "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT count(*) FROM t",
        "WITH t(x) AS (SELECT 1 UNION ALL SELECT x FROM t) SELECT x FROM t",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE orders",
        "SELECT count(*) FROM nothing",
        "SELEKT",
        "SELECT '\ud800'",
        "SELECT 1 \x00",
        "SELECT CAST(x'ff' AS TEXT)",
        "SELECT " + "(" * 200 + "1" + ")" * 200,
        "SELECT " + "1+" * 900 + "1",
        "SELECT '" + "x" * 5000 + "'",
    ],
)
def test_all_else_is_refused_and_leaves_the_database_as_it_was(sql: str, tmp_path: Path) -> None:
    database = Database(DOMAINS[0], 7)
    before = database.run("SELECT * FROM orders").rows
    with pytest.raises(QueryError):
        database.run(sql.replace("{file}", str(tmp_path / "written.db")))
    assert database.run("SELECT * FROM orders").rows == before
    assert not list(tmp_path.iterdir())


def expanding(levels: int, width: int, base: str = "SELECT 1 x") -> str:
    """WITH in which each name stands for several of the one before."""
    names = [f"c0 AS ({base})"]
    for level in range(1, levels):
        sources = ",".join(f"c{level - 1} q{number}" for number in range(width))
        names.append(f"c{level} AS (SELECT q0.x FROM {sources})")
    return f"WITH {','.join(names)} SELECT * FROM c{levels - 1}"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM " + ", ".join(f"orders o{number}" for number in range(9)),
        "SELECT 1 FROM " + ", ".join(f"orders o{n}" for n in range(9)) + " ORDER BY " + " || ".join(["o1.item"] * 9),
        "SELECT group_concat(o1.item) FROM " + ", ".join(f"orders o{number}" for number in range(9)),
        expanding(22, 2),
        expanding(22, 2, "SELECT id x FROM orders"),
        expanding(6, 20),
    ],
)
def test_a_query_without_end_ends(sql: str) -> None:
    start = time.thread_time()
    with pytest.raises(QueryError):
        DATABASE.run(sql)
    assert time.thread_time() - start < 4.0


@pytest.mark.parametrize(
    "sql",
    [
        expanding(4, 5),
        "SELECT replace('" + "b" * 900 + "', 'b', 'aa') LIKE '" + "%a" * 24 + "%'",
        "SELECT " + "replace(" * 10 + "'aaaa'" + ", 'a', 'aaaa')" * 5 + ", 'a', 'a')" * 5,
    ],
)
def test_what_is_merely_large_is_answered_or_refused_at_once(sql: str) -> None:
    start = time.thread_time()
    with contextlib.suppress(QueryError):
        DATABASE.run(sql)
    assert time.thread_time() - start < 1.0


def test_a_long_result_is_cut_and_said_to_be() -> None:
    result = DATABASE.run("SELECT a.id FROM orders a, orders b")
    assert (len(result.rows), result.more) == (MAX_ROWS, True)


def test_values_are_json() -> None:
    assert DATABASE.run("SELECT 1.0, 0.5, x'00ff', NULL, 9e999, -9e999").rows == [
        [1, 0.5, "00ff", None, "inf", "-inf"],
    ]


@settings(deadline=None, max_examples=150)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from("SELECT FROM WHERE WITH t AS ( ) , * orders customers JOIN ON id = 1 'a' UNION IN ;".split()),  # noqa: SIM905
        max_size=25,
    ).map(" ".join)
)
def test_no_text_raises_anything_but_a_refusal(sql: str) -> None:
    with contextlib.suppress(QueryError):
        assert DATABASE.run(sql).columns
