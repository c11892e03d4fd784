"""Ray's side of a placement: the nodes of the cluster, placement groups with a deadline, and the place of an actor."""

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray._private.state import available_resources_per_node
from ray.util.placement_group import PlacementGroup, get_placement_group, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ...verifiers.errors import ConfigError, InfrastructureError
from .demand import Demand
from .nodes import Node, asked, choosiness, described, missing

RANKS = "lachesis-ranks"
"""The name of the group of the trainer's ranks, by which the learner finds it; names belong to one job."""


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
        nodes = nodes_of_cluster()
        if fixed and (lacking := missing(demands, nodes, free=False)):
            raise InfrastructureError(_no_room(demands, nodes, lacking, "this machine"))
        end = time.monotonic() + deadline
        for demand in sorted(demands, key=choosiness, reverse=True):
            group = self._groups[demand.role] = _group(demand)
            if group.wait(max(0.0, end - time.monotonic())):
                continue
            self.close()
            nodes = nodes_of_cluster()
            lacking = missing(demands, nodes, free=False) or missing(demands, nodes) or "Ray gives no reason"
            where = f"the cluster, after {deadline:g} s (cluster.deadline),"
            raise InfrastructureError(_no_room(demands, nodes, lacking, where))

    def seat(self, role: str, number: int, gpus: float) -> dict[str, Any]:
        """Options of the actor that uses bundle ``number``; engines that share GPUs with ranks are in their group."""
        return _seat(self._groups.get(role) or self._groups["ranks"], number, gpus)

    def close(self) -> None:
        """Free the room; actors in it end."""
        for group in self._groups.values():
            remove_placement_group(group)
        self._groups = {}


def rank_seat(rank: int, gpus: float) -> dict[str, Any]:
    """Options of the actor of one of the trainer's ranks; without a placement, Ray chooses its node."""
    try:
        group = get_placement_group(RANKS)
    except ValueError:  # there is none of that name
        return {"num_cpus": 0, "num_gpus": gpus}
    return _seat(group, rank, gpus)


def _group(demand: Demand) -> PlacementGroup:
    try:
        group: PlacementGroup = placement_group(
            [dict(bundle.resources) for bundle in demand.bundles],
            demand.strategy.upper(),
            name=RANKS if demand.role == "ranks" else "",
            bundle_label_selector=[dict(bundle.labels) for bundle in demand.bundles],
        )
    except ValueError as error:  # the syntax of a label
        raise ConfigError(f"[cluster.{demand.role}]: Ray refuses it: {' '.join(str(error).split()):.300}") from None
    return group


def _seat(group: PlacementGroup, number: int, gpus: float) -> dict[str, Any]:
    """The bundle reserves all resources; an actor itself asks only for its GPUs, which Ray has to show it."""
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
    return {"num_cpus": 0, "num_gpus": gpus, "scheduling_strategy": strategy}


def _no_room(demands: Sequence[Demand], nodes: Sequence[Node], lacking: str, where: str) -> str:
    return (
        f"the run asks for {asked(demands)}, but {where} has no room: {lacking}. It has {described(nodes)}; add nodes, "
        "ask for less in [cluster], or start fewer engines, workers or ranks"
    )
