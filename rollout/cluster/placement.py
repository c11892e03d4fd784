"""Ray's side of a placement: the nodes of the cluster, placement groups with a deadline, and the place of an actor."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import ray
from ray._private.state import available_resources_per_node
from ray._private.state import state as ray_state
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ...verifiers.errors import ConfigError, InfrastructureError
from .demand import Bundle, Demand
from .nodes import Node, asked, choosiness, described, missing
from .room import ActorKey, RoomView

log = logging.getLogger("lachesis")

RANKS = "lachesis-ranks"
"""The name of the group of the trainer's ranks, by which the learner finds it; names belong to one job."""
SOON = 5.0
"""Seconds of waiting for room after which the user is told."""


def _left(end: float) -> float:
    """Seconds until ``end``."""
    return max(0.0, end - time.monotonic())


def nodes_of_cluster() -> list[Node]:
    """The nodes that are alive; Ray must have been started."""
    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    return [
        Node(
            node["NodeID"],
            f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
            node["Resources"],
            free.get(node["NodeID"], {}),
            node.get("Labels") or {},
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


class Placement:
    """The room of a run, as Ray reserved it; Ray frees it when the process of the run ends.

    Actors of an elastic demand have a placement group each, which Ray fills when there is room; those of any other
    demand have one together.

    Args:
        demands: what to reserve.
        deadline: seconds for all of it together.
        fixed: whether the cluster gets no further nodes, so that waiting for them is of no use.

    Raises:
        ConfigError: Ray does not understand a label.
        InfrastructureError: the cluster has no room in time. The message says what is asked, there, and missing.
    """

    def __init__(self, demands: Sequence[Demand], deadline: float, fixed: bool = False) -> None:
        self._groups: dict[str, PlacementGroup] = {}
        self._alone: dict[ActorKey, PlacementGroup] = {}
        self._bundles = {(d.role, n): bundle for d in demands if d.elastic for n, bundle in enumerate(d.bundles)}
        self._moving = threading.Lock()
        self._told = False
        nodes = nodes_of_cluster()
        if fixed and (lacking := missing(demands, nodes, free=False)):
            raise InfrastructureError(_no_room(demands, nodes, lacking, "this machine"))
        end = time.monotonic() + deadline
        for demand in sorted(demands, key=choosiness, reverse=True):
            for group in self._reserve(demand):
                if group.wait(min(SOON, _left(end))) or self._wait(group, demands, end):
                    continue
                self.close()
                nodes = nodes_of_cluster()
                where = f"the cluster, after {deadline:g} s (cluster.deadline),"
                raise InfrastructureError(_no_room(demands, nodes, _lacking(demands, nodes), where))
        waiting = ([seat for seat in self._bundles if seat[0] == role] for role in ("engines", "workers"))
        for seats in zip_longest(*waiting):  # in turn, so that neither kind takes all of the room
            for seat in seats:
                if seat is not None and seat not in self._alone:
                    self._alone[seat] = _group_of_one(seat[0], self._bundles[seat])

    def _wait(self, group: PlacementGroup, demands: Sequence[Demand], end: float) -> bool:
        """Wait for a group, and say so once; whether it has room in time."""
        if not self._told and _left(end):
            self._told = True
            lacking = _lacking(demands, nodes_of_cluster())
            log.warning("the cluster has no room yet; the run waits up to %.0f s for it: %s", _left(end), lacking)
        return bool(group.wait(_left(end)))

    def _reserve(self, demand: Demand) -> list[PlacementGroup]:
        """Ask for what must be there at the start."""
        if not demand.elastic:
            group = self._groups[demand.role] = _group(demand.role, demand.bundles, demand.strategy)
            return [group]
        found = {(demand.role, n): _group_of_one(demand.role, one) for n, one in enumerate(demand.needed.bundles)}
        self._alone.update(found)
        return list(found.values())

    def seat(self, role: str, number: int, gpus: float) -> dict[str, Any]:
        """Options of the actor that uses bundle ``number``; engines that share GPUs with ranks are in their group."""
        if (role, number) in self._alone:
            return _seat(self._alone[role, number], 0, gpus)
        return _seat(self._groups.get(role) or self._groups["ranks"], number, gpus)

    def look(self) -> RoomView:
        """What Ray knows of the room now; blocks if Ray does not answer."""
        with self._moving:
            table: Any = placement_group_table() if self._alone else {}
            placed = {seat: _is_placed(table.get(group.id.hex())) for seat, group in self._alone.items()}
        ends: dict[str, int] = ray_state.get_draining_nodes()  # as Ray's own libraries do; nothing public says it
        now = time.time() * 1000
        leaving = {node: (end - now) / 1000 if end else float("inf") for node, end in ends.items()}
        return RoomView(placed, leaving)

    def move(self, role: str, number: int) -> None:
        """Give up the room of an elastic actor, which ends, and ask for room elsewhere; blocks as ``look`` does."""
        with self._moving:
            remove_placement_group(self._alone[role, number])
            self._alone[role, number] = _group_of_one(role, self._bundles[role, number])

    def close(self) -> None:
        """Free the room; actors in it end."""
        with self._moving:  # a look that comes after the end must not start a Ray of its own
            for group in (*self._groups.values(), *self._alone.values()):
                remove_placement_group(group)
            self._groups, self._alone = {}, {}


def _lacking(demands: Sequence[Demand], nodes: Sequence[Node]) -> str:
    return missing(demands, nodes, free=False) or missing(demands, nodes) or "Ray gives no reason"


def rank_seat(rank: int, gpus: float) -> dict[str, Any]:
    """Options of the actor of one of the trainer's ranks; without a placement, Ray chooses its node."""
    try:
        group = get_placement_group(RANKS)
    except ValueError:  # there is none of that name
        return {"num_cpus": 0, "num_gpus": gpus}
    return _seat(group, rank, gpus)


def _group(role: str, bundles: Sequence[Bundle], strategy: str) -> PlacementGroup:
    try:
        group: PlacementGroup = placement_group(
            [dict(bundle.resources) for bundle in bundles],
            strategy.upper(),
            name=RANKS if role == "ranks" else "",
            bundle_label_selector=[dict(bundle.labels) for bundle in bundles],
        )
    except ValueError as error:  # the syntax of a label
        raise ConfigError(f"[cluster.{role}]: Ray refuses it: {' '.join(str(error).split()):.300}") from None
    return group


def _group_of_one(role: str, bundle: Bundle) -> PlacementGroup:
    return _group(role, [bundle], "spread")


def _is_placed(group: Mapping[str, Any] | None) -> bool:
    """Whether Ray has reserved a group of one bundle, by its row in Ray's table; a new group may not be in it yet."""
    return group is not None and group["state"] == "CREATED"


def _seat(group: PlacementGroup, number: int, gpus: float) -> dict[str, Any]:
    """The bundle reserves all resources; an actor itself asks only for its GPUs, which Ray has to show it."""
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
    return {"num_cpus": 0, "num_gpus": gpus, "scheduling_strategy": strategy}


def _no_room(demands: Sequence[Demand], nodes: Sequence[Node], lacking: str, where: str) -> str:
    return (
        f"the run asks for {asked(demands)}, but {where} has no room: {lacking}. It has {described(nodes)}; add nodes, "
        "ask for less in [cluster], or start fewer engines, workers or ranks"
    )
