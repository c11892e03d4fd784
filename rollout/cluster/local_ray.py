"""Ray in this process: started on this machine, looked at, left and ended."""

import atexit
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from ...verifiers.errors import ConfigError
from .leftovers import leave, sign, take_away


def start_ray(cpus: int) -> None:
    """Start Ray on this machine with so many CPUs, or with as many as it has if that is more.

    Raises:
        ConfigError: the path of the temporary folder is too long for Ray's sockets.
    """
    cpus = max(cpus, os.cpu_count() or 1)
    logs: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    sign()
    with keep_sigterm(), _without_helpers():
        try:
            begun: Any = ray.init("local", num_cpus=cpus, include_dashboard=False, **logs)
        except OSError as error:
            if "AF_UNIX" not in str(error):
                raise
            raise ConfigError(
                f"the path of the temporary folder, {tempfile.gettempdir()}, is too long for the sockets that Ray puts "
                "into it: set TMPDIR to one with a shorter path"
            ) from None
    leave(Path(begun.address_info["session_dir"]))


@contextmanager
def keep_sigterm() -> Iterator[None]:
    """Set the handler of SIGTERM again that Ray replaces: its own dumps the stack, and ends the process at once."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _without_helpers() -> Iterator[None]:
    """Keep a Ray that starts meanwhile from starting its autoscaler, its log reader and its dashboard.

    Nobody uses them here, and they take 160 MiB and some seconds. ``ray.init`` has no setting for it, and
    ``include_dashboard`` only makes the dashboard smaller. A version of Ray without these methods starts what it likes.
    """
    node: Any = getattr(getattr(getattr(ray, "_private", None), "node", None), "Node", None)
    names = [name for name in ("start_monitor", "start_log_monitor", "start_api_server") if hasattr(node, name)]
    kept = {name: getattr(node, name) for name in names}
    for name in names:
        setattr(node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(node, name, method)


def stop_ray() -> None:
    """Leave the cluster; a Ray that was started on this machine ends."""
    ray.shutdown()
    take_away()


def look_at_ray() -> list[dict[str, Any]]:
    """Let the raylet of this machine store a byte, and return what the GCS knows of the nodes; blocks without them."""
    ray.put(b"x")
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def leave_ray() -> None:
    """Do not say goodbye to a Ray that does not answer: Ray would wait for that when this process ends.

    What it has left on this machine is removed then.
    """
    atexit.unregister(ray.shutdown)
    atexit.register(take_away)  # not yet: Ray ends a process whose raylet is killed
