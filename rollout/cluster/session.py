"""Ray as a run uses it: a cluster that was joined or started, with the room of all its actors reserved."""

import math
from typing import Any

import ray

from .config import ClusterConfig
from .delivery import open_library
from .demand import Actors, demands_of
from .joining import join
from .local_ray import keep_sigterm, start_ray, stop_ray
from .placement import Placement


class Session:
    """Joins the cluster of ``[cluster]``, or starts Ray on this machine, and reserves the room for all actors.

    Args:
        cluster: settings.
        actors: how many actors the run has.
        reserve: whether their room is reserved; without it, the cluster is only looked at.

    Raises:
        LachesisError: there is no such cluster, or it has no room.
    """

    def __init__(self, cluster: ClusterConfig, actors: Actors, reserve: bool = True) -> None:
        demands = demands_of(cluster, actors)
        self._started = not ray.is_initialized()
        self._placement: Placement | None = None
        self._library: Any = None
        try:
            if self._started and cluster.address:
                with keep_sigterm():
                    join(cluster.address)
            elif self._started:
                cpus = sum(bundle.resources.get("CPU", 0) for demand in demands for bundle in demand.bundles)
                start_ray(math.ceil(cpus))
            if reserve:
                self._placement = Placement(demands, cluster.deadline, fixed=not cluster.address)
            if reserve and cluster.address:
                self._library = open_library(cluster.files)
        except BaseException:
            self.close()
            raise

    @property
    def placement(self) -> Placement:
        """The room that is reserved."""
        assert self._placement is not None, "the session reserves no room"
        return self._placement

    def close(self) -> None:
        """Free the room; leave the cluster if it was joined here, and end Ray if it was started here."""
        if self._placement is not None:
            self._placement.close()
        if self._library is not None:
            ray.kill(self._library)
        if self._started:
            stop_ray()
