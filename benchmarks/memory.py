"""Memory of all processes of the main job on Ray, in MiB, whatever other programs on the machine share.

Pages of libraries are counted once if any process of the job has them. The usual sum of proportional set sizes depends
on other programs: their processes take a share of each library that they have loaded, too. This reads ``/proc``, so it
needs Linux.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LIMIT = 1536.0
"""MiB that the main job may take."""

SHORT = "--trainer.steps 12 --warm_start.steps 20 --warm_start.target 0.01 --eval.tasks 100"
"""Overrides for a run of about a minute. Its steps are as large as those of the whole run."""

PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT, OF_A_FILE = np.uint64(1 << 63), np.uint64(1 << 61)  # bits of /proc/*/pagemap; of shared memory too

File = tuple[str, int]
"""Device and inode."""


class Process(NamedTuple):
    """A process at one moment.

    Attributes:
        name: its first words.
        own: bytes that belong to no file; what it shares with a fork counts by share.
        pages: numbers of the pages that it has of each file.
    """

    name: str
    own: float
    pages: dict[File, npt.NDArray[np.int64]]


def rows() -> Iterator[tuple[str, float, str, float]]:
    with tempfile.TemporaryDirectory() as out:
        total, parts = measured(["configs/arithmetic.toml", *SHORT.split(), "--out", out])
    yield "main job on Ray, all processes, against the limit", total, "MiB", LIMIT
    for name, size in sorted(parts.items(), key=lambda part: -part[1]):
        yield f"  {name}", size, "MiB", LIMIT


def measured(words: list[str]) -> tuple[float, dict[str, float]]:
    """The most that a run takes, in MiB, and its parts by the names of processes; "shared" belongs to several."""
    command = [sys.executable, "-m", "lachesis.commands.cli", "train", *words]
    most: tuple[float, dict[str, float]] = (0.0, {})
    with tempfile.TemporaryFile() as log:
        run = subprocess.Popen(command, stdout=log, stderr=log)
        while run.poll() is None:
            now = summed([look for pid in tree(run.pid) if (look := looked_at(pid))])
            most = max(most, now, key=lambda one: one[0])
            time.sleep(0.5)
        if run.returncode:
            log.seek(0)
            raise RuntimeError(f"the run ended with {run.returncode}: {log.read().decode(errors='replace')[-2000:]}")
    return most


def summed(processes: list[Process]) -> tuple[float, dict[str, float]]:
    """The memory of some processes, in MiB, and its parts."""
    holders: dict[File, list[tuple[str, npt.NDArray[np.int64]]]] = defaultdict(list)
    parts: dict[str, float] = defaultdict(float)
    for process in processes:
        parts[process.name] += process.own / 2**20
        for file, pages in process.pages.items():
            holders[file].append((process.name, pages))
    for held in holders.values():
        pages, counts = np.unique(np.concatenate([pages for _, pages in held]), return_counts=True)
        alone = pages[counts == 1]
        parts["shared pages of files"] += (len(pages) - len(alone)) * PAGE / 2**20
        for name, own in held if len(alone) else ():
            parts[name] += np.isin(own, alone).sum() * PAGE / 2**20
    return sum(parts.values()), dict(parts)


def looked_at(pid: int) -> Process | None:
    """What a process has now; None if it ends meanwhile."""
    folder = Path(f"/proc/{pid}")
    try:
        words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
        if not words:  # it has ended, and nobody has asked how
            return None
        rollup = dict(line.split(":", 1) for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        pages: dict[File, list[npt.NDArray[np.int64]]] = defaultdict(list)
        with (folder / "pagemap").open("rb") as table:
            for line in (folder / "maps").read_text().splitlines():
                span, _, offset, device, inode, *_ = line.split(None, 5)
                first, last = (int(end, 16) // PAGE for end in span.split("-"))
                if inode != "0":
                    table.seek(8 * first)
                    entries = np.frombuffer(table.read(8 * (last - first)), np.uint64)
                    here = np.flatnonzero((entries & PRESENT != 0) & (entries & OF_A_FILE != 0))
                    pages[device, int(inode)].append(here + int(offset, 16) // PAGE)
    except OSError:
        return None
    own = 1024 * float(rollup["Pss_Anon"].split()[0])
    return Process(name_of(words), own, {file: np.unique(np.concatenate(found)) for file, found in pages.items()})


def name_of(words: list[str]) -> str:
    """What the table calls a process with this command line."""
    joined = " ".join(words)
    if "lachesis.commands.cli" in joined:
        return "driver"
    return Path(words[0]).name


def tree(root: int) -> list[int]:
    """The process ``root`` and all of its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = status.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        children[int(parent)].append(int(status.parent.name))
    found = [root]
    for pid in found:
        found.extend(children[pid])
    return found


if __name__ == "__main__":
    total, parts = measured(sys.argv[1:])
    print(f"{total:.0f} MiB", {name: round(size) for name, size in parts.items()})
