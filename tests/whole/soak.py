"""The soak: service, environment and trainer are killed at random moments; no group is lost and none is trained twice.

    python tests/whole/soak.py [SEEDS [KILLS [REPORT]]]

It prints a line for each run and writes all of them into the file REPORT as JSON. The tests run a few seeds with few
kills.
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w

from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.run.storage.checkpoint import latest
from lachesis.trainer.run.storage.reader import METRICS, TRAJECTORIES
from lachesis.trainer.run.storage.run_state import RunState

HERE = Path(__file__).parent
DEADLINE = 120.0
"""Seconds after which a run counts as stuck."""
ROOM = 12
"""Groups that may wait in a service."""
PROMPTS = 2
"""Groups in a step of ``lachesis train``."""


@dataclass(frozen=True)
class Report:
    """What came of one run; counts are of groups."""

    form: str
    """``serve``: a trainer connects to `lachesis serve`; ``train``: `lachesis train` hosts the service."""
    seed: int
    kills: dict[str, int]
    """How often each program was killed."""
    acknowledged: int
    trained: int
    """Some of them were not acknowledged, because the answer to their post was lost in a kill."""
    waiting: int
    """Acknowledged last, and still in the store at the end."""
    lost: int
    doubled: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every acknowledged group was trained once, or waits for it at the end."""
        return not self.lost and not self.doubled and self.trained > 0


class Program:
    """A program that is started again after it was killed."""

    def __init__(self, log: Path, *command: object) -> None:
        self._log, self._command = log, [str(word) for word in command]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise if it has ended by itself."""
        code = self._process and self._process.poll()
        assert not code, f"{self._command} ended with {code}: {self._log.read_text()[-2000:]}"


class Runs:
    """Runs of ``lachesis``, one at a time, in forks of a process that has imported the trainer."""

    def __init__(self, log: Path) -> None:
        self._log, self._child = log, 0
        pipe = subprocess.PIPE
        with log.open("ab") as file:
            command = [sys.executable, str(HERE / "soak_runs.py")]
            self._process = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=file)
        assert self._process.stdin
        assert self._process.stdout
        self._tell, self._told = self._process.stdin, self._process.stdout

    def start(self, *arguments: object) -> None:
        self._tell.write(json.dumps([str(word) for word in arguments]).encode() + b"\n")
        self._child = int(self._told.readline())

    @property
    def child(self) -> int:
        """The number of the run's process; 0 if there is none."""
        return self._child

    def kill(self) -> None:
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """The exit code of the run."""
        code, self._child = int(self._told.readline()), 0
        return code

    def ended(self) -> bool:
        return bool(select.select([self._told], [], [], 0)[0])

    def check(self) -> None:
        assert not self.ended(), f"a run ended with {self.wait()}: {self._log.read_text()[-2000:]}"

    def close(self) -> None:
        self.kill()
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Resumed:
    """A run of ``lachesis train`` that is begun, and after each kill resumed."""

    runs: Runs
    config: Path
    run: Path

    def start(self, *more: object) -> None:
        begun = ["--resume", self.run] if (self.run / "config.toml").exists() else [self.config]
        self.runs.start("train", *begun, *more)

    def kill(self) -> None:
        self.runs.kill()

    def check(self) -> None:
        self.runs.check()


Child = Program | Resumed


def until(found: Callable[[], Any], children: Mapping[str, Child], what: str) -> None:
    """Wait until ``found`` says so."""
    end = time.monotonic() + DEADLINE
    while not found():
        for child in children.values():
            child.check()
        assert time.monotonic() < end, f"no {what} within {DEADLINE:g} s"
        time.sleep(0.01)


def disturb(
    rng: random.Random, children: Mapping[str, Child], kills: int, progress: Sequence[Callable[[], int]]
) -> dict[str, int]:
    """Kill each child alone, all at once, and random ones, always while groups are acknowledged and trained."""
    names = list(children)
    moments = [[name] for name in names] + [names]
    moments += [rng.sample(names, rng.choice([1, 1, len(names) - 1])) for _ in range(kills - len(moments))]
    rng.shuffle(moments)
    for victims in moments:
        for count in progress:
            until(partial(grown, count, count()), children, "progress")
        time.sleep(rng.uniform(0, 0.2))
        for name in victims:
            children[name].kill()
        time.sleep(rng.choice([0.0, 0.1]))
        for name in victims:
            children[name].start()
    return dict(Counter(name for victims in moments for name in victims))


def grown(count: Callable[[], int], before: int) -> bool:
    return count() > before


def serve(seed: int, folder: Path, kills: int) -> Report:
    """`lachesis serve`, with an environment and a trainer that connect to it."""
    begun, rng, port = time.monotonic(), random.Random(seed), free_port()
    store, posted, log = folder / "store.sqlite", folder / "posted", folder / "trained"
    command = [sys.executable, "-m", "lachesis.commands.cli", "serve", "--port", port, "--store", store]
    bare = [sys.executable, "-S"]
    children: dict[str, Child] = {
        "service": Program(folder / "log", *command, "--max-groups", ROOM, "--patience", 0.2),
        "environment": Program(folder / "log", *bare, HERE / "soak_environment.py", port, posted),
        "trainer": Program(folder / "log", *bare, HERE / "soak_trainer.py", port, log),
    }
    with killed_at_the_end(children):
        killed = disturb(rng, children, kills, [lambda: lines(posted), lambda: lines(log)])
        so_far = set(read(posted))
        until(lambda: so_far <= set(trained_by(log)), children, "training of what was acknowledged")
    return report("serve", seed, killed, read(posted), trained_by(log), store, time.monotonic() - begun)


def trained_by(log: Path) -> list[str]:
    """The marks that ``soak_trainer.py`` has written down, in order."""
    return [mark for line in log.read_text().splitlines(True) if line.endswith("\n") for _, mark in json.loads(line)]


def train(seed: int, folder: Path, kills: int, runs: Runs) -> Report:
    """`lachesis train` that hosts the service; its weights must be those of a run that was not killed."""
    begun, rng, port, posted = time.monotonic(), random.Random(seed), free_port(), folder / "posted"
    config, run = folder / "config.toml", folder / "soak-1"
    config.write_text(tomli_w.dumps(settings(folder, port)))
    program = [sys.executable, "-S", HERE / "soak_environment.py", port]
    trainer = Resumed(runs, config, run)
    children: dict[str, Child] = {
        "trainer": trainer,
        "environment": Program(folder / "log", *program, posted),
    }
    with killed_at_the_end(children):
        killed = disturb(rng, children, kills, [lambda: lines(posted), lambda: lines(run / METRICS)])
        trainer.kill()
        so_far, before = set(read(posted)), len(trained_in(run))
        steps = (before + ROOM + sum(killed.values()) + 3) // PROMPTS + 1  # enough for all that was acknowledged
        trainer.start("--trainer.steps", steps)
        until(runs.ended, {"environment": children["environment"]}, "end of the run")
        assert runs.wait() == 0, (run / "log").read_text()[-2000:]
    found = trained_in(run)
    assert so_far <= set(found), "the run has ended before all that was acknowledged was trained"
    state = RunState.read(latest(run / "checkpoints") or run)
    assert (state.step, state.services) == (steps, {"service": len(found)})
    assert len(found) == steps * PROMPTS
    assert [json.loads(row)["step"] for row in read(run / METRICS)] == list(range(steps + 1))
    (folder / "marks").write_text("\n".join(found))
    again = Program(folder / "log", *program, folder / "again", folder / "marks")
    with killed_at_the_end({"environment": again}):
        runs.start("train", config, "--trainer.steps", steps, "--name", "whole")
        assert runs.wait() == 0
    assert trained_in(folder / "whole-1") == found
    assert weights(run) == weights(folder / "whole-1"), "the run that was killed has other weights"
    seconds = time.monotonic() - begun
    return report("train", seed, killed, read(posted), found, run / "service-0.sqlite", seconds)


def settings(out: Path, port: int) -> dict[str, Any]:
    service = {"port": port, "max_groups": ROOM}
    return {
        "name": "soak",
        "out": str(out),
        "environments": [{"use": "service", "group_size": 4, "config": service}],
        "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 16, "layers": 1}},
        "rollout": {"inline": True, "slots": 4},
        "trainer": {"steps": 1_000_000, "prompts": PROMPTS, "lr": 3e-3, "checkpoint_every": 3, "keep": 2},
    }


def trained_in(run: Path) -> list[str]:
    """The marks of all groups that were trained, in order."""
    stored = TrajectoryStore(run / TRAJECTORIES).read()
    return [one.trajectory.artifacts["group_overrides"]["mark"] for one in stored if one.attempt == 0]


def weights(run: Path) -> bytes:
    newest = latest(run / "checkpoints")
    assert newest
    return (newest / "model.safetensors").read_bytes()


def report(
    form: str,
    seed: int,
    kills: dict[str, int],
    acknowledged: list[str],
    trained: list[str],
    store: Path,
    seconds: float,
) -> Report:
    """Compare what was acknowledged with what was trained, and with what still waits in ``store``."""
    counts, waiting = Counter(trained), waiting_in(store)
    return Report(
        form,
        seed,
        kills,
        acknowledged=len(acknowledged),
        trained=len(counts),
        waiting=sum(mark in waiting and mark not in counts for mark in acknowledged),
        lost=sum(mark not in counts and mark not in waiting for mark in acknowledged),
        doubled=sum(count > 1 for count in counts.values()),
        seconds=round(seconds, 1),
    )


def waiting_in(store: Path) -> set[str]:
    with closing(sqlite3.connect(store)) as connection:
        bodies = connection.execute("SELECT body FROM groups UNION ALL SELECT body FROM held").fetchall()
    return {json.loads(body)["group_overrides"]["mark"] for (body,) in bodies}


@contextmanager
def killed_at_the_end(children: Mapping[str, Child]) -> Iterator[None]:
    """Start the children; kill them in the end, whatever happens."""
    try:
        for child in children.values():
            child.start()
        yield
    finally:
        for child in children.values():
            child.kill()


def read(file: Path) -> list[str]:
    """The whole lines of a file."""
    return [line.strip() for line in file.read_text().splitlines(True) if line.endswith("\n")] if file.exists() else []


def lines(file: Path) -> int:
    return len(read(file))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main(seeds: int = 20, kills: int = 12, target: str = "runs/soak.json") -> None:
    reports = []
    with tempfile.TemporaryDirectory() as name, closing(Runs(Path(name) / "runs.log")) as runs:
        for seed in range(seeds):
            for form in (serve, partial(train, runs=runs)):
                folder = Path(name) / "run"
                folder.mkdir()
                reports.append(form(seed, folder, kills))
                print(reports[-1], flush=True)
                shutil.rmtree(folder)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps([asdict(one) for one in reports], indent=1) + "\n")
    for form_name in ("serve", "train"):
        ours = [one for one in reports if one.form == form_name]
        kills_by_name = sum((Counter(one.kills) for one in ours), Counter())
        totals = {
            name: sum(getattr(one, name) for one in ours) for name in ("acknowledged", "trained", "lost", "doubled")
        }
        print(form_name, dict(kills_by_name), totals, f"{sum(one.seconds for one in ours):.0f} s")
    sys.exit(not all(one.good for one in reports))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
