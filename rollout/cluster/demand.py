"""The room that a run asks of its cluster: groups of bundles, one bundle for all that shares a node."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

from ...verifiers.errors import ConfigError
from .config import ClusterConfig, ElasticPlaces, Places, Reservation, Strategy

GIB = 1024**3
LEAST = {"CPU": 0.001}
"""What is reserved for a process that asks for nothing: Ray refuses an empty bundle."""


@dataclass(frozen=True)
class Bundle:
    """Resources of one node that are reserved together.

    Attributes:
        name: who uses them, such as ``engine 0``.
        resources: amounts by Ray's names; memory in bytes.
        labels: what the labels of the node must be, as Ray's label selectors.
    """

    name: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]

    def __add__(self, other: "Bundle") -> "Bundle":
        """The two on one node.

        Raises:
            ConfigError: they want different nodes.
        """
        for label in self.labels.keys() & other.labels.keys():
            if self.labels[label] != other.labels[label]:
                raise ConfigError(
                    f"cluster.colocate puts {self.name} and {other.name} on one node, but they ask for the label "
                    f"{label} to be {self.labels[label]!r} and {other.labels[label]!r}; ask for one of them"
                )
        names = [*self.resources, *(name for name in other.resources if name not in self.resources)]
        amounts = {name: self.resources.get(name, 0) + other.resources.get(name, 0) for name in names}
        return Bundle(f"{self.name} with {other.name}", amounts, {**self.labels, **other.labels})


@dataclass(frozen=True)
class Demand:
    """Bundles of one kind of actor.

    Attributes:
        role: ``engines``, ``workers`` or ``ranks``; the table of ``[cluster]`` that asks for them.
        strategy: how they are spread over nodes.
        bundles: by the number of their actor.
        least: how many of them must have room before the run starts, each placed alone; with 0, all of them are placed
            together.
    """

    role: str
    strategy: Strategy
    bundles: tuple[Bundle, ...]
    least: int = 0

    @property
    def elastic(self) -> bool:
        """Whether its actors join and leave while the run goes on."""
        return self.least > 0

    @property
    def needed(self) -> "Demand":
        """What must have room before the run starts."""
        return replace(self, bundles=self.bundles[: self.least]) if self.elastic else self


@dataclass(frozen=True)
class Actors:
    """How many actors a run has, and their GPUs.

    Attributes:
        engines: number of engines.
        workers: number of environment workers.
        ranks: number of ranks of the trainer that are actors; 0 if the trainer is in the process of the run.
        gpus_per_engine: GPUs of each engine.
        gpus_per_rank: GPUs of each rank.
    """

    engines: int = 0
    workers: int = 0
    ranks: int = 0
    gpus_per_engine: float = 0.0
    gpus_per_rank: float = 0.0


def demands_of(cluster: ClusterConfig, actors: Actors) -> list[Demand]:
    """What to reserve for ``actors``; with ``cluster.colocate``, engines are in the bundles of ``ranks``.

    Raises:
        ConfigError: GPUs above 1 are not whole, ``cluster.colocate`` does not fit the actors, or fewer actors may
            exist than must.
    """
    shares = {
        "rollout.gpus_per_engine": actors.gpus_per_engine,
        "trainer.gpus_per_rank": actors.gpus_per_rank,
        "cluster.workers.gpus": cluster.workers.gpus,
    }
    for key, gpus in shares.items():
        if gpus > 1 and gpus != int(gpus):
            raise ConfigError(f"{key} = {gpus:g}: a process has a share of one GPU, or whole GPUs; round it")
    engines = _bundles("engine", actors.engines, cluster.engines, actors.gpus_per_engine)
    workers = _bundles("worker", actors.workers, cluster.workers, cluster.workers.gpus, cluster.sandboxes)
    ranks = _bundles("rank", actors.ranks, cluster.ranks, actors.gpus_per_rank)
    if cluster.colocate:
        _check_shares(cluster, actors)
        pairs = zip_longest(ranks, engines)
        ranks, engines = [rank + engine if rank and engine else rank or engine for rank, engine in pairs], []
    found = [
        Demand("ranks", cluster.ranks.strategy, tuple(ranks)),
        Demand("engines", cluster.engines.strategy, tuple(engines), _least("engines", cluster.engines, actors.engines)),
        Demand("workers", cluster.workers.strategy, tuple(workers), _least("workers", cluster.workers, actors.workers)),
    ]
    return [demand for demand in found if demand.bundles]


def _least(role: str, places: ElasticPlaces, most: int) -> int:
    if places.min > most > 0:
        raise ConfigError(
            f"cluster.{role}.min = {places.min} is more than rollout.{role} = {most}, which is the most that there may "
            "be: lower the first, or raise the second"
        )
    return places.min


def _check_shares(cluster: ClusterConfig, actors: Actors) -> None:
    if cluster.engines.min:
        raise ConfigError(
            f"cluster.colocate keeps each engine beside a rank, and ranks do not join or leave, but "
            f"cluster.engines.min = {cluster.engines.min}; leave out one of them"
        )
    if not actors.ranks:
        raise ConfigError(
            "cluster.colocate pairs engines with ranks of the trainer, and trainer.ranks = 1 is no actor; set "
            "trainer.ranks = 2 or more, or leave out cluster.colocate"
        )
    if actors.gpus_per_engine + actors.gpus_per_rank > 1:
        raise ConfigError(
            f"cluster.colocate puts an engine and a rank on one GPU, but rollout.gpus_per_engine = "
            f"{actors.gpus_per_engine:g} and trainer.gpus_per_rank = {actors.gpus_per_rank:g} are more than 1; "
            "lower them, for example to 0.4 and 0.6"
        )


def _bundles(role: str, number: int, places: Places, gpus: float, beside: Reservation | None = None) -> list[Bundle]:
    needs = _amounts(places)
    for name, amount in _amounts(beside).items() if beside else ():
        needs[name] = needs.get(name, 0) + amount
    if gpus:
        needs["GPU"] = gpus
    return [Bundle(f"{role} {place}", needs or LEAST, places.labels) for place in range(number)]


def _amounts(asked: Reservation) -> dict[str, float]:
    amounts = {"CPU": asked.cpus, "memory": int(asked.memory * GIB), **asked.resources}
    return {name: amount for name, amount in amounts.items() if amount}
