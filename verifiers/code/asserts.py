"""Scripts of asserts: the tests run in one job, the candidate in another, and plain data crosses between them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..sandbox.job import MIB, Execution
from ..sandbox.protocol import Sandbox, Session, SessionEnded
from ..verdict import Verdict, infra_error, unparseable
from .budget import Budget, source
from .calls import loading
from .program import continued, defines, program_in
from .reply import Malformed, read_message, read_reply, to_line
from .tally import Result, judged, tally

_OUTPUT = 4 * MIB
_GONE = "Gone: "
"""What the tests' job says of the test in which the candidate ended; how it ended is for us to say."""


@dataclass(frozen=True)
class Script:
    """The tests of a task.

    Attributes:
        tests: one script that defines ``check(candidate)``, or several tests.
        setup: sources that stand before them, in the tests' job.
        entry: the function that ``check`` is given; empty where tests call what they test by its name.
        prompt: what a completion may go on from; it stands before the candidate too.
        references: sources of the tests' own that may define ``entry``.
        in_place: whether arguments that a call changed are changed for the tests though it returned something.
    """

    tests: list[str]
    setup: list[str]
    entry: str = ""
    prompt: str = ""
    references: list[str] = field(default_factory=list)
    in_place: bool = False

    def programs(self, completion: str, wanted: Sequence[str]) -> list[str]:
        """What the completion may mean, the likeliest first."""
        found = program_in(completion, wanted)
        if not found or not self.prompt or defines(found, wanted):
            return [found] if found else []
        return [*continued(self.prompt, found), found]


@dataclass
class Outcome:
    """What a conversation came to.

    Attributes:
        ended: whose job ended early: ``tests``, ``candidate`` or nobody's.
        failed: (kind, text): ``broken`` tests, ``unsplittable`` ones, or a program that was not loaded.
        borrowed: what the tests use and take from the candidate, beside what they test.
        calls: how many requests crossed.
        verdict: what the tests' job said in the end.
    """

    ended: str = ""
    failed: tuple[str, str] = ("", "")
    borrowed: list[str] = field(default_factory=list)
    calls: int = 0
    verdict: dict[str, Any] = field(default_factory=dict)


async def check_asserts(
    sandbox: Sandbox, completion: str, script: Script, budget: Budget, policy: str, trusting: bool
) -> Verdict:
    """Run the tests against the completion.

    ``trusting`` allows what trusts the candidate: names that the tests miss and the candidate defines, and, for tests
    that pass functions or objects of their own, one job for both.
    """
    outcome, executions = await _converse(sandbox, completion, script, budget, policy, shared=False)
    evidence: dict[str, Any] = {"format": "humaneval" if script.entry else "mbpp", "mode": "split"}
    if outcome.borrowed:
        names = ", ".join(outcome.borrowed)
        if not trusting:
            return infra_error(f"the tests use {names}, which only the candidate defines; give 'prompt', or {_ALLOW}")
        evidence["borrowed"] = outcome.borrowed
    if outcome.failed[0] == "unsplittable":
        if not trusting:
            return infra_error(f"{outcome.failed[1]}, so that they cannot run apart from the candidate; {_ALLOW}")
        outcome, executions = await _converse(sandbox, completion, script, budget, policy, shared=True)
        evidence["mode"] = "shared"
    return _judge(outcome, executions, policy, evidence)


_ALLOW = "allow what trusts the candidate by allow_shared = true"


async def _converse(
    sandbox: Sandbox, completion: str, script: Script, budget: Budget, policy: str, shared: bool
) -> tuple[Outcome, list[Execution]]:
    if shared:
        jobs = [budget.job(source("wire", "candidate", "script", "both"), 2 * budget.timeout, _OUTPUT)]
    else:  # the tests may take as long as the candidate, and as long again for themselves
        tests = budget.job(source("wire", "script"), 2 * budget.timeout + 1, _OUTPUT)
        jobs = [tests, budget.job(source("wire", "candidate"), budget.timeout, _OUTPUT)]
    outcome, executions = await sandbox.converse(
        jobs, lambda sessions: _Conversation(sessions, script, policy).hold(completion)
    )
    return outcome or Outcome(ended="tests"), executions


class _Conversation:
    """The parent between the two jobs, which are one where ``sessions`` holds one."""

    def __init__(self, sessions: Sequence[Session], script: Script, policy: str) -> None:
        self._tests, self._candidate = sessions[0], sessions[-1]
        self._apart = len(sessions) > 1
        self._script, self._policy = script, policy
        self._nonce = secrets.token_hex(16)
        self._outcome = Outcome()

    def hold(self, completion: str) -> Outcome:
        """All of it, from the start of both jobs to the verdict."""
        try:
            wanted = self._start()
            if wanted is None or not self._load(completion, wanted):
                return self._outcome
            self._relay()
        except SessionEnded:
            self._outcome.ended = "tests" if self._apart else "candidate"
        except Malformed as error:  # where all is in one job, the candidate can write to this channel
            self._outcome.failed = ("broken" if self._apart else "forged", str(error))
        return self._outcome

    def _start(self) -> list[str] | None:
        script = self._script
        start = [script.in_place, script.setup, script.tests, script.entry, script.references, self._policy == "all"]
        match self._said(self._tests.ask(to_line([self._nonce, *start]))):
            case ["ready", list(wanted)]:
                self._outcome.borrowed = wanted if script.entry else []
                return [script.entry] if script.entry else wanted
            case ["broken", str(why)]:
                self._outcome.failed = ("broken", why)
        return None

    def _load(self, completion: str, wanted: list[str]) -> bool:
        programs = self._script.programs(completion, wanted)
        before = [self._script.prompt] if self._script.prompt else []
        try:
            self._outcome.failed = loading(self._candidate, [before, programs, wanted, 0])
        except SessionEnded:
            self._outcome.ended = "candidate"
        return not self._outcome.ended and not self._outcome.failed[0]

    def _relay(self) -> None:
        line = self._tests.ask(b'["go"]')
        while True:
            match self._said(line):
                case ["ask", *request]:
                    self._outcome.calls += 1
                    line = self._tests.ask(self._answer(request))
                case ["verdict", dict(verdict)]:
                    self._outcome.verdict = verdict
                    return
                case ["unsplittable", str(why)]:
                    self._outcome.failed = ("unsplittable", why)
                    return
                case _:
                    raise Malformed("no message of the tests")

    def _answer(self, request: list[Any]) -> bytes:
        """The candidate's answer as the tests read it: checked, and written by us."""
        number = self._outcome.calls
        if self._outcome.ended or self._outcome.failed[0]:
            return b"null"
        try:
            return read_reply(self._candidate.ask(to_line([number, *request])), number).line()
        except SessionEnded:
            self._outcome.ended = "candidate"
        except Malformed as error:
            self._outcome.failed = ("forged", str(error))
        return b"null"

    def _said(self, line: bytes) -> list[Any]:
        nonce, *message = [*read_message(line), ""]
        if nonce != self._nonce:
            raise Malformed("a line that is not the tests' own")
        return message[:-1]


def _judge(outcome: Outcome, executions: Sequence[Execution], policy: str, evidence: dict[str, Any]) -> Verdict:
    kind, why = outcome.failed
    said = outcome.verdict
    calls = said.get("calls", outcome.calls)
    if kind == "broken" or (outcome.ended == "tests" and not calls):
        return infra_error(f"the tests do not run: {why or judged(executions[0])[1]}; repair the dataset", **evidence)
    if kind == "syntax":
        return unparseable(f"the program does not compile: {why}", **evidence)
    if outcome.ended or kind:
        job = executions[0 if outcome.ended == "tests" else -1]
        status, reason = judged(job) if not kind else ("wrong", why)
        if outcome.ended == "tests" and status == "wrong":
            status = "limit"
        cut = Result("the tests", status, reason)
        found = _results(said)
        results = [replace(cut, test=result.test) if result.reason == _GONE else result for result in found]
        if results == found:
            results.append(cut)
        return tally(results, max(said.get("of", 0), len(results)), policy, **evidence)
    if not calls:
        return infra_error(f"the tests never call the candidate ({said['error']}); repair the dataset", **evidence)
    results = _results(said)
    if said["complete"] and not said["failed"]:
        evidence |= {"tests": [result.row() for result in results], "passed": said["passed"], "of": said["of"]}
        return Verdict(1.0, "ok", f"{said['passed']} tests passed", evidence)
    if not any(result.status != "ok" for result in results):
        results.append(Result("the tests", "wrong", said["error"]))
    return tally(results, max(said["of"], len(results)), policy, **evidence)


def _results(said: dict[str, Any]) -> list[Result]:
    rows = said.get("results", [])
    reached = [(test, how == "ok", ascii(why)[1:-1]) for test, how, why in rows if how != "not reached"]
    return [Result(test, "ok" if passed else "wrong", why) for test, passed, why in reached]
