"""The soak of a run's faults: whatever is killed, stopped or damaged, it ends with the weights of an undisturbed run.

    python tests/whole/soak_faults.py [FAULTS_INLINE [FAULTS_ON_RAY [REPORT [FIRST_SEED]]]]

A run with everything in one process is killed, its files are damaged, and it is resumed. A run on Ray is supervised
while parts of it are killed or stopped. After each run, weights, metrics and trajectories are compared with those of a
run that nothing disturbed. One line is printed for each run, and the file REPORT gets all of them as JSON. Both forms
of runs go on side by side.
"""

import hashlib
import json
import os
import random
import runpy
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from lachesis.rollout.cluster.leftovers import Driver, clean
from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer.run.storage.checkpoint import latest, sealed
from lachesis.trainer.run.storage.reader import METRICS, TRAJECTORIES

Runs: Any = runpy.run_path(str(Path(__file__).with_name("soak.py")))["Runs"]

DEADLINE = float(os.environ.get("LACHESIS_SOAK_DEADLINE", "240"))
"""Seconds after which a run counts as stuck; a busy machine needs more."""
PATIENCE = DEADLINE / 8
"""Seconds without progress after which a supervised run is restarted."""
STEPS = 40
FAULTS_A_RUN = 8
MEASURED = ("time/", "rate/", "memory/", "fleet/", "wait/", "queue/", "engine/")
"""Prefixes of metrics that depend on time."""
SETTINGS: dict[str, Any] = {
    "seed": 5,
    "environments": [{"use": "arithmetic", "group_size": 4, "config": {"digits": 1}}],
    "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 32, "layers": 1}},
    "rollout": {"slots": 16, "deadline": 60.0, "engines": 1, "workers": 1, "sampling": {"max_tokens": 4}},
    "warm_start": {"steps": 30, "batch": 16, "lr": 1e-2, "every": 30},
    "trainer": {"steps": STEPS, "prompts": 4, "parts": 2, "lr": 3e-3, "checkpoint_every": 2, "keep": 3},
    "eval": {"every": 10, "tasks": 8},
}


@dataclass
class Injected:
    """A fault that was injected.

    Attributes:
        fault: its name.
        step: the newest step when it was injected.
        seconds: until a newer step was done; 0 if none was.
    """

    fault: str
    step: int
    seconds: float = 0.0


@dataclass
class Report:
    """What came of one run."""

    form: str
    seed: int
    faults: list[Injected] = field(default_factory=list)
    wrong: str = ""
    """What differs from the undisturbed run; empty if nothing does."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """What a run has left: a digest of its weights, its metrics by step, and the places of its trajectories."""

    weights: str
    rows: dict[int, dict[str, Any]]
    places: list[tuple[int, int, int]]

    @classmethod
    def of(cls, run: Path) -> "Result":
        newest = latest(run / "checkpoints")
        assert newest, f"{run} has no checkpoint"
        weights = hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()
        rows = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
        assert len({row["step"] for row in rows}) == len(rows), "a step is logged twice"
        by_step = {row["step"]: {name: value for name, value in row.items() if is_exact(name)} for row in rows}
        stored = TrajectoryStore(run / TRAJECTORIES).read()
        return cls(weights, by_step, [(one.step, one.group, one.attempt) for one in stored])

    def differs(self, other: "Result") -> str:
        """What differs from an undisturbed run, in words."""
        if self.places != other.places:
            lost, more = set(other.places) - set(self.places), set(self.places) - set(other.places)
            doubled = len(self.places) - len(set(self.places))
            return f"trajectories: {len(lost)} lost, {len(more)} of other groups, {doubled} doubled"
        if self.rows.keys() != other.rows.keys():
            return f"metrics of the steps {sorted(self.rows.keys() ^ other.rows.keys())}"
        for step, row in self.rows.items():
            both = row.keys() & other.rows[step].keys()
            if names := [name for name in both if row[name] != other.rows[step][name]]:
                return f"step {step}: {', '.join(sorted(names))}"
        return "" if self.weights == other.weights else "weights"


def is_exact(name: str) -> bool:
    return not name.startswith(MEASURED) and name != "version"


def write_config(folder: Path, name: str, inline: bool, steps: int = STEPS) -> Path:
    rollout, trainer = {**SETTINGS["rollout"], "inline": inline}, {**SETTINGS["trainer"], "steps": steps}
    path = folder / f"{name}.toml"
    path.write_text(
        tomli_w.dumps({**SETTINGS, "name": name, "out": str(folder), "rollout": rollout, "trainer": trainer})
    )
    return path


def undisturbed(folder: Path, runs: Runs, steps: int = STEPS) -> Result:
    runs.start("train", write_config(folder, "whole", inline=True, steps=steps))
    assert runs.wait() == 0
    return Result.of(folder / "whole-1")


# Damage that is done to the files of a run that was killed.


def shorten(file: Path, most: int, rng: random.Random) -> None:
    """Cut up to ``most`` bytes off the end of a file."""
    if file.exists() and (size := file.stat().st_size):
        os.truncate(file, size - rng.randint(1, min(most, size)))


def flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def a_file_of(checkpoint: Path, rng: random.Random) -> Path:
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size)
    return rng.choice(files)


def harm_newest(run: Path, rng: random.Random, harm: Callable[[Path], None]) -> None:
    """Damage the newest checkpoint, if there is an older one to go on from."""
    newest = sealed(run / "checkpoints")
    if len(newest) > 1:
        harm(a_file_of(newest[0], rng))


def tear(run: Path, rng: random.Random, name: str) -> None:
    """Leave half a line or half a frame at the end of a log, as a crash does."""
    with (run / name).open("ab") as file:
        file.write(rng.choice([b'{"step": 9', b"\x28\xb5\x2f\xfd\x04", b"{", b"\xff"]))


Harm = Callable[[Path, random.Random], None]

DAMAGES: dict[str, Harm] = {
    "driver KILL": lambda run, rng: None,
    "newest checkpoint truncated": lambda run, rng: harm_newest(run, rng, lambda file: shorten(file, 10_000, rng)),
    "newest checkpoint flipped": lambda run, rng: harm_newest(run, rng, lambda file: flip(file, rng)),
    "newest checkpoint without a file": lambda run, rng: harm_newest(run, rng, Path.unlink),
    "metrics torn": lambda run, rng: tear(run, rng, METRICS),
    "trajectories torn": lambda run, rng: tear(run, rng, TRAJECTORIES),
    "index torn": lambda run, rng: shorten(run / f"{TRAJECTORIES}.index", 200, rng),
    "events torn": lambda run, rng: shorten(run / "events.jsonl", 500, rng),
    "log lost": lambda run, rng: (run / "log").unlink(missing_ok=True),
}
INLINE = [*DAMAGES, "SIGTERM", "all checkpoints damaged"]


def inline(
    seed: int, folder: Path, runs: Runs, expected: Result, number: int = FAULTS_A_RUN, steps: int = STEPS
) -> Report:
    """A run in one process that is killed or stopped, damaged, and resumed."""
    begun, report = time.monotonic(), Report("inline", seed)
    try:
        report.wrong = _inline(report, folder, runs, expected, number, steps)
    except AssertionError as error:
        report.wrong = str(error)
        runs.kill()
    report.seconds = round(time.monotonic() - begun, 1)
    return report


def _inline(report: Report, folder: Path, runs: Runs, expected: Result, number: int, steps: int) -> str:
    """Inject the faults of a run into the report; return what went wrong."""
    rng, run = random.Random(f"inline {report.seed}"), folder / "soak-1"
    runs.start("train", write_config(folder, "soak", inline=True, steps=steps))
    for target in moments(rng, number, steps):
        wait(lambda least=target: newest_step(run) >= least or runs.ended(), "progress")
        if runs.ended():
            break
        fault, before = rng.choice(INLINE), newest_step(run)
        report.faults.append(injected := Injected(fault, before))
        if fault == "SIGTERM":
            os.kill(runs.child, signal.SIGTERM)
            code = runs.wait()
            assert code in (130, 0), f"SIGTERM ended the run with {code}"
        else:
            runs.kill()
        at = time.monotonic()
        if fault == "all checkpoints damaged":
            if wrong := refused_while_all_are_damaged(run, runs, rng):
                return wrong
        elif fault in DAMAGES:
            DAMAGES[fault](run, rng)
        runs.start("train", "--resume", run)
        wait(lambda before=before: newest_step(run) > before or runs.ended(), "progress")
        injected.seconds = round(time.monotonic() - at, 3)
    code = runs.wait()
    return f"exit code {code}" if code else Result.of(run).differs(expected)


def refused_while_all_are_damaged(run: Path, runs: Runs, rng: random.Random) -> str:
    """Damage all checkpoints: the run must not go on, and must touch nothing. Then put them back."""
    backup, metrics = run.with_name("backup"), (run / METRICS).read_bytes()
    shutil.copytree(run / "checkpoints", backup)
    for checkpoint in sealed(run / "checkpoints"):
        shorten(a_file_of(checkpoint, rng), 10_000, rng)
    runs.start("train", "--resume", run)
    code = runs.wait()
    shutil.rmtree(run / "checkpoints")
    backup.rename(run / "checkpoints")
    if code != 2 or (run / METRICS).read_bytes() != metrics:
        return f"with all checkpoints damaged the run ended with {code}, or changed its history"
    return ""


PARTS = {
    "engine": lambda pid: b"ngine" in command(pid),
    "worker": lambda pid: command(pid).startswith(b"ray::WorkerActor"),
    "raylet": lambda pid: name_of(pid) == "raylet",
    "GCS": lambda pid: name_of(pid) == "gcs_server",
}
ON_RAY = [
    *(f"{part} KILL" for part in ("engine", "worker", "driver", "raylet", "GCS")),
    *(f"{part} STOP" for part in ("engine", "worker", "driver", "raylet", "GCS")),
    "SIGTERM",
    "driver KILL, newest checkpoint flipped",
]


class Supervised:
    """A supervised run on Ray, which is started again after SIGTERM."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.run = folder, folder / "ray-1"
        self._config = write_config(folder, "ray", inline=False)
        self.seen: set[Driver] = set()
        self.start()

    def start(self) -> None:
        words = ["--resume", str(self.run)] if (self.run / "config.toml").exists() else [str(self._config)]
        command = [
            sys.executable,
            "-m",
            "lachesis.commands.cli",
            "train",
            *words,
            "--supervise",
            "--patience",
            f"{PATIENCE:g}",
        ]
        with (self._folder / "ray.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def driver(self) -> int:
        """The number of the process that trains; 0 if there is none now."""
        return next(children(self.process.pid), 0)

    def find(self, part: str) -> int:
        """The number of a process of the run; 0 if there is none now."""
        family = list(descendants(self.driver)) if self.driver else []
        self.seen |= {one for pid in family if (one := Driver.of(pid))}
        return self.driver if part == "driver" else next(filter(PARTS[part], family), 0)

    def inject(self, fault: str, rng: random.Random) -> None:
        part, _, how = fault.partition(" ")
        if part == "SIGTERM":
            self.process.terminate()
            code = self.process.wait(DEADLINE)
            assert code in (130, 143), f"SIGTERM ended the supervisor with {code}"
            self.start()
            return
        wait(lambda: self.find(part), f"process of the {part}")
        with suppress(ProcessLookupError):
            os.kill(self.find(part), signal.SIGSTOP if how == "STOP" else signal.SIGKILL)
        if "flipped" in how:
            DAMAGES["newest checkpoint flipped"](self.run, rng)

    def close(self) -> list[int]:
        """End what is left; return the processes of the run that were left behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with suppress(AssertionError):
            wait(lambda: not self._left(), "end of all processes", 15)
        left = self._left()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        clean()
        return left

    def _left(self) -> list[int]:
        return [one.pid for one in self.seen if one.alive]


def on_ray(
    seed: int, folder: Path, expected: Result, number: int = FAULTS_A_RUN, faults: Sequence[str] = tuple(ON_RAY)
) -> Report:
    """A supervised run on Ray, parts of which are killed and stopped."""
    rng, begun, report = random.Random(f"ray {seed}"), time.monotonic(), Report("ray", seed)
    supervised = Supervised(folder)
    try:
        for target in moments(rng, number):
            wait(
                lambda least=target: newest_step(supervised.run) >= least or supervised.process.poll() is not None,
                "progress",
            )
            if supervised.process.poll() is not None:
                break
            fault, before, at = rng.choice(faults), newest_step(supervised.run), time.monotonic()
            report.faults.append(injected := Injected(fault, before))
            supervised.inject(fault, rng)
            wait(
                lambda before=before: newest_step(supervised.run) > before or finished(supervised),
                f"step after {fault}",
            )
            injected.seconds = round(time.monotonic() - at, 3)
        code = supervised.process.wait(DEADLINE)
        report.wrong = f"exit code {code}" if code else Result.of(supervised.run).differs(expected)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        report.wrong = str(error)
    left = supervised.close()
    report.wrong = report.wrong or (f"left behind: {left}" if left else "")
    report.seconds = round(time.monotonic() - begun, 1)
    return report


def finished(supervised: Supervised) -> bool:
    return supervised.process.poll() is not None


def moments(rng: random.Random, number: int, steps: int = STEPS) -> list[int]:
    """Steps after which a fault is injected."""
    return sorted(rng.sample(range(1, steps - steps // 6), number))


def newest_step(run: Path) -> int:
    with suppress(OSError, IndexError, ValueError, KeyError):
        return int(json.loads((run / METRICS).read_text().rpartition("\n")[0].splitlines()[-1])["step"])
    return -1


def wait(found: Callable[[], Any], what: str, seconds: float = DEADLINE) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"no {what} within {seconds:g} s"
        time.sleep(0.005)


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            yield from map(int, task.read_text().split())


def descendants(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from descendants(child)


def command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def name_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def table(reports: list[Report]) -> str:
    """For each fault: how often it was injected and survived, and the seconds until the next step.

    A fault was survived if the run went on, and ended like an undisturbed one.
    """
    by_fault: dict[str, list[float]] = defaultdict(list)
    survived: dict[str, int] = defaultdict(int)
    for report in reports:
        for one in report.faults:
            by_fault[f"{report.form}: {one.fault}"].append(one.seconds)
            survived[f"{report.form}: {one.fault}"] += one.seconds > 0 and not report.wrong
    lines = [
        f"{name:45} {len(times):4} injected, {survived[name]:4} survived, "
        f"{statistics.median(times):6.1f} s median, {max(times):6.1f} s most"
        for name, times in sorted(by_fault.items())
    ]
    bad = [report for report in reports if report.wrong]
    total = sum(map(len, by_fault.values()))
    end = f"{total} faults injected, {sum(survived.values())} survived, in {len(reports)} runs, {len(bad)} went wrong"
    return "\n".join([*lines, end, *map(str, bad)])


class Soak:
    """Runs of both forms, whose reports are printed and written as they come.

    Args:
        folder: of all runs.
        target: the file of the reports.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.reports: list[Report] = []
        self._folder, self._target, self._lock = folder, target, threading.Lock()
        target.parent.mkdir(parents=True, exist_ok=True)

    def inject(self, faults: int, seed: int, form: Callable[[int, Path], Report]) -> None:
        """Make runs, with ``seed`` and those after it, until so many faults were injected."""
        for number in range(seed, seed - (-faults // FAULTS_A_RUN)):
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            self._note(report := form(number, folder))
            if report.wrong:
                shutil.move(folder, Path(tempfile.gettempdir()) / f"soak-{report.form}-{number}-{os.getpid()}")
            else:
                shutil.rmtree(folder)

    def _note(self, report: Report) -> None:
        with self._lock:
            self.reports.append(report)
            print(report, flush=True)
            self._target.write_text(json.dumps([asdict(one) for one in self.reports], indent=1) + "\n")


def main(
    in_one_process: int = 150, on_a_cluster: int = 50, target: str = "runs/soak-faults.json", seed: int = 0
) -> None:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name, closing(Runs(Path(name) / "runs.log")) as runs:
        expected, soak = undisturbed(Path(name), runs), Soak(Path(name), Path(target))
        with ThreadPoolExecutor(2) as both:  # runs on Ray mostly wait
            forms = [
                both.submit(soak.inject, in_one_process, seed, lambda *run: inline(*run, runs, expected)),
                both.submit(soak.inject, on_a_cluster, seed, lambda *run: on_ray(*run, expected)),
            ]
        for form in forms:
            form.result()
    print(table(soak.reports), f"{time.monotonic() - begun:.0f} s", sep="\n")
    sys.exit(any(report.wrong for report in soak.reports))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:4], *map(int, sys.argv[4:5]))
