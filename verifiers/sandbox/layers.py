"""A layer of a sandbox: one means of confinement, and whether it works on this machine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One means of confinement, as it was tried on this machine; ``lachesis doctor`` prints it.

    Attributes:
        name: such as ``files`` or ``network``; unique within a sandbox.
        held: whether it confines a job.
        found: what the trial showed, in one line, never empty; the system's own words if it refused something.
        cure: how to get this layer, empty if it is held.
    """

    name: str
    held: bool
    found: str
    cure: str = ""
