"""The process in which ``lachesis check`` runs an environment's code, so that the check survives whatever it does.

It reads one JSON request from its standard input, and writes a line of JSON before every step and at the end.
"""

import asyncio
import faulthandler
import json
import os
import sys
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

from ...environments.audit.audit import Audit
from ...environments.audit.draw import Draw, audit_draws, compare_draws, draw
from ...environments.audit.expected_answer import check_expected_answers
from ...environments.audit.finding import Finding, Report
from ...environments.environment import Environment, Split
from ...environments.loading import EnvironmentSpec
from ...trainer.run.sandbox_check import check_sandbox
from ...verifiers.errors import ConfigError, LachesisError
from ...verifiers.sandbox.settings import SandboxSettings
from ...verifiers.settings import validated


@dataclass
class _Run:
    """The work on one request."""

    request: dict[str, Any]
    channel: TextIO
    stacks: TextIO
    report: Report
    home: str

    def step(self, name: str) -> None:
        """Report the next step; if it takes longer than the deadline, its stack is written to ``stacks``."""
        seconds = self.request["deadline"]
        faulthandler.dump_traceback_later(seconds, file=self.stacks)
        self.send({"step": name, "home": self.home, "report": self.report.to_json()})

    def send(self, line: dict[str, Any]) -> None:
        """Write one line to the parent process."""
        self.channel.write(json.dumps(line) + "\n")
        self.channel.flush()

    def usage(self, error: LachesisError) -> NoReturn:
        """End because the request is wrong, which is not the fault of the environment's code."""
        self.send({"usage": str(error)})
        sys.exit(2)

    def fail(self, finding: Finding) -> NoReturn:
        """End with a finding after which nothing else can be checked."""
        self.report.add([finding])
        self.send({"done": {}, "report": self.report.to_json()})
        sys.exit(0)

    def environment(self) -> Environment:
        """The environment, built."""
        spec = EnvironmentSpec(**self.request["spec"])
        self.step("import")
        try:
            cls = spec.environment_class()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything; this is what the audit looks for
            if isinstance(error, ConfigError) and error.__cause__ is None:  # there is no such environment
                self.usage(error)
            cause = error.__cause__ or error
            self.fail(Finding("import", f"{type(cause).__name__}: {cause}{place_of(cause, self.home)}"))
        self.home = getattr(sys.modules.get(cls.__module__), "__file__", None) or self.home
        try:
            validated(cls.Config, spec.config, f"environment {spec.use}")
        except ConfigError as error:
            self.usage(error)
        try:
            return spec.build()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            self.fail(Finding("import", f"it cannot be built: {error}{place_of(error, self.home)}"))

    def draws(self, environment: Environment) -> dict[Split, Draw]:
        """The first tasks of each split."""
        drawn = {}
        for split in environment.splits:
            self.step(f"tasks({split!r}, {self.request['seed']})")
            drawn[split] = draw(environment, split, self.request["seed"], self.request["tasks"])
            self.report.tasks[split] = len(drawn[split].tasks)
        return drawn

    def audit(self, environment: Environment, drawn: dict[Split, Draw]) -> None:
        """Do everything but the import and the draws."""
        self.report.add(audit_draws(drawn))
        for split, elsewhere in self.request["elsewhere"].items():
            here = [task.hash for task in drawn[split].tasks]
            whole = drawn[split].ended and elsewhere["ended"]
            self.report.add(compare_draws(split, here, elsewhere["hashes"], whole))
        self.step("expected answers")
        tasks = [task for one in drawn.values() for task in one.tasks]
        self.report.add(asyncio.run(check_expected_answers(environment, tasks)))
        for one in drawn.values():
            for seconds in one.seconds:
                self.report.time("draw", seconds)
        if not any(one.failure for one in drawn.values()):
            self.step("sandbox")
            try:
                settings = validated(SandboxSettings, self.request["sandbox"], "--sandbox")
                check_sandbox(settings, [environment], self.request["seed"])
            except ConfigError as error:
                self.usage(error)
        most = self.request["tasks"]
        counts = {"train": most - most // 4, "test": most // 4} if len(drawn) > 1 else dict.fromkeys(drawn, most)
        played = {task.hash: task for split, one in drawn.items() for task in one.tasks[: counts[split]]}
        seconds = self.request["deadline"]
        audit = Audit(environment, self.report, self.request["seed"], 0.8 * seconds, 10 * seconds, self.step)
        asyncio.run(audit.play(list(played.values())))
        if self.request["tokenizer"]:
            self._tokens(environment, list(played.values()))

    def _tokens(self, environment: Environment, tasks: list[Any]) -> None:
        from ...rollout.chats.token_audit import TokenAudit

        self.step(f"tokenizer {self.request['tokenizer']}")
        try:
            audit = TokenAudit.load(self.request["tokenizer"])
        except ConfigError as error:
            self.usage(error)
        for task in tasks:
            self.step(f"the token chat on task {task.id}")
            asyncio.run(audit.play(environment, task))
        self.report.add(audit.findings())
        self.report.tokens = {"ids": audit.tokens, "turns": audit.turns}


def place_of(error: BaseException, home: str) -> str:
    """The file and line of ``error`` in brackets; a line of the file ``home`` if the error passed through it."""
    if isinstance(error, SyntaxError):  # its message has the place
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == home] or frames
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def main() -> None:
    """Read the request, do the audit and report."""
    request = json.loads(sys.stdin.readline())
    sys.path[:] = request["path"]
    os.dup2(2, 1)  # the environment's prints must not mix with the report
    with os.fdopen(request["channel"], "w") as channel, open(request["stacks"], "w") as stacks:
        run = _Run(request, channel, stacks, Report(request["spec"]["use"]), request["spec"]["use"].partition(":")[0])
        environment = run.environment()
        drawn = run.draws(environment)
        if request["elsewhere"] is None:
            done: dict[str, Any] = {
                split: {"hashes": [task.hash for task in one.tasks], "ended": one.ended and not one.failure}
                for split, one in drawn.items()
            }
        else:
            run.audit(environment, drawn)
            done = {}
        faulthandler.cancel_dump_traceback_later()
        run.send({"done": done, "report": run.report.to_json()})


if __name__ == "__main__":
    main()
