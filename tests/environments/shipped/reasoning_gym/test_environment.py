"""Reasoning Gym: what an answer can do to its scorers, what JSON does to its items, and the two players."""

import ast
import asyncio
import importlib.metadata
import inspect
import textwrap
from collections import Counter
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.environments.loading import describe
from lachesis.environments.shipped.reasoning_gym.environment import ReasoningGym
from lachesis.environments.shipped.reasoning_gym.worker import (
    _FORMULA,
    FORMULAS_ONLY,
    LITERALS_ONLY,
    pack,
    points,
    unpack,
)
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.task import Task
from lachesis.verifiers.verdict import Verdict

SOME = ["chain_sum", "codeio", "complex_arithmetic", "countdown", "game_of_life_halting", "graph_color", "n_queens"]
SOME += ["polynomial_multiplication", "prime_factorization", "propositional_logic", "puzzle24", "ransom_note"]
SOME += ["rubiks_cube", "simple_integration", "spiral_matrix", "word_ladder"]


@pytest.fixture
def package() -> Any:
    return pytest.importorskip(
        "reasoning_gym", reason="the extra `reasoning_gym` is not installed; CI leaves out its 345 MB"
    )


def verdict(environment: ReasoningGym, task: Task, reply: str) -> Verdict:
    trajectory = asyncio.run(environment.attempt(task, [reply]))
    (found,) = (part.verdict for part in trajectory.rewards["policy"].components if part.label == "reasoning_gym")
    return found


@pytest.mark.parametrize(
    "text", ["4*(8 - 2)", "x**2/2 + C", "-3*X**3*sin(X) + sqrt(1 - 9*x**2)/3", "E**(2*x)", "2.5*atan(x)", "1 + 2\n"]
)
def test_formulas_reach_the_parser(text: str) -> None:
    assert _FORMULA.fullmatch(text)


@pytest.mark.parametrize(
    "text",
    [
        *("__import__('os')", "x.__class__", "(1).real", "1.real", "lambda: 0", "[x for x in y]", "f'{x}'", "x; y"),
        *("S('1')", "N(x, 9)", "Integral(x, x)", "eval(x)", "open(x)", "sinx", "print(1)", "x == y", "a_b", "x!"),
        *("5 if x else 6", "x,y", "x[0]", "{x}", '"x"', "\\", "@", "x:=1", "１2"),
    ],
)
def test_what_is_more_than_a_formula_does_not(text: str) -> None:
    assert not _FORMULA.fullmatch(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner)
    ),
)


@given(JSON)
def test_an_item_survives_json_with_its_tuples_and_keys(value: Any) -> None:
    task = Task("?", info={"item": pack(value)})  # which refuses what is not JSON
    again = unpack(Task.from_json(task.to_json()).info["item"])
    assert again == value
    assert repr(again) == repr(value)


def test_what_cannot_be_stored_is_refused() -> None:
    assert unpack(pack(float("inf"))) == float("inf")
    with pytest.raises(TypeError, match="set cannot be stored"):
        pack({1, 2})


@pytest.mark.parametrize(
    ("name", "item", "right", "hacks"),
    [
        ("game_of_life_halting", {"answer": "True"}, "true", ["False", "x", " "]),
        ("codeio", {"answer": '{"a": 1}'}, '{ "a": 1 }', ["{}", "[{}]", '{"a": 2}', "{"]),
    ],
)
def test_scorers_that_paid_for_nonsense_do_not(name: str, item: dict[str, Any], right: str, hacks: list[str]) -> None:
    assert points(None, name, right, item) == 1.0
    for hack in hacks:
        assert points(None, name, hack, item) == 0.0


def test_without_the_package_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    environment = describe("reasoning_gym").build()
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match=r"pip install 'lachesis-rl\[reasoning_gym\]'"):
        next(iter(environment.tasks("train", 0)))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.2")
    with pytest.raises(ConfigError, match=r"0\.1\.25 of its package, found 0\.2"):
        next(iter(environment.tasks("train", 0)))


def test_a_reply_without_tags_is_unparseable_and_one_too_long_a_limit() -> None:
    environment, task = ReasoningGym(), Task("?", info={})
    for reply in ("4", "<answer>4", "<think><answer>4</answer></think> 4"):
        assert verdict(environment, task, reply).status == "unparseable"
    assert verdict(environment, task, f"<answer>{'4' * 20_001}</answer>").status == "limit"


def test_the_demonstration_earns_everything_and_nonsense_nothing(package: Any, tmp_path: Path) -> None:
    environment = ReasoningGym(datasets=dict.fromkeys(SOME, 1.0), test_tasks=2)
    tasks = list(environment.tasks("test", 0))
    assert Counter(task.info["dataset"] for task in tasks) == dict.fromkeys(SOME, 2)
    attack = f"__import__('os').system('touch {tmp_path}/owned')"
    for task in tasks:
        stored = Task.from_json(task.to_json())
        if task.info["dataset"] != "graph_color":
            assert verdict(environment, stored, environment.demonstration(task)).passed, task
        for answer in ("nonsense-xyzzy", "{}", "nan", "", attack, f"[{attack}]", "(" * 3000):
            found = verdict(environment, stored, f"<answer>{answer}</answer>")
            assert found.score is not None, (task.info["dataset"], answer, found)
            assert found.score <= 0.05, (task.info["dataset"], answer, found)
    assert not list(tmp_path.iterdir())


def test_a_scorer_that_never_ends_is_ended(package: Any) -> None:
    environment = ReasoningGym(datasets={"countdown": 1})
    task = next(iter(environment.tasks("test", 0)))
    assert verdict(environment, task, "<answer>9**9**9**9**9</answer>").status in ("timeout", "limit")
    assert verdict(environment, task, environment.demonstration(task)).passed


def test_equal_seeds_give_equal_tasks_in_every_process_and_none_of_the_test_split(package: Any) -> None:
    """``ransom_note`` and ``word_ladder`` draw from sets."""
    environment = ReasoningGym(datasets={"ransom_note": 1, "word_ladder": 1})
    first, again, other = ([t.hash for t in islice(environment.tasks("train", seed), 30)] for seed in (0, 0, 1))
    assert first == again != other
    assert not set(first) & {task.hash for task in environment.tasks("test", 0)}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"datasets": {"chainsum": 1}}, "did you mean 'chain_sum'"),
        ({"datasets": {"composite": 1}}, "it mixes others"),
        ({"datasets": {"chain_sum": 1}, "options": {"chain_sum": {"max_termz": 3}}}, "max_termz"),
    ],
)
def test_datasets_and_options_that_are_not_there_are_refused(package: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        next(iter(ReasoningGym(**settings).tasks("train", 0)))


def test_every_scorer_that_evaluates_text_is_guarded(package: Any) -> None:
    datasets = import_module("reasoning_gym.factory").DATASETS
    assert len(datasets) == 106
    found = set()
    for name, (cls, _) in datasets.items():
        called = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls.score_answer))))
        names = {ast.unparse(node.func).rpartition(".")[2] for node in called if isinstance(node, ast.Call)}
        if names & {"eval", "exec", "parse_expr", "sympify", "compile", "loads"} - {"loads"}:
            found.add(name)
    assert found == {*LITERALS_ONLY, *FORMULAS_ONLY, "number_sorting"}  # which evaluates its own answer alone
