"""The audit of an environment, run in processes with a deadline, and its report."""

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...environments.audit.finding import Finding
from ...environments.loading import EnvironmentSpec
from ...verifiers.errors import ConfigError
from ...verifiers.processes.temporary import own_prefix
from ..terminal import printable

GRACE = 1.0
"""Seconds after a step's deadline in which the process may still end by itself and report where it stood."""
_COLOURS = {"error": "red", "warning": "yellow"}
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """An audit to run.

    Attributes:
        spec: the environment.
        tasks: how many the players play.
        seed: of tasks and players.
        deadline: seconds for each step: an import, a draw of tasks, an episode, a verification.
        tokenizer: folder or Hub id of a tokenizer through which the tasks are played too; empty for none.
        sandbox: settings of the sandbox in which verifiers run programs.
        allow: kinds of findings that count as warnings.
    """

    spec: EnvironmentSpec
    tasks: int = 16
    seed: int = 0
    deadline: float = 60.0
    tokenizer: str = ""
    sandbox: dict[str, Any] | None = None
    allow: Sequence[str] = ()

    def run(self) -> dict[str, Any]:
        """The report, as ``Report.to_json`` writes it.

        One process draws the tasks and another one draws them again and does the rest, so that tasks which depend on
        the process are noticed.

        Raises:
            ConfigError: there is no such environment, setting, tokenizer or sandbox.
        """
        report, drawn = self._ask(None, "1")
        if drawn is not None and not report["findings"]:
            report, _ = self._ask(drawn, "2")
        for finding in report["findings"]:
            if finding["kind"] in self.allow:
                finding["severity"] = "warning"
        report["clean"] = not any(finding["severity"] == "error" for finding in report["findings"])
        return report

    def _ask(self, elsewhere: dict[str, Any] | None, hash_seed: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The report of one process, and the tasks that it drew; None for these if it did not get to the end.

        Args:
            elsewhere: what another process drew; None to draw and do nothing else.
            hash_seed: of Python's ``hash``, which must not influence the tasks.
        """
        reader, writer = os.pipe()
        with tempfile.NamedTemporaryFile("r", prefix=own_prefix("stacks")) as stacks:
            request = {
                "spec": asdict(self.spec),
                "tasks": self.tasks,
                "seed": self.seed,
                "deadline": self.deadline,
                "tokenizer": self.tokenizer,
                "sandbox": self.sandbox or {},
                "elsewhere": elsewhere,
                "path": sys.path,
                "channel": writer,
                "stacks": stacks.name,
            }
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lachesis.commands.check.audit_process"],
                stdin=subprocess.PIPE,
                stdout=sys.stderr,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                pass_fds=[writer],
                start_new_session=True,
            )
            os.close(writer)
            try:
                assert process.stdin is not None
                with suppress(BrokenPipeError), process.stdin as stdin:
                    stdin.write(json.dumps(request).encode() + b"\n")
                return self._listen(process, reader, Path(stacks.name))
            finally:
                os.close(reader)
                _end(process)

    def _listen(
        self, process: "subprocess.Popen[bytes]", reader: int, stacks: Path
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        last: dict[str, Any] = {"step": "start", "home": "", "report": {"environment": self.spec.use, "findings": []}}
        rest = b""
        end = time.monotonic() + max(self.deadline, 30.0)  # Python's own start does not count
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            while True:
                left = end + GRACE - time.monotonic()
                if left <= 0 or not selector.select(left):
                    process.kill()
                    said = f"{last['step']} took more than {self.deadline:g} s{_stood(stacks, last['home'])}"
                    return _with(last["report"], Finding("hang", said)), None
                data = os.read(reader, 1 << 16)
                if not data:
                    code = process.wait(GRACE + self.deadline)
                    said = f"the process ended ({_ending(code)}) in: {last['step']}"
                    return _with(last["report"], Finding("died", said)), None
                *lines, rest = (rest + data).split(b"\n")
                for line in map(json.loads, lines):
                    if "usage" in line:
                        raise ConfigError(line["usage"])
                    if "done" in line:
                        return line["report"], line["done"]
                    last = line
                    end = time.monotonic() + self.deadline


def print_report(report: dict[str, Any], as_json: bool = False) -> None:
    """Print the report as text, or as one JSON object."""
    if as_json:
        print(json.dumps(report, indent=2))
        return
    console = Console(highlight=False, emoji=False)
    findings = report["findings"]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in findings:
        where = f"\ntask {', '.join(finding['tasks'])}" if finding["tasks"] else ""
        reply = f"\nreply {finding['reply']!r}" if finding["reply"] else ""
        severity = Text(finding["severity"], style=_COLOURS[finding["severity"]])
        table.add_row(severity, finding["kind"], Text(printable(finding["message"] + where + reply)))
    if findings:
        console.print(table)
    for kind, count in report.get("further", {}).items():
        console.print(f"and {count} more findings: {kind}")
    for audit, why in report.get("skipped", {}).items():
        console.print(Text(printable(f"skipped: {audit}: {why}"), style="dim"))
    _print_numbers(console, report)
    counts = [sum(finding["severity"] == kind for finding in findings) for kind in _COLOURS]
    looked = ", ".join(f"{count} {split}" for split, count in report.get("tasks", {}).items())
    errors, warnings = (f"{count} {kind}{'s' * (count != 1)}" for kind, count in zip(_COLOURS, counts, strict=True))
    verdict = f"{errors}, {warnings}" if findings else "clean"
    console.print(f"{report['environment']}: {verdict}; tasks looked at: {looked or 'none'}", markup=False)


def _print_numbers(console: Console, report: dict[str, Any]) -> None:
    """Print how the players did, and the times."""
    players = report.get("players", {})
    if players:
        graded = [name for name, count in players.items() if count["passed"] is not None]
        counts = [f"{name} {players[name]['passed']}/{players[name]['plays']}" for name in graded]
        console.print(f"passed: {', '.join(counts)}" if graded else f"played: {', '.join(players)}", markup=False)
    if report.get("tokens"):
        console.print("tokens: {ids} ids of {turns} turns compared".format(**report["tokens"]), markup=False)
    if report.get("milliseconds"):
        table = Table("milliseconds", "p50", "p90", "p99", "max", box=None, header_style="bold")
        for stage, times in report["milliseconds"].items():
            table.add_row(stage, *(_rounded(times[name]) for name in ("p50", "p90", "p99", "max")))
        console.print(table)


def _rounded(number: float) -> str:
    """Three digits, without an exponent."""
    return f"{number:.3g}" if number < 100 else f"{number:,.0f}"


def _with(report: dict[str, Any], finding: Finding) -> dict[str, Any]:
    return {**report, "findings": [*report["findings"], asdict(finding)]}


def _stood(stacks: Path, home: str) -> str:
    """Where the process stood at its deadline, in the environment's own file if possible."""
    frames = _FRAME.findall(stacks.read_text())
    own = [frame for frame in frames if frame[0] == home] or frames
    return f", in {own[0][2]} ({own[0][0]}, line {own[0][1]})" if own else ""


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Give the process a moment to end by itself, then kill it with everything that it started."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(0 if sys.exc_info()[0] else GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
