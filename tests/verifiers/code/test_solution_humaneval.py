"""HumanEval: every canonical solution passes in every way in which a model may write it, and every mutant fails."""

import ast
import copy
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.verdict import Verdict

JudgeAll = Callable[[list[dict[str, Any]]], list[Verdict]]
Row = dict[str, str]
STEPS = 1_000_000
"""Lines that a mutant may run before it counts as one that does not end."""


@pytest.fixture(scope="module")
def rows(shared_data: Callable[[str], Path]) -> list[Row]:
    return [json.loads(line) for line in shared_data("humaneval.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module", params=[pytest.param(1, id="all", marks=pytest.mark.slow), pytest.param(4, id="some")])
def some(request: pytest.FixtureRequest, rows: list[Row]) -> list[Row]:
    """All rows, or each fourth and those whose prompts hold a helper."""
    assert len(rows) == 110
    return [row for n, row in enumerate(rows) if n % request.param == 0 or row["prompt"].count("def ") > 1]


def asked(row: Row, completion: str, **params: Any) -> dict[str, Any]:
    given = {"format": "humaneval", "entry_point": row["entry_point"], "test": row["test"]}
    return {"completion": completion, **given, **params}


def written(row: Row) -> str:
    return f"Here it is:\n```python\n{row['prompt']}{row['canonical_solution']}```\nIt runs in linear time."


def test_every_canonical_solution_passes(judge_all: JudgeAll, some: list[Row]) -> None:
    verdicts = judge_all(
        [asked(row, written(row), prompt=row["prompt"], canonical_solution=row["canonical_solution"]) for row in some]
    )
    assert [row["task_id"] for row, verdict in zip(some, verdicts, strict=True) if not verdict.passed] == []
    assert len(verdicts) == len(some) > 20
    assert all(verdict.evidence["mode"] == "split" and "borrowed" not in verdict.evidence for verdict in verdicts)


def test_every_canonical_solution_passes_as_the_body_that_goes_on_from_the_prompt(
    judge_all: JudgeAll, some: list[Row]
) -> None:
    verdicts = judge_all([asked(row, row["canonical_solution"], prompt=row["prompt"]) for row in some])
    assert [row["task_id"] for row, verdict in zip(some, verdicts, strict=True) if not verdict.passed] == []


def test_without_a_prompt_the_tests_borrow_helpers_and_say_so(judge_all: JudgeAll, some: list[Row]) -> None:
    verdicts = judge_all([asked(row, written(row)) for row in some])
    assert [row["task_id"] for row, verdict in zip(some, verdicts, strict=True) if not verdict.passed] == []
    borrowed = [verdict.evidence["borrowed"] for verdict in verdicts if "borrowed" in verdict.evidence]
    assert borrowed == [["poly"], ["encode_cyclic"], ["encode_shift"]]


def test_a_mutant_of_every_solution_fails(judge_all: JudgeAll, some: list[Row]) -> None:
    mutants = [next(changed_mutants(row)) for row in some]
    verdicts = judge_all(
        [
            asked(row, f"```python\n{mutant}\n```", prompt=row["prompt"], answer=row["canonical_solution"])
            for row, mutant in zip(some, mutants, strict=True)
        ]
    )
    passed = [row["task_id"] for row, verdict in zip(some, verdicts, strict=True) if verdict.status != "wrong"]
    assert passed == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_mutant_gets_the_verdict_of_the_plain_check(judge_all: JudgeAll, rows: list[Row]) -> None:
    """All mutants that end, also those that change nothing that is tested: as the tests decide in one process."""
    for row in rows:
        ending = [(mutant, function) for mutant, function, calls in mutants_of(row) if ends(function, calls)]
        found = [(mutant, passes(row, function)) for mutant, function in ending]
        verdicts = judge_all([asked(row, mutant, prompt=row["prompt"], timeout=5.0) for mutant, _ in found])
        reference = asked(row, written(row), prompt=row["prompt"])
        assert judge_all([reference])[0].passed
        for (mutant, expected), verdict in zip(found, verdicts, strict=True):
            assert verdict.passed == expected, (row["task_id"], mutant, verdict)


def changed_mutants(row: Row) -> Iterator[str]:
    """Programs that return something else for at least half of the arguments that are tested, else for any."""
    some = []
    for source, function, calls in mutants_of(row):
        changes = [changed(function, args, value) for args, value in calls]
        if None in changes or not any(changes):
            continue
        if 2 * sum(map(bool, changes)) >= len(changes):
            yield source
        some.append(source)
    yield from some


def mutants_of(row: Row) -> Iterator[tuple[str, Callable[..., Any], list[tuple[Any, Any]]]]:
    """(source, function, the calls that the tests make of the canonical solution and what they return)."""
    source = row["prompt"] + row["canonical_solution"]
    calls = recorded(row, source)
    for mutant in mutations(source, row["entry_point"]):
        yield mutant, defined(mutant)[row["entry_point"]], calls


def recorded(row: Row, source: str) -> list[tuple[Any, Any]]:
    names = defined(source + "\n" + row["test"])
    calls: list[tuple[Any, Any]] = []

    def candidate(*args: Any) -> Any:
        kept = copy.deepcopy(args)
        calls.append((kept, names[row["entry_point"]](*args)))
        return calls[-1][1]

    random.seed(0)
    names["check"](candidate)
    return calls


def defined(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "solution"}
    exec(compile(source, "solution.py", "exec"), names)
    return names


def passes(row: Row, function: Callable[..., Any]) -> bool:
    names = defined(row["prompt"] + row["canonical_solution"] + "\n" + row["test"])
    if row["task_id"] == "HumanEval/33":  # which calls the function by its name too
        names[row["entry_point"]] = function
    random.seed(1)
    try:
        names["check"](lambda *args: limited(function, args))
    except Exception:  # noqa: BLE001 - whatever it is, the mutant has not passed
        return False
    return True


def changed(function: Callable[..., Any], args: tuple[Any, ...], value: Any) -> bool | None:
    """Whether it returns something else, None where it does not end."""
    try:
        return not alike(limited(function, copy.deepcopy(args)), value)
    except TimeoutError:
        return None
    except Exception:  # noqa: BLE001 - it raises, where the canonical solution returned
        return True


def ends(function: Callable[..., Any], calls: list[tuple[Any, Any]]) -> bool:
    return None not in [changed(function, args, value) for args, value in calls]


def limited(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    steps = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > STEPS:
            raise TimeoutError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return function(*args)
    finally:
        sys.settrace(before)


def alike(found: Any, expected: Any) -> bool:
    """Equal for tests that allow some error in floats, ask whether something is true, or make a list of a tuple."""
    if isinstance(expected, bool):
        return bool(found) == expected
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(found) == len(expected) and all(map(alike, found, expected))
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isclose(found, expected, rel_tol=1e-3, abs_tol=1e-3)
    return bool(found == expected)


def mutations(source: str, entry: str) -> Iterator[str]:
    """The program with one node of the function ``entry`` changed, in the order of the nodes."""
    tree = ast.parse(source)
    body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry][-1]
    for number, _ in enumerate(ast.walk(body)):
        changed_tree = copy.deepcopy(tree)
        function = [node for node in changed_tree.body if isinstance(node, ast.FunctionDef) and node.name == entry][-1]
        node = list(ast.walk(function))[number]
        if mutate(node):
            yield ast.unparse(changed_tree)


SWAPPED: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def mutate(node: ast.AST) -> bool:
    """Change one operator, constant or returned value."""
    match node:
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign() if type(node.op) in SWAPPED:
            node.op = SWAPPED[type(node.op)]()
        case ast.Compare(ops=[first, *_]) if type(first) in SWAPPED:
            node.ops[0] = SWAPPED[type(first)]()
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=int() | float()):
            node.value += 1
        case ast.Constant(value=str()) if len(node.value) < 40:
            node.value += "x"
        case ast.Return(value=ast.expr()):
            node.value = ast.List([node.value], ast.Load())
            ast.fix_missing_locations(node)
        case _:
            return False
    return True
