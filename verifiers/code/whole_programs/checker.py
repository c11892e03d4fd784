"""Special checkers: programs of the dataset that judge outputs to problems with several right answers."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import DataError
from ...sandbox.job import Execution
from ...sandbox.protocol import Sandbox
from ...verdict import Status
from ..budget import Budget
from ..outputs import quoted
from ..suite import Pair
from ..tally import Result, describe_end, status_of_job
from .executable import CRASHED, DoesNotCompile, Executable, build, check_language
from .once import Once

Style = Literal["function", "testlib", "printed"]
STYLES: tuple[str, ...] = get_args(Style)

GIVEN, OUTPUT, EXPECTED = "input.txt", "output.txt", "answer.txt"
"""The files that a checker or an interactor gets."""
_ARGUMENTS = {"function": (), "testlib": (GIVEN, OUTPUT, EXPECTED), "printed": (GIVEN, EXPECTED, OUTPUT)}
_FAIL = 3
"""Exit code of testlib's ``quitf(_fail, …)``: the checker or the tests are at fault."""
_ACCEPTS, _REJECTS = 40, 41
_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,20})?")
_CALL = f"""\
import os, sys
from checker import check
said = check(*(open(name, encoding="utf-8", newline="").read() for name in {(GIVEN, OUTPUT, EXPECTED)!r}))
said, why = said if isinstance(said, tuple) and len(said) == 2 else (said, "")
if not isinstance(said, (bool, int, float)):
    raise TypeError(f"check returned {{said!r:.80}}; it must return true or false, a score, or that and a reason")
print(why, file=sys.stderr, flush=True)
os._exit({_ACCEPTS} if said >= 1 else {_REJECTS})
"""
_built = Once[Executable](64)
"""(sandbox, checker) → the executable of a checker or an interactor; all attempts of a group share it."""


@dataclass(frozen=True)
class Checker:
    """A checker, or an interactor, as the dataset has it.

    Attributes:
        source: its source.
        language: the name of its language.
        style: how it is called and how it answers.
        headers: (name, content) of further files, such as ``testlib.h``.
    """

    source: str
    language: str = "python"
    style: str = "function"
    headers: tuple[tuple[str, str], ...] = ()

    async def build(self, sandbox: Sandbox) -> Executable:
        """Return it as an executable.

        Raises:
            DataError: it does not compile.
            ConfigError: the sandbox cannot run its language.
            SandboxLost: the sandbox failed.
        """
        return await _built.get((sandbox.name, self), lambda: self._build(sandbox))

    async def _build(self, sandbox: Sandbox) -> Executable:
        language = await check_language(sandbox, self.language)
        source, headers = self.source, dict(self.headers)
        if self.style == "function":
            source, headers = _CALL, {**headers, "checker.py": source}
        try:
            return await build(sandbox, language, source, headers)
        except DoesNotCompile as error:
            raise DataError(f"the checker cannot be used: {error.reason}; repair the dataset") from None

    async def judge(self, sandbox: Sandbox, budget: Budget, name: str, pair: Pair, output: str) -> Result:
        """Return the result of the test ``name`` for ``output``, which the checker sees as a file only.

        If the checker fails on the output, it judges the expected output as a control. If it fails there too, it is
        broken, which is an ``infra_error``; if not, or if no output is expected, the output made it fail, and the test
        is lost.

        Raises:
            DataError, ConfigError, SandboxLost: as ``build``.
        """
        program = await self.build(sandbox)
        result, crashed = self._result(name, await self._run(sandbox, program, pair, output, budget))
        if not crashed or not pair.expected.strip():
            return result
        control, broken = self._result(name, await self._run(sandbox, program, pair, pair.expected, budget))
        if control.status == "infra_error":
            return control
        if broken:
            return Result(
                name, "infra_error", f"{control.reason}, on the expected output too; repair the checker of the dataset"
            )
        return result

    async def _run(self, sandbox: Sandbox, program: Executable, pair: Pair, output: str, budget: Budget) -> Execution:
        texts = {GIVEN: pair.given, OUTPUT: output, EXPECTED: pair.expected}
        files = {file: text.encode(errors="replace") for file, text in texts.items()}
        return await sandbox.run(program.job(budget, *_ARGUMENTS[self.style], files=files, catch=True))

    def _result(self, name: str, done: Execution) -> tuple[Result, bool]:
        """Return the result, and whether the checker failed instead of judging."""
        if done.status == "infra_error":
            return Result(name, "infra_error", done.reason), False
        said = done.stdout.strip() if self.style == "printed" and done.status == "ok" else ""
        if self.style == "printed":
            accepts = bool(_NUMBER.fullmatch(said)) and float(said) >= 1
            crashed = not _NUMBER.fullmatch(said)
        elif self.style == "function":
            accepts, crashed = done.exit_code == _ACCEPTS, done.exit_code not in (_ACCEPTS, _REJECTS)
        else:
            accepts, crashed = read_exit(done)
        if crashed:
            return Result(name, *failure_of(done, "the checker")), True
        refused = Result(name, "wrong", f"the checker refuses it{why_of(done, said)}")
        return Result(name) if accepts else refused, False


def read_exit(done: Execution) -> tuple[bool, bool]:
    """Return whether the exit code of testlib's kind accepts, and whether the program failed instead of judging."""
    crashed = done.exit_code is None or done.exit_code in (_FAIL, CRASHED) or done.exit_code > 127
    return done.exit_code == 0, crashed or done.status not in ("ok", "runtime_error")


def failure_of(done: Execution, what: str) -> tuple[Status, str]:
    """Return status and reason if ``what``, a checker or an interactor, failed on something of the candidate's."""
    status, reason = status_of_job(done)
    if status in ("timeout", "limit"):
        return status, f"{what} failed: {reason}"
    return "wrong", f"{what} failed: {describe_end(done) if done.status != 'ok' else 'it gave no verdict'}"


def why_of(done: Execution, said: str = "") -> str:
    """Return the first line of a checker's or an interactor's reason, to be put after a text."""
    lines = [line.strip() for line in (said or done.stderr)[:4000].splitlines() if line.strip()]
    return f": {quoted(lines[0], 150)}" if lines else ""
