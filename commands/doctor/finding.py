"""One thing that ``lachesis doctor`` examined."""

from dataclasses import dataclass
from typing import Literal

GIB = 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes:
        what: its name.
        state: ``ok``; ``warn``: something is missing that only some runs need; ``missing``: many runs need it.
        found: the version, the amount, or the reason.
        cure: what to do about it; empty if nothing has to be done.
    """

    what: str
    state: Literal["ok", "warn", "missing"]
    found: str
    cure: str = ""
