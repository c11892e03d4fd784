"""Answers that are sets and lists: how items are read, compared and credited."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(name: str, text: str, answer: Any, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier(name, params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


@pytest.mark.parametrize(
    ("name", "text", "answer", "params", "score"),
    [
        ("set", "red, blue and green", ["green", "red", "blue"], {}, 1),
        ("set", "red and blue", ["red", "blue"], {}, 1),
        ("set", "salt and pepper, sugar", ["salt and pepper", "sugar"], {}, 1),
        ("set", "sugar, salt and pepper", ["salt and pepper", "sugar"], {}, 1),
        ("set", "sugar and salt and pepper", ["salt and pepper", "sugar"], {}, 0),
        ("set", "Here are they:\n- red\n- blue", ["red", "blue"], {}, 1),
        ("set", "1. red\n2. blue", ["red", "blue"], {}, 1),
        ("set", 'Here they are:\n```json\n["red", "blue"]\n```', ["red", "blue"], {}, 1),
        ("set", '```json\n["red"]\n```\nno:\n```json\n["blue"]\n```', ["red", "blue"], {}, 0),
        ("set", 'Here they are:\n```json\n["red", "blue"]\n```\nor not', ["red", "blue"], {}, 0),
        ("set", "red、blue", ["red", "blue"], {}, 1),
        ("set", "red，blue", ["red", "blue"], {}, 1),
        ("set", "The answer is: red, blue.", ["red", "blue"], {}, 1),
        ("set", "The answers are 1, 2", [1, 2], {}, 1),
        ("set", "{1, 2}", [2, 1], {}, 1),
        ("set", "\\boxed{\\{1, 2\\}}", [2, 1], {}, 1),
        ("set", "$\\{1,2\\}$", [2, 1], {}, 1),
        ("set", "1,000, 2", [1000, 2], {}, 1),
        ("set", "1,2,3", [1, 2, 3], {}, 1),
        ("set", "1, 2, 3.0", [1, 2, 3], {}, 1),
        ("set", "100,200", [100, 200], {}, 0),
        ("set", '["a", "b"]', ["b", "a"], {}, 1),
        ("set", '```json\n["a", "b"]\n```', ["b", "a"], {}, 1),
        ("set", "none", [], {}, 1),
        ("set", "[]", [], {}, 1),
        ("set", "", [], {}, 0),
        ("set", "red", ["red"], {}, 1),
        ("set", "red, red", ["red"], {}, 1),
        ("set", "red\nblue", ["red", "blue"], {}, 1),
        ("list", "b, a", ["a", "b"], {}, 0),
        ("list", "a, b", ["a", "b"], {}, 1),
        ("list", "a, b, b", ["a", "b"], {}, 0),
        ("list", "b, a", ["a", "b"], {"ordered": False}, 1),
        ("set", "Washington, D.C.; Paris", ["Washington, D.C.", "Paris"], {}, 1),
        ("set", "<think>red, blue</think>red", ["red", "blue"], {}, 0),
        ("set", "red, blue", "blue, red", {}, 1),
        ("list", "Step 1 | Step 2", ["Step 1", "Step 2"], {"separator": "|"}, 1),
        ("set", "**red**, **blue**", ["red", "blue"], {}, 1),
        ("set", "The primary colours are red, blue, and yellow.", ["red", "blue", "yellow"], {}, 1),
        ("set", "- **Red**: a colour\n- Blue", ["red", "blue"], {}, 0),
        ("list", "(1, 2)", [1, 2], {}, 1),
        ("list", "3 -> 4", [3, 4], {"separator": "->"}, 1),
        ("set", "True, False", [True, False], {}, 1),
        ("set", "Sets: a, b", "a, b", {}, 1),
        ("list", "A, B, C", ["A", "B", "C"], {}, 1),
        ("list", "the, a, an", ["the", "a", "an"], {}, 1),
    ],
)
def test_items_are_read_as_people_write_them(
    name: str, text: str, answer: Any, params: dict[str, Any], score: float
) -> None:
    assert judge(name, text, answer, **params).score == score


def test_boxes_and_formulas_hold_items() -> None:
    for text in (r"\boxed{1} and \boxed{2}", r"\boxed{1, 2}", "$1$, $2$", r"$\{1, 2\}$"):
        assert judge("set", text, [1, 2]).passed, text
    assert judge("set", r"\boxed{1}. No: \boxed{2, 3}", [1, 2, 3]).status == "wrong"
    assert judge("set", "$5, $6", ["$6", "$5"]).passed


@pytest.mark.parametrize(
    ("name", "text", "params", "score"),
    [
        ("set", "a1, b1, c1", {"credit": "f1"}, 2 * 3 / 7),
        ("set", "a1, b1, c1", {"credit": "jaccard"}, 3 / 4),
        ("set", "a1, b1, c1", {}, 0.0),
        ("set", "x1", {"credit": "f1"}, 0.0),
        ("list", "d1, a1, b1, c1", {"credit": "f1"}, 2 * 3 / 8),
        ("list", "d1, c1, b1, a1", {"credit": "jaccard"}, 1 / 7),
        ("list", "d1, c1, b1, a1", {"credit": "jaccard", "ordered": False}, 1.0),
        ("list", "a1, a1, a1, a1", {"credit": "f1", "ordered": False}, 2 / 8),
    ],
)
def test_partial_credit_is_as_declared(name: str, text: str, params: dict[str, Any], score: float) -> None:
    verdict = judge(name, text, ["a1", "b1", "c1", "d1"], **params)
    assert verdict.score == pytest.approx(score)
    assert verdict.status == ("ok" if score == 1 else "wrong")


def test_naming_everything_is_not_paid_in_full() -> None:
    everything = ", ".join(f"item{n}" for n in range(100))
    assert judge("set", everything, ["item1", "item2"]).score == 0
    assert judge("set", everything, ["item1", "item2"], credit="f1").score == pytest.approx(4 / 102)


@pytest.mark.parametrize("name", ["set", "list"])
def test_an_empty_collection_must_be_said(name: str) -> None:
    assert judge(name, "none", []).passed
    assert judge(name, "[]", []).passed
    assert judge(name, "", []).status == "unparseable"
    assert judge(name, "<think>none</think>", []).status == "unparseable"
    assert judge(name, "1", []).status == "wrong"
    assert judge(name, "1", None).status == "infra_error"
    assert judge(name, "1", " ").status == "infra_error"


def test_an_unknown_credit_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'jaccard'"):
        make_verifier("set", {"credit": "jacard"})


@given(st.lists(st.integers(-999, 999), min_size=1, max_size=8), st.randoms())
def test_gold_passes_and_a_changed_item_fails(items: list[int], random: Any) -> None:
    text = ", ".join(map(str, items))
    shuffled = list(items)
    random.shuffle(shuffled)
    assert judge("list", text, items).passed
    assert judge("list", str(shuffled), items, ordered=False).passed
    assert judge("set", "\n".join(f"- {item}" for item in shuffled), items).passed
    changed = [*items[:-1], items[-1] + 5000]
    for name in ("set", "list"):
        assert judge(name, ", ".join(map(str, changed)), items).status == "wrong"


@given(st.one_of(st.text(max_size=200), st.text(alphabet='[]{}()\\,;and1 -*.\n"`$', max_size=80)))
def test_no_text_makes_it_raise(text: str) -> None:
    for name in ("set", "list"):
        assert judge(name, text, ["a", 1]).status in ("ok", "wrong", "unparseable")


def _longest_by_definition(expected: list[str], found: list[str]) -> int:
    if not expected or not found:
        return 0
    if expected[0] == found[0]:
        return 1 + _longest_by_definition(expected[1:], found[1:])
    return max(_longest_by_definition(expected[1:], found), _longest_by_definition(expected, found[1:]))


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_an_ordered_list_is_paid_for_its_longest_common_subsequence(expected: list[str], found: list[str]) -> None:
    shared = judge("list", json.dumps(found), expected, credit="f1").evidence["shared"]
    assert shared == _longest_by_definition(expected, found)
