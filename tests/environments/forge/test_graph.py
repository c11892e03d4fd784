"""Graphs: which are sound, how walks go through them, and what the unsound ones are told."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from lachesis.environments.forge.graph import Graph
from lachesis.environments.forge.node import FunctionNode, Node, PostconditionFailed, node
from lachesis.environments.forge.walk import Walk
from lachesis.verifiers.errors import ConfigError, DataError


def step(name: str, takes: dict[str, type], gives: dict[str, type], function: Any = None, **settings: Any) -> Node:
    """A node that writes its own name into what it gives, unless ``function`` does something else."""
    made = function or (lambda record, rng: {field: [name] if kind is list else name for field, kind in gives.items()})
    return FunctionNode(name=name, takes=takes, gives=gives, function=made, **settings)


def graph(*nodes: Node, takes: Any = None, gives: Any = None, **settings: Any) -> Graph:
    takes, gives = takes or {"text": str}, gives or {"answer": str}
    return Graph(name="g", takes=takes, gives=gives, nodes=nodes, **settings)


def walk(made: Graph, seed: int = 0, **document: Any) -> Walk:
    return asyncio.run(made.walk(document or {"text": "t"}, Random(seed)))


A = step("a", {"text": str}, {"facts": list})
B = step("b", {"facts": list}, {"question": str})
C = step("c", {"text": str, "question": str}, {"answer": str})


def test_an_edge_leads_where_postconditions_satisfy_preconditions() -> None:
    made = graph(C, B, A)  # in any order
    assert made.followers == {"source": ("a",), "a": ("b",), "b": ("c",), "c": ("target",)}
    found = walk(made)
    assert (found.record, found.path, found.finished) == ({"answer": "c"}, ("a", "b", "c"), True)


def test_a_walk_chooses_among_edges_by_their_weights_and_the_seed_decides() -> None:
    other = step("other", {"facts": list}, {"question": str}, weight=3.0)
    made = graph(A, B, other, C)
    paths = [walk(made, seed).path for seed in range(400)]
    counts = Counter(path[1] for path in paths)
    assert 260 < counts["other"] < 340
    assert [walk(made, seed).path for seed in range(400)] == paths


def test_a_node_sees_only_what_it_takes_and_cannot_change_what_others_see() -> None:
    seen: list[Any] = []

    def greedy(record: dict[str, Any], rng: Random) -> dict[str, Any]:
        seen.append(repr(record))
        record["facts"].append("spoilt")
        return {"question": "q"}

    last = step("last", {"facts": list, "question": str}, {"answer": str}, lambda record, rng: {"answer": repr(record)})
    found = walk(graph(A, step("greedy", {"facts": list}, {"question": str}, greedy), last))
    assert seen == [repr({"facts": ["a"]})]
    assert found.record["answer"] == repr({"facts": ["a"], "question": "q"})


def test_a_precondition_that_fails_chooses_another_edge_and_without_one_the_walk_ends() -> None:
    long = step("long", {"facts": list}, {"question": str}, precondition=lambda record: len(record["facts"]) > 1)
    assert {walk(graph(A, B, long, C), seed).path[1] for seed in range(50)} == {"b"}
    ended = walk(graph(A, long, C))
    assert (ended.stop, ended.place, ended.ended) == ("dead_end", "a", "dead_end at a")
    assert ended.reason == "no precondition holds after a: long"


@pytest.mark.parametrize(
    ("give", "reason"),
    [
        (lambda record, rng: {"question": "no"}, "the postcondition does not hold (in each of 3 tries)"),
        (lambda record, rng: {"question": 3}, "field 'question' is text, found 3"),
        (lambda record, rng: {}, "there is no field 'question'"),
        (lambda record, rng: {"question": "a?", "more": 1}, "the field 'more', which its gives does not declare"),
        (lambda record, rng: "a?", "instead of a table of fields"),
    ],
)
def test_a_postcondition_that_fails_is_tried_again_and_then_ends_the_walk(give: Any, reason: str) -> None:
    asked = step("b", {"facts": list}, {"question": str}, give, postcondition=lambda record: "?" in record["question"])
    ended = walk(graph(A, asked, C))
    assert (ended.stop, ended.place, ended.path) == ("postcondition", "b", ("a", "b"))
    assert reason in ended.reason


def test_each_try_has_random_numbers_of_its_own_and_changes_nothing_elsewhere() -> None:
    tries: list[float] = []

    def lucky(record: Any, rng: Random) -> Any:
        tries.append(rng.random())
        if tries[-1] < 0.5:
            raise PostconditionFailed("unlucky")
        return {"question": "q"}

    def drawn(record: Any, rng: Random) -> Any:
        return {"answer": str(rng.random())}

    last = step("c", {"question": str}, {"answer": str}, drawn)
    with_retries = [
        walk(graph(A, step("b", {"facts": list}, {"question": str}, lucky, tries=50), last), s) for s in range(20)
    ]
    without = [walk(graph(A, B, last), seed) for seed in range(20)]
    assert len(tries) > 25
    assert len(set(tries)) == len(tries)
    assert [found.record for found in with_retries] == [found.record for found in without]


def test_a_graph_is_a_node_of_another_and_shows_only_what_it_gives() -> None:
    inner = Graph(name="inner", takes={"text": str}, gives={"question": str}, nodes=[A, B])
    found = walk(graph(inner, C))
    assert (found.record, found.path) == ({"answer": "c"}, ("inner", "inner/a", "inner/b", "c"))
    broken = Graph(
        name="inner",
        takes={"text": str},
        gives={"question": str},
        nodes=[A, step("b", B.takes, B.gives, lambda *_: {})],
    )
    ended = walk(graph(broken, C))
    assert (ended.stop, ended.place) == ("postcondition", "inner")
    assert "postcondition at inner/b: there is no field 'question'" in ended.reason


def test_the_conditions_of_the_whole_graph_hold_for_its_documents_and_walks() -> None:
    assert walk(graph(A, B, C, precondition=lambda record: record["text"] == "x")).ended == "dead_end at source"
    assert walk(graph(A, B, C, postcondition=lambda record: record["answer"] == "x")).ended == "postcondition at target"


def test_edges_may_be_listed_where_derived_ones_would_form_a_cycle() -> None:
    upper = step("upper", {"text": str}, {"text": str}, lambda record, rng: {"text": record["text"].upper()})
    twice = step("twice", {"text": str}, {"text": str}, lambda record, rng: {"text": record["text"] * 2})
    end = step("end", {"text": str}, {"answer": str}, lambda record, rng: {"answer": record["text"]})
    with pytest.raises(ConfigError, match="form a cycle, but a walk must end; give their fields different names, or"):
        graph(upper, twice, end)
    edges = {"source": ["upper", "end"], "upper": ["twice"], "twice": ["end"], "end": ["target"]}
    found = {walk(graph(upper, twice, end, edges=edges), seed).record["answer"] for seed in range(20)}
    assert found == {"t", "TT"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: graph(A, C), "no walk comes to 'c', because nothing gives the field 'question' that it takes; add"),
        (
            lambda: graph(A, step("b", {"facts": str}, {"question": str}), C),
            "no walk comes to 'b', because it takes 'facts' as text, but a gives a list; make them one type",
        ),
        (lambda: graph(A, B, C, step("d", {"facts": list}, {"more": str})), "'d' is a dead end: nothing that leads to"),
        (
            lambda: graph(A, B, C, step("d", {"text": str}, {"facts": str})),
            "'d' is a dead end: b takes 'facts' as a list, but d gives text; connect it, or remove it",
        ),
        (lambda: graph(A, B, C, step("d", {}, {"answer": str})), "'d', because it takes nothing"),
        (
            lambda: graph(
                A, B, C, step("d", {"facts": list}, {"x": str}), step("e", {"question": str, "x": str}, {"answer": str})
            ),
            "no walk comes to 'e', because on no path the record has all of 'question' \\(text\\), 'x' \\(text\\)",
        ),
        (
            lambda: graph(C, step("b", {"facts": str}, {"question": str}), A),
            "no walk comes to 'b', because it takes 'facts' as text",
        ),
        (lambda: graph(A, B, gives={"answer": str}), "no walk can end, because nothing gives the field 'answer'"),
        (lambda: graph(A, B, C, edges={"source": ["a"], "a": ["c"]}), "the edge a → c cannot be: c takes 'question'"),
        (lambda: graph(A, B, C, edges={"source": ["a"], "a": ["b"], "b": ["c"]}), "no walk can end, because no edge"),
        (lambda: graph(A, edges={"source": ["aa"]}), "no node is called 'aa'; did you mean 'a'"),
        (lambda: graph(A, edges={"a": ["source"]}), "no edge leads into source or out of target"),
        (lambda: graph(A, edges={"a": "target"}), "the followers of 'a' are a list of names, found 'target'"),
        (lambda: graph(A, edges=["a"]), "edges are a table"),
        (lambda: graph(A, edges={"source": [["a"]]}), r"no node is called \['a'\]"),
        (lambda: Graph(name="g", takes={"text": str}, gives={"x": str}, nodes=A), "nodes is a list, found"),  # type: ignore[arg-type]
        (
            lambda: graph(A, B, C, edges={"source": ["a"], "a": ["b"], "b": ["a", "c"], "c": ["target"]}),
            "form a cycle, but a walk must end; remove one of these edges",
        ),
        (lambda: graph(A, A, C), "2 nodes called 'a'; rename all but one"),
        (lambda: graph(), "has no nodes"),
        (lambda: graph(len), "is no node; mark the function with @node"),  # type: ignore[arg-type]
        (lambda: Graph(name="g", takes={}, gives={"x": str}, nodes=[A]), "takes nothing; name the fields of its"),
    ],
)
def test_an_unsound_graph_is_refused_when_it_is_made_with_the_cure(make: Callable[[], Graph], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "source"}, "no node may be called 'source'"),
        ({"name": "a/b"}, "without '/'"),
        ({"takes": {"text": "str"}}, "the type of 'text' is one of str, int"),
        ({"takes": {"a b": str}}, "a field's name is a word"),
        ({"takes": ["text"]}, "takes is a table from field to type"),
        ({"gives": {}}, "gives nothing"),
        ({"tries": 0}, "tries is a whole number of at least 1"),
        ({"weight": float("nan")}, "weight is a number above 0"),
        ({"precondition": True}, "the precondition is a function"),
        ({"function": None}, "the function is a function"),
    ],
)
def test_an_impossible_node_is_refused(changed: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"name": "a", "takes": {"text": str}, "gives": {"x": str}, "function": len}
    with pytest.raises(ConfigError, match=message):
        FunctionNode(**fields | changed)


@pytest.mark.parametrize("document", [{}, {"text": 3}, {"text": None}, ["text"]])
def test_a_document_that_does_not_fit_is_refused(document: Any) -> None:
    with pytest.raises(DataError, match=r"does not fit graph 'g'|a document is a table"):
        asyncio.run(graph(A, B, C).walk(document, Random(0)))


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        (int, 3, True), (int, True, False), (float, 3, True), (float, float("inf"), False), (bool, True, True),
        (bool, 1, False), (list, (1,), False), (list, [{1}], False), (dict, {"a": [None]}, True), (dict, {1: 2}, False),
        (object, None, True), (str, None, False),
    ],
)  # fmt: skip
def test_values_have_their_declared_types_and_are_json(kind: type, value: Any, fits: bool) -> None:
    last = step("last", {"x": kind}, {"answer": str}, lambda record, rng: {"answer": "x"})
    made = graph(step("first", {"text": str}, {"x": kind}, lambda record, rng: {"x": value}), last)
    assert walk(made).finished == fits


def test_functions_may_be_async_and_are_named_by_the_decorator() -> None:
    @node(takes={"text": str}, gives={"answer": str}, tries=1)
    async def shout(record: dict[str, Any], rng: Random) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"answer": record["text"].upper()}

    assert shout.name == "shout"
    assert walk(graph(shout), text="hi").record == {"answer": "HI"}
    with pytest.raises(TypeError, match="retries"):
        node(takes={"text": str}, gives={"answer": str}, retries=1)(lambda record, rng: {})


def test_a_large_graph_is_made_and_walked_at_once() -> None:
    many = [step(f"n{number}", {f"x{number}": str}, {f"x{number + 1}": str}) for number in range(300)]
    found = walk(graph(*many, takes={"x0": str}, gives={"x300": str}), x0="t")
    assert len(found.path) == 300
