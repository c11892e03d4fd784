"""Runner for scripts of asserts: tests and candidate run in separate jobs that exchange plain data."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..sandbox.inside.wire import HARD
from ..sandbox.job import MIB, Execution
from ..sandbox.protocol import Sandbox, Session, SessionEnded
from ..verdict import Verdict, infra_error, unparseable
from .budget import Budget, driver_source
from .calls import load_program
from .program import continuations, defines, extract_program
from .reply import Malformed, read_message, read_reply, to_line
from .tally import Result, status_of_job, tally

_OUTPUT = 4 * MIB
_GONE = "Gone: "
"""Reason that the tests' job gives for the test in which the candidate ended; the parent replaces it."""


@dataclass(frozen=True)
class Script:
    """The tests of a task.

    Attributes:
        tests: one script that defines ``check(candidate)``, or several tests.
        setup: sources that run before the tests, in their job.
        entry: name of the function passed to ``check``; empty if tests call functions by name.
        prompt: code that a completion may continue; it also runs before the candidate.
        references: reference sources that may define ``entry`` for the tests.
        in_place: whether the tests see arguments that a call mutated even if it returned a value.
        tested: name of the function under test, if a task whose tests call functions by name has one.
    """

    tests: list[str]
    setup: list[str]
    entry: str = ""
    prompt: str = ""
    references: list[str] = field(default_factory=list)
    in_place: bool = False
    tested: str = ""

    def borrowed(self, wanted: list[str]) -> list[str]:
        """Return the names among ``wanted`` that the tests take from the candidate, besides what they test.

        If nothing says what they test, it is the only function; of several, any could be a helper that decides what
        passes, so all count. A class that the tests make objects of decides nothing.
        """
        if self.entry:
            return wanted
        functions = [name for name in wanted if not name[:1].isupper() and name != self.tested]
        return functions if self.tested or len(functions) > 1 else []

    def programs(self, completion: str, wanted: Sequence[str]) -> list[str]:
        """Return possible programs for the completion, the likeliest first."""
        found = extract_program(completion, wanted)
        if not found or not self.prompt or defines(found, wanted):
            return [found] if found else []
        return [*continuations(self.prompt, found), found]


@dataclass
class Outcome:
    """The result of one run of tests and candidate.

    Attributes:
        ended: which job ended early: ``tests``, ``candidate``, or empty for none.
        failed: (kind, text): ``broken`` or ``unsplittable`` tests, why the program was not loaded, or ``limit``.
        borrowed: names that the tests use from the candidate, other than the tested function.
        calls: number of requests to the candidate.
        verdict: final message of the tests' job.
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

    ``trusting`` allows two things that require trust in the candidate: names that only the candidate defines may be
    used by the tests, and tests that pass their own functions or objects run in one job with it.
    """
    outcome, executions = await _converse(sandbox, completion, script, budget, policy, shared=False)
    evidence: dict[str, Any] = {"format": "humaneval" if script.entry else "mbpp", "mode": "split"}
    if outcome.borrowed:
        names = ", ".join(outcome.borrowed)
        if not trusting:
            cure = (
                "set 'prompt'"
                if script.entry
                else "define helpers in 'test_setup_code', name the function in 'fn_name'"
            )
            return infra_error(f"the tests use {names}, which only the candidate defines; {cure}, or {_ALLOW}")
        evidence["borrowed"] = outcome.borrowed
    if outcome.failed[0] == "unsplittable":
        if not trusting:
            return infra_error(f"{outcome.failed[1]}, so they cannot run apart from the candidate; {_ALLOW}")
        outcome, executions = await _converse(sandbox, completion, script, budget, policy, shared=True)
        evidence["mode"] = "shared"
    return _make_verdict(outcome, executions, policy, evidence)


_ALLOW = "set allow_shared = true to trust the candidate"


async def _converse(
    sandbox: Sandbox, completion: str, script: Script, budget: Budget, policy: str, shared: bool
) -> tuple[Outcome, list[Execution]]:
    if shared:
        jobs = [budget.job(driver_source("wire", "candidate", "script", "both"), 2 * budget.timeout, _OUTPUT)]
    else:  # the tests wait as long as the candidate lives: loading it, or a busy machine, does not use up their time
        wait = HARD * budget.timeout
        tests = budget.job(driver_source("wire", "script"), 2 * budget.timeout + 1, _OUTPUT, wait=wait)
        jobs = [tests, budget.job(driver_source("wire", "candidate"), budget.timeout, _OUTPUT)]
    outcome, executions = await sandbox.converse(
        jobs, lambda sessions: _Conversation(sessions, script, policy).run(completion)
    )
    return outcome or Outcome(ended="tests"), executions


class _Conversation:
    """The exchange between the two jobs, relayed by the parent; one session means one job for both."""

    def __init__(self, sessions: Sequence[Session], script: Script, policy: str) -> None:
        self._tests, self._candidate = sessions[0], sessions[-1]
        self._apart = len(sessions) > 1
        self._script, self._policy = script, policy
        self._nonce = secrets.token_hex(16)
        self._outcome = Outcome()

    def run(self, completion: str) -> Outcome:
        """Run the exchange from the start of both jobs to the verdict."""
        try:
            wanted = self._start()
            if wanted is None or not self._load(completion, wanted):
                return self._outcome
            self._relay()
        except SessionEnded:
            self._outcome.ended = "tests" if self._apart else "candidate"
        except Malformed as error:  # in one shared job, the candidate can write to this channel
            self._outcome.failed = ("broken" if self._apart else "forged", str(error))
        return self._outcome

    def _start(self) -> list[str] | None:
        script = self._script
        start = [script.in_place, script.setup, script.tests, script.entry, script.references, self._policy == "all"]
        match self._message_of_tests(self._tests.ask(to_line([self._nonce, *start]))):
            case ["ready", list(wanted)]:
                self._outcome.borrowed = script.borrowed(wanted)
                return [script.entry] if script.entry else wanted
            case ["broken", str(why)]:
                self._outcome.failed = ("broken", why)
        return None

    def _load(self, completion: str, wanted: list[str]) -> bool:
        programs = self._script.programs(completion, wanted)
        before = [self._script.prompt] if self._script.prompt else []
        load = [before, programs, wanted, 0]
        if len(to_line(load)) > _OUTPUT:
            self._outcome.failed = ("limit", f"the program is longer than a job takes, {_OUTPUT >> 20} MiB")
            return False
        try:
            self._outcome.failed = load_program(self._candidate, load)
        except SessionEnded:
            self._outcome.ended = "candidate"
        return not self._outcome.ended and not self._outcome.failed[0]

    def _relay(self) -> None:
        line = self._tests.ask(b'["go"]')
        while True:
            match self._message_of_tests(line):
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
                    raise Malformed("an unknown message from the tests' job")

    def _answer(self, request: list[Any]) -> bytes:
        """Return the candidate's answer for the tests, checked and written anew by the parent."""
        number = self._outcome.calls
        if self._outcome.ended or self._outcome.failed[0]:
            return b"null"
        try:
            line = read_reply(self._candidate.ask(to_line([number, *request])), number).line()
            if len(line) <= _OUTPUT:
                return line
            self._outcome.failed = ("limit", "the candidate's answer is too long to be passed on")
        except SessionEnded:
            self._outcome.ended = "candidate"
        except Malformed as error:
            self._outcome.failed = ("forged", str(error))
        return b"null"

    def _message_of_tests(self, line: bytes) -> list[Any]:
        nonce, *message = [*read_message(line), ""]
        if nonce != self._nonce:
            raise Malformed("a line that the tests' job did not write")
        return message[:-1]


def _make_verdict(outcome: Outcome, executions: Sequence[Execution], policy: str, evidence: dict[str, Any]) -> Verdict:
    kind, why = outcome.failed
    message = outcome.verdict
    calls = message.get("calls", outcome.calls)
    if kind == "broken" or (outcome.ended == "tests" and not calls):
        return infra_error(
            f"the tests do not run: {why or status_of_job(executions[0])[1]}; repair the dataset", **evidence
        )
    if kind == "syntax":
        return unparseable(f"the program does not compile: {why}", **evidence)
    if outcome.ended or kind:
        job = executions[0 if outcome.ended == "tests" else -1]
        status, reason = status_of_job(job) if not kind else ("limit" if kind == "limit" else "wrong", why)
        if outcome.ended == "tests" and status == "wrong":
            status = "limit"
        cut = Result("the tests", status, reason)
        found = _results(message)
        results = [replace(cut, test=result.test) if result.reason == _GONE else result for result in found]
        if results == found:
            results.append(cut)
        return tally(results, max(message.get("of", 0), len(results)), policy, **evidence)
    if not calls:
        return infra_error(f"the tests never call the candidate ({message['error']}); repair the dataset", **evidence)
    results = _results(message)
    if message["complete"] and not message["failed"]:
        evidence |= {"tests": [result.row() for result in results], "passed": message["passed"], "of": message["of"]}
        said = f"{message['passed']} tests passed"
        if evidence["mode"] == "shared":
            said += ", in one process with the candidate, which could have replaced them"
        if "borrowed" in evidence:
            said += f"; {', '.join(evidence['borrowed'])} borrowed from the candidate, which could decide what passes"
        return Verdict(1.0, "ok", said, evidence)
    if not any(result.status != "ok" for result in results):
        results.append(Result("the tests", "wrong", message["error"]))
    return tally(results, max(message["of"], len(results)), policy, message["passed"], **evidence)


def _results(message: dict[str, Any]) -> list[Result]:
    rows = message.get("results", [])
    reached = [(test, how == "ok", ascii(why)[1:-1]) for test, how, why in rows if how != "not reached"]
    return [Result(test, "ok" if passed else "wrong", why) for test, passed, why in reached]
