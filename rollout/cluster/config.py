"""Settings of ``[cluster]``: the Ray cluster of a run, what is reserved for each actor, and where it runs."""

from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from ...verifiers.settings import Settings

Strategy = Literal["spread", "pack", "strict_spread", "strict_pack"]
Amount = Annotated[float, Field(gt=0)]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ValueError(
            "a file that is sent is below the working directory of the run: give a relative path without .."
        )
    return path


class Reservation(Settings):
    """What is reserved for one process, beside its GPUs."""

    cpus: float = Field(1.0, ge=0)
    """CPUs that Ray reserves. They bound how many processes share a machine, not how many threads one may start."""
    memory: float = Field(0.0, ge=0)
    """GiB of memory that Ray reserves; 0 reserves none."""
    resources: dict[str, Amount] = Field(default_factory=dict)
    """Amounts of custom resources, which ``ray start --resources`` gives to a node."""

    @model_validator(mode="after")
    def _custom(self) -> "Reservation":
        own = {"CPU": "cpus", "GPU": "gpus_per_engine or gpus_per_rank", "memory": "memory"}
        for name in self.resources:
            if name in own:
                raise ValueError(f"resources names custom resources, and {name} is Ray's own: set {own[name]}")
        return self


class SandboxPlaces(Reservation):
    """What the sandbox of each environment worker needs; it runs on the machine of its worker."""

    cpus: float = Field(0.0, ge=0)
    """CPUs that Ray reserves beside those of the worker."""


class Places(Reservation):
    """What is reserved for one actor, and on which nodes it may run."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that the node must have, which ``ray start --labels`` gives it. A value may also be ``!value``,
    ``in(a,b)`` or ``!in(a,b)``."""
    strategy: Strategy = "spread"
    """``spread`` uses as many nodes as possible and ``pack`` as few; ``strict_spread`` gives each actor a node of its
    own, and ``strict_pack`` puts all on one node."""

    renamed: ClassVar[dict[str, str]] = {"gpus": "rollout.gpus_per_engine"}


class ElasticPlaces(Places):
    """What is reserved for each actor of a kind that may join and leave, and on which nodes it may run."""

    min: int = Field(0, ge=0)
    """If it is set, the run starts as soon as so many have room. The others, up to ``rollout.engines`` or
    ``rollout.workers``, join when there is room, and leave with their nodes. With 0, the run starts when all have room.
    """

    @model_validator(mode="after")
    def _placed_alone(self) -> "ElasticPlaces":
        if self.min and self.strategy.startswith("strict"):
            raise ValueError(
                f"with min = {self.min} each actor is placed alone, so strategy = {self.strategy!r} cannot be kept: "
                "leave out one of them"
            )
        return self


class WorkerPlaces(ElasticPlaces):
    """What is reserved for each environment worker, and on which nodes it may run."""

    gpus: float = Field(0.0, ge=0)
    """GPUs that Ray reserves for each worker, for environments that compute on them."""


class RankPlaces(Places):
    """What is reserved for each rank of the trainer if there are several, and on which nodes it may run."""

    strategy: Strategy = "pack"
    """As in ``cluster.engines``."""

    renamed: ClassVar[dict[str, str]] = {"gpus": "trainer.gpus_per_rank"}


class ClusterConfig(Settings):
    """The Ray cluster of a run. The numbers of actors and the GPUs of engines and ranks are in ``[rollout]`` and
    ``[trainer]``."""

    address: str = ""
    """The Ray cluster to join (``auto`` or host:port). If empty, Ray is started on this machine."""
    deadline: float = Field(60.0, gt=0)
    """Seconds that the cluster may take to have room for all actors, or for ``min`` of them. Give more if it adds nodes
    on demand."""
    files: list[Annotated[str, AfterValidator(_inside)]] = Field(default_factory=list)
    """Files and folders below the working directory that engines and workers need on every node, such as data and
    packages. They are sent by content, and actors run in the folder that holds them."""
    colocate: bool = False
    """Whether each engine shares the GPU of a rank of the trainer. ``rollout.gpus_per_engine`` and
    ``trainer.gpus_per_rank`` are then the shares of the two, such as 0.4 and 0.6."""
    engines: ElasticPlaces = ElasticPlaces()
    """Engines."""
    workers: WorkerPlaces = WorkerPlaces()
    """Environment workers."""
    sandboxes: SandboxPlaces = SandboxPlaces()
    """Sandboxes of the environment workers."""
    ranks: RankPlaces = RankPlaces()
    """Ranks of the trainer, if there are several; a single rank is in the process of the run itself."""
