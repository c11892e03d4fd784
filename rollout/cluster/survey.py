"""A survey of a cluster's nodes: what each of them has, asked by a task on each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from . import node_facts
from .nodes import Node


@dataclass(frozen=True)
class NodeFacts:
    """What one node has.

    Attributes:
        node: the node.
        versions: version by package; empty for a missing package.
        paths: those of the paths that were asked for which exist there.
        cached: whether its cache of the Hub has the model.
        fault: why the node did not answer; empty if it did.
    """

    node: Node
    versions: dict[str, str]
    paths: tuple[str, ...]
    cached: bool
    fault: str = ""


def survey(nodes: Sequence[Node], paths: Sequence[str], model: str, deadline: float) -> list[NodeFacts]:
    """Ask every node, at the same time.

    Args:
        nodes: alive nodes of the cluster.
        paths: files and folders to look for.
        model: a name on the Hub to look for.
        deadline: seconds for all answers.
    """
    cloudpickle.register_pickle_by_value(node_facts)  # type: ignore[no-untyped-call]
    task: Any = ray.remote(node_facts.facts)
    asked = [
        task.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
        ).remote(list(paths), model)
        for node in nodes
    ]
    ray.wait(asked, num_returns=len(asked), timeout=deadline)
    return [_answer(node, reference) for node, reference in zip(nodes, asked, strict=True)]


def _answer(node: Node, reference: Any) -> NodeFacts:
    try:
        versions, paths, cached = ray.get(reference, timeout=0)
    except RayError as error:
        silent = "it did not answer in time" if isinstance(error, ray.exceptions.GetTimeoutError) else ""
        return NodeFacts(node, {}, (), False, silent or " ".join(str(error).split())[:200])
    return NodeFacts(node, versions, tuple(paths), cached)
