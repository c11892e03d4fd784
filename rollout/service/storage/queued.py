"""What the queue holds and hands out: groups, leases and counters."""

from dataclasses import dataclass
from typing import NamedTuple

from ....verifiers.errors import InfrastructureError
from .batching import Waiting


class QueueFull(InfrastructureError):
    """The queue has reached its bound; post the group again later."""


class QueuedGroup(NamedTuple):
    """One group in the queue."""

    number: int
    """Its place in the order of arrival, from 1; the queue gives it, so it is 0 before."""
    env_id: int | None
    sequences: int
    body: bytes
    """JSON of ScoredData with all 14 keys, uncompressed."""


@dataclass
class Lease:
    """A batch that a trainer was handed and has not acknowledged yet."""

    groups: list[Waiting]
    bytes: int
    """Of their bodies."""
    expires: float
    """On the queue's clock."""
    delivered: bool = False
    """Whether all of it was written to the trainer's connection."""
    ending: bool = False
    """Whether its groups are being deleted, so that they cannot come back any more."""


@dataclass
class Counters:
    """What has happened since the start."""

    accepted: int = 0
    """Groups that were written to the disk."""
    acknowledged: int = 0
    """Groups that a trainer has acknowledged."""
    returned: int = 0
    """Groups that came back because their batch was not acknowledged."""
    batches: int = 0
    short_batches: int = 0
    """Batches that are not exactly full; part of ``batches``."""
