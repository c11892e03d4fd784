"""The nodes of a cluster, and whether a run's demands fit on them; this needs no Ray."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .demand import GIB, Bundle, Demand

ROUNDING = 1e-6


@dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    Attributes:
        id: Ray's.
        name: its host name and address, for messages.
        total: amounts of all its resources by Ray's names; memory in bytes.
        free: what nobody has reserved.
        labels: its labels.
    """

    id: str
    name: str
    total: Mapping[str, float]
    free: Mapping[str, float]
    labels: Mapping[str, str]

    def fits(self, bundle: Bundle) -> bool:
        """Whether the node has the labels that the bundle asks for."""
        return all(_matches(self.labels.get(label), asked) for label, asked in bundle.labels.items())


def _matches(value: str | None, asked: str) -> bool:
    """Whether a label's value is what a selector of Ray asks for: ``a``, ``!a``, ``in(a,b)``, ``!in(a,b)``."""
    wanted, asked = not asked.startswith("!"), asked.removeprefix("!").strip()
    several = asked.removeprefix("in(").removesuffix(")") if asked.startswith("in(") else None
    choices = [asked] if several is None else [choice.strip() for choice in several.split(",")]
    return (value in choices) == wanted


class Packing:
    """Bundles on nodes, each on the node that its group's strategy prefers.

    This is a first fit of the largest bundles first. Ray's own search differs, so a tight fit may fail there.

    Args:
        nodes: the nodes.
        free: whether only what nobody has reserved counts.
    """

    def __init__(self, nodes: Sequence[Node], free: bool = True) -> None:
        self._nodes = nodes
        self._left = [dict(node.free if free else node.total) for node in nodes]

    def place(self, demand: Demand) -> list[Bundle]:
        """Put the bundles of a demand on nodes; return those that found no node."""
        used: Counter[int] = Counter()
        lost: list[Bundle] = []
        for bundle in sorted(demand.bundles, key=_size, reverse=True):
            rooms = [place for place in range(len(self._nodes)) if self._has_room(place, bundle)]
            if demand.strategy == "strict_spread":
                rooms = [place for place in rooms if not used[place]]
            if demand.strategy == "strict_pack" and used:
                rooms = [place for place in rooms if used[place]]
            elif demand.strategy == "strict_pack":
                rooms = [place for place in rooms if self._has_room(place, _sum(demand.bundles))]
            if not rooms:
                lost.append(bundle)
                continue
            packs = demand.strategy in ("pack", "strict_pack")
            chosen = max(rooms, key=lambda place: (used[place] if packs else -used[place], -place))
            used[chosen] += 1
            for name, amount in bundle.resources.items():
                self._left[chosen][name] = self._left[chosen].get(name, 0) - amount
        return lost

    def _has_room(self, place: int, bundle: Bundle) -> bool:
        left = self._left[place]
        room = all(left.get(name, 0) + ROUNDING >= amount for name, amount in bundle.resources.items())
        return room and self._nodes[place].fits(bundle)


def missing(demands: Sequence[Demand], nodes: Sequence[Node], free: bool = True) -> str:
    """What the nodes lack for what the demands need at the start, in one line; empty if everything fits.

    Args:
        demands: of the run.
        nodes: of the cluster.
        free: whether only what nobody has reserved counts.
    """
    packing = Packing(nodes, free)
    in_order = sorted((demand.needed for demand in demands), key=choosiness, reverse=True)
    lost = [(demand, bundles) for demand in in_order if (bundles := packing.place(demand))]
    return "; ".join(_reason(demand, bundles, nodes) for demand, bundles in lost)


def _reason(demand: Demand, lost: Sequence[Bundle], nodes: Sequence[Node]) -> str:
    first = lost[0]
    what = f"{len(lost)} of {len(demand.bundles)} {demand.role} ({amounts(first.resources)} each"
    labels = ", ".join(f"{name}={value}" for name, value in first.labels.items())
    what += f", label {labels})" if labels else ")"
    able = [node for node in nodes if node.fits(first)]
    if labels and not able:
        return f"{what}: no node has the label"
    for name, amount in first.resources.items():
        most = max((node.total.get(name, 0) for node in able), default=0)
        if most + ROUNDING < amount:
            return f"{what}: the most {name} of one node is {amounts({name: most})}"
    strict = f" under the strategy {demand.strategy}" if demand.strategy.startswith("strict") else ""
    return f"{what} find no node with room{strict}: {amounts(_total(bundle.resources for bundle in lost))} more"


def choosiness(demand: Demand) -> tuple[int, ...]:
    """How few nodes may serve a demand; the choosiest is placed first, so that others do not take its nodes."""
    first = demand.bundles[0]
    custom = set(first.resources) - {"CPU", "GPU", "memory"}
    return len(first.labels), len(custom), "GPU" in first.resources, demand.strategy.startswith("strict")


def amounts(resources: Mapping[str, float]) -> str:
    """Resources as a person reads them: ``4 CPU, 2 GPU, 7.5 GiB memory``."""
    order = sorted(resources, key=lambda name: ({"CPU": 0, "GPU": 1, "memory": 2}.get(name, 3), name))
    return ", ".join(
        f"{resources[name] / GIB:.4g} GiB {name}" if name == "memory" else f"{resources[name]:g} {name}"
        for name in order
    )


def described(nodes: Sequence[Node]) -> str:
    """All that the nodes have, and what of it is free, in one line."""
    total, free = (_total(own_resources(getattr(node, kind)) for node in nodes) for kind in ("total", "free"))
    count = f"{len(nodes)} node{'s' * (len(nodes) != 1)}"
    return f"{count} with {amounts(total) or 'nothing'}, of which {amounts(free) or 'nothing'} is free"


def asked(demands: Sequence[Demand]) -> str:
    """What the demands need at the start together, in one line."""
    number = ", ".join(f"{_number(demand)} {demand.role}" for demand in demands)
    return f"{amounts(_total(one.resources for demand in demands for one in demand.needed.bundles))} for {number}"


def _number(demand: Demand) -> str:
    needed, most = len(demand.needed.bundles), len(demand.bundles)
    return f"{needed}" if needed == most else f"{needed} (at most {most})"


def own_resources(resources: Mapping[str, float]) -> dict[str, float]:
    """Without the resources that Ray keeps for itself."""
    hidden = ("node:", "object_store_memory", "accelerator_type:")
    return {name: amount for name, amount in resources.items() if not name.startswith(hidden) and "_group_" not in name}


def _total(many: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for resources in many:
        for name, amount in resources.items():
            total[name] = total.get(name, 0) + amount
    return total


def _sum(bundles: Sequence[Bundle]) -> Bundle:
    return Bundle("all", _total(bundle.resources for bundle in bundles), bundles[0].labels)


def _size(bundle: Bundle) -> tuple[float, float]:
    return bundle.resources.get("GPU", 0), sum(bundle.resources.values())
