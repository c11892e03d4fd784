"""Whether demands fit on nodes, and what the answer says is missing."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lachesis.rollout.cluster.config import Strategy
from lachesis.rollout.cluster.demand import GIB, Bundle, Demand
from lachesis.rollout.cluster.nodes import Node, amounts, asked, described, missing


def node(name: str, labels: Mapping[str, str] | None = None, used: float = 0, **resources: float) -> Node:
    free = {**resources, "CPU": resources.get("CPU", 0) - used}
    return Node(name, name, {**resources, f"node:{name}": 1.0, "object_store_memory": 1.0}, free, labels or {})


def demand(
    number: int, strategy: Strategy = "spread", labels: Mapping[str, str] | None = None, **each: float
) -> Demand:
    return Demand("engines", strategy, tuple(Bundle(f"engine {k}", each, labels or {}) for k in range(number)))


TWO = [node("a", CPU=4, GPU=2), node("b", CPU=4, GPU=2)]


def test_what_fits_lacks_nothing() -> None:
    assert missing([demand(4, CPU=2, GPU=1)], TWO) == ""
    assert missing([demand(2, "strict_spread", CPU=4)], TWO) == ""
    assert missing([demand(2, "strict_pack", CPU=2)], TWO) == ""
    assert missing([], []) == ""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (demand(5, CPU=1, GPU=1), "1 of 5 engines (1 CPU, 1 GPU each) find no node with room: 1 CPU, 1 GPU more"),
        (demand(1, CPU=1, GPU=4), "1 of 1 engines (1 CPU, 4 GPU each): the most GPU of one node is 2 GPU"),
        (demand(1, CPU=1, kvm=1), "1 of 1 engines (1 CPU, 1 kvm each): the most kvm of one node is 0 kvm"),
        (
            demand(3, "strict_spread", CPU=1),
            "1 of 3 engines (1 CPU each) find no node with room under the strategy strict_spread: 1 CPU more",
        ),
        (
            demand(3, "strict_pack", CPU=2),
            "3 of 3 engines (2 CPU each) find no node with room under the strategy strict_pack: 6 CPU more",
        ),
        (demand(1, labels={"zone": "x"}, CPU=1), "1 of 1 engines (1 CPU each, label zone=x): no node has the label"),
    ],
)
def test_the_reason_says_how_many_find_no_room_and_why(wanted: Demand, found: str) -> None:
    assert missing([wanted], TWO) == found


def test_of_elastic_actors_only_the_least_must_fit() -> None:
    elastic = replace(demand(9, CPU=2), least=4)
    assert missing([elastic], TWO) == ""
    assert asked([elastic]) == "8 CPU for 4 (at most 9) engines"
    assert missing([replace(elastic, least=5)], TWO).startswith("1 of 5 engines")


def test_reservations_of_others_count_unless_all_of_the_cluster_is_meant() -> None:
    busy = [node("a", used=3, CPU=4)]
    assert missing([demand(2, CPU=1)], busy) == "1 of 2 engines (1 CPU each) find no node with room: 1 CPU more"
    assert missing([demand(2, CPU=1)], busy, free=False) == ""


def test_demands_share_the_nodes() -> None:
    assert missing([demand(4, CPU=2), demand(1, CPU=1)], TWO).startswith("1 of 1 engines (1 CPU each) find no")


@pytest.mark.parametrize(
    ("selector", "fits"),
    [("a", True), ("b", False), ("!b", True), ("!a", False), ("in(a, b)", True), ("in(b)", False), ("!in(a,b)", False)],
)
def test_labels_are_rays_selectors(selector: str, fits: bool) -> None:
    found = missing([demand(1, labels={"zone": selector}, CPU=1)], [node("a", {"zone": "a"}, CPU=1)])
    assert (found == "") == fits


def test_a_node_without_the_label_is_not_the_value_and_so_is_taken_by_its_negation() -> None:
    assert missing([demand(1, labels={"zone": "!a"}, CPU=1)], [node("a", CPU=1)]) == ""


def test_amounts_read_like_a_person_writes_them_and_hide_what_is_rays() -> None:
    assert amounts({"kvm": 1, "memory": 1.5 * GIB, "GPU": 0.5, "CPU": 2}) == "2 CPU, 0.5 GPU, 1.5 GiB memory, 1 kvm"
    assert described(TWO) == "2 nodes with 8 CPU, 4 GPU, of which 8 CPU, 4 GPU is free"
    assert described([]) == "0 nodes with nothing, of which nothing is free"
    assert asked([demand(2, CPU=1, GPU=0.5)]) == "2 CPU, 1 GPU for 2 engines"
