"""One means of holding a program, and whether this machine gives it: what ``lachesis doctor`` prints of a sandbox."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A layer of a sandbox, as it was tried here.

    Attributes:
        name: such as ``pid namespace`` or ``docker daemon``, unique within its backend.
        held: whether trying it worked.
        found: what was seen, one line, never empty: the system's own words where it refused.
        cure: what to do to gain it, empty where it is held.
    """

    name: str
    held: bool
    found: str
    cure: str = ""
