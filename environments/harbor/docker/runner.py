"""Runs the programs of Harbor tasks in containers, a bounded number at one time."""

import asyncio
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ....verifiers.errors import SandboxLost
from ....verifiers.processes.deadline import pause_deadline
from ....verifiers.sandbox.docker.containers import own_containers
from ....verifiers.sandbox.docker.daemon import connect, translate_errors
from ...agent_program.program import Program, Ran
from .container import Stopped, TaskContainer
from .images import Images
from .network import Networks
from .options import Place
from .requirements import ImageSource


@dataclass(frozen=True)
class Placement:
    """What one run of a program needs besides the program.

    Attributes:
        folder: of the task.
        image: its image.
        user: empty for the image's user.
        cpus: None for all.
        open_network: whether the program reaches what this machine reaches.
        folders: folders that are shown read-only at their own paths.
        theirs: files that an agent left.
    """

    folder: Path
    image: ImageSource
    user: str = ""
    cpus: float | None = None
    open_network: bool = False
    folders: tuple[Path, ...] = ()
    theirs: Mapping[str, bytes] = field(default_factory=dict)


class ContainerRunner:
    """Runs programs in containers; safe to use from any thread and event loop.

    It first removes the containers that dead processes left.

    Args:
        most: how many programs run at one time; others wait.
        network_image: the image of the containers that own the networks.

    Raises:
        ConfigError: there is no daemon; the message says the cure.
    """

    def __init__(self, most: int, network_image: str) -> None:
        self._api: Any = connect()
        self._owner = own_containers(self._api)
        with translate_errors(SandboxLost, "Docker does not tell about itself"):
            self._cpus = float(self._api.info()["NCPU"])
        self._images = Images(self._api)
        self._network_image = network_image
        self._networks: dict[bool, Networks] = {}
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(most, thread_name_prefix="harbor")

    async def run(self, program: Program, placement: Placement, url: str = "") -> Ran:
        """Run ``program``; of the network it reaches the server at ``url``, and nothing if it is empty.

        Raises:
            DataError: the image cannot be made; the message says why.
            SandboxLost: the daemon failed, or the time of the episode was up before the program began.
        """
        stop, began = threading.Event(), threading.Event()
        future: Future[Ran] = self._executor.submit(self._run, program, placement, url, stop, began)
        try:
            with pause_deadline():  # the program has its own time limit
                return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            stop.set()
            if not began.is_set():
                raise SandboxLost(
                    "no container was ready for a program before the time of its episode was up; "
                    "set parallel or limits.seconds higher"
                ) from None
            raise

    def image(self, source: ImageSource, folder: Path) -> str:
        """The id of an image, which is made if there is none; raises like ``run``."""
        return str(self._images.get(source, folder)["Id"])

    def _run(
        self, program: Program, placement: Placement, url: str, stop: threading.Event, began: threading.Event
    ) -> Ran:
        image = self._images.get(placement.image, placement.folder)
        if stop.is_set():
            raise Stopped
        began.set()
        place = Place(
            image,
            placement.user,
            None if placement.cpus is None else min(placement.cpus, self._cpus),
            "bridge" if placement.open_network else "none",
            placement.folders,
            placement.theirs,
        )
        network = self._network(placement.open_network).joined(url) if url else nullcontext((place.network, ""))
        with network as (name, inner_url):
            return TaskContainer(self._api, self._owner, program, replace(place, network=name), inner_url, stop).run()

    def _network(self, open_network: bool) -> Networks:
        with self._lock:
            if open_network not in self._networks:
                self._networks[open_network] = Networks(self._network_image, open_network)
            return self._networks[open_network]


_lock = threading.Lock()
_runners: dict[tuple[int, str, int, str], ContainerRunner] = {}


def shared_runner(purpose: str, most: int, network_image: str) -> ContainerRunner:
    """The runner of this process for one purpose, so that programs of different purposes never wait for each other.

    Raises:
        ConfigError: there is no daemon; the message says the cure.
    """
    key = (os.getpid(), purpose, most, network_image)  # a forked process makes its own
    with _lock:
        if key not in _runners:
            _runners[key] = ContainerRunner(most, network_image)
        return _runners[key]
