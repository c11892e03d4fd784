"""Plays environments of the Atropos repository, unmodified, until their groups have trained a tiny model.

    python -m scripts.atropos /path/to/atropos [NAME ...]

For each environment a run with a service is started on this machine, and beside it the environment in the Python of
``make atropos``, into which its requirements are installed. The tiny model first learns the form of the replies from
demonstrations, as a random model never earns a reward. What an environment reads from the Hub is made up here.
"""

import sys
import tempfile
from pathlib import Path

from .examples import EXAMPLES, Example
from .session import Figures, Session

HEAD = (
    *("environment", "calls", "needs", "groups accepted / refused", "exact", "repaired", "unprovable"),
    *("trained tokens with a logprob", "steps"),
)


def main(checkout: Path, names: list[str]) -> None:
    """Print a row of a Markdown table for each environment."""
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name in names or EXAMPLES:
        with tempfile.TemporaryDirectory(prefix=f"atropos-{name}-") as folder:
            print(row_of(name, EXAMPLES[name], Session(checkout, EXAMPLES[name], Path(folder)).play()), flush=True)


def row_of(name: str, example: Example, found: Figures) -> str:
    """The figures of one environment."""
    sequences = max(1, found.exact + found.repaired + found.unprovable)
    shares = [f"{found_of / sequences:.0%}" for found_of in (found.exact, found.repaired, found.unprovable)]
    needs = [*example.installs, *(["rows made up here"] if example.data else [])]
    counts = [f"{found.accepted} / {found.refused}", *shares, f"{found.known:.0%}", str(found.steps)]
    return f"| {' | '.join([name, example.calls, ', '.join(needs), *counts])} |"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(f"usage: python -m scripts.atropos CHECKOUT [{' | '.join(EXAMPLES)}] ...")
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
