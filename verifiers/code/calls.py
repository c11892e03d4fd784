"""Runner for function-call tests, in a job that never sees the expected results."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..sandbox.job import MIB
from ..sandbox.protocol import Sandbox, Session, SessionEnded
from ..verdict import Verdict, unparseable
from .budget import Budget, driver_source, seconds_used
from .inside.wire import encode
from .reply import Malformed, Reply, read_message, read_reply, same_value, to_line
from .suite import Pair, as_call, wraps_results
from .tally import Result, status_of_job, tally

_MAX_JOBS = 8
"""Largest number of jobs started for one completion, since a test may kill its job."""


@dataclass(frozen=True)
class Question:
    """One test in wire format: the arguments are sent to the job, the expected value is not; it may be wrapped."""

    arguments: Any
    expected: Any
    longest: int
    wrapped: bool = False

    def is_answered_by(self, wire: Any, tolerance: float) -> bool:
        """Return whether the value, which was checked, is the expected one, or the only item that this wraps."""
        return same_value(wire, self.expected, tolerance) or (
            self.wrapped and same_value(wire, self.expected[1], tolerance)
        )


@dataclass
class JobResults:
    """The results of one job.

    Attributes:
        results: results of the tests that it answered.
        failed: (kind, text) if the program was not loaded.
        ended: whether the job ended before it had answered all tests.
    """

    results: list[Result] = field(default_factory=list)
    failed: tuple[str, str] = ("", "")
    ended: bool = False


async def check_calls(
    sandbox: Sandbox, program: str, name: str, pairs: Sequence[Pair], budget: Budget, policy: str, tolerance: float
) -> Verdict:
    """Call ``name`` of ``program``, or that method of its ``Solution``, on the arguments of each pair.

    Raises:
        DataError: a pair is not a call.
        NotPlain: a value cannot be sent to a job.
    """
    wrapped = wraps_results(pairs)
    questions = [_question(as_call(pair), wrapped) for pair in pairs]
    load = [[], [program], [name], budget.timeout]
    most = max(len(to_line(load)), *(max(len(to_line(q.arguments)), q.longest) for q in questions)) + MIB
    left, results = budget.total, list[Result]()
    for _ in range(_MAX_JOBS):
        drive = partial(_ask_all, load, name, questions, len(results), policy, tolerance)
        job = budget.job(driver_source("wire", "candidate"), left, most)
        answers, executions = await sandbox.converse([job], drive)
        left -= seconds_used(executions[0])
        if answers is None:
            answers = JobResults(ended=True)
        if answers.failed[0] == "syntax":
            return unparseable(f"the program does not compile: {answers.failed[1]}")
        results += answers.results
        if answers.failed[0]:
            return tally([Result("loading", "wrong", answers.failed[1])], len(questions), policy, format="call")
        if answers.ended:
            results.append(Result(f"test {len(results) + 1}", *status_of_job(executions[0])))
        failed = results[-1].status != "ok"
        if len(results) == len(questions) or (failed and policy == "all") or results[-1].status == "infra_error":
            break
        if left <= 0:
            results.append(Result(f"test {len(results) + 1}", "timeout", "the time for all tests is used up"))
            break
    return tally(results, len(questions), policy, format="call")


def _question(pair: Pair, wrapped: bool) -> Question:
    expected = encode(pair.expected)
    arguments = encode((tuple(pair.given), {}))
    return Question(arguments, expected, 8 * len(to_line(expected)) + 4096, wrapped)


def _ask_all(
    load: list[Any],
    name: str,
    questions: list[Question],
    first: int,
    policy: str,
    tolerance: float,
    sessions: Sequence[Session],
) -> JobResults:
    """Send the questions from ``first`` on, each after the answer to the last: the job sees no input in advance."""
    answers, session = JobResults(), sessions[0]
    try:
        answers.failed = load_program(session, load)
        if answers.failed[0]:
            return answers
        for number in range(first, len(questions)):
            question = questions[number]
            line = session.ask(to_line([number, "call", None, name, question.arguments]))
            answers.results.append(_result(f"test {number + 1}", line, number, question, tolerance))
            if policy == "all" and answers.results[-1].status != "ok":
                return answers
    except SessionEnded:
        answers.ended = True
    return answers


def load_program(session: Session, load: list[Any]) -> tuple[str, str]:
    """Load the program; return ("", "") on success, else the kind of failure and a text."""
    try:
        match read_message(session.ask(to_line(load))):
            case ["loaded"]:
                return "", ""
            case ["failed", "syntax", str(text)]:
                return "syntax", ascii(text[:200])[1:-1]
            case ["failed", "missing", str(text)]:
                return "missing", f"the program does not define {text[:100]}"
            case ["failed", "raised", str(text)]:
                return "raised", f"the program raised {ascii(text[:100])[1:-1]} while it was loaded"
    except Malformed:
        pass
    return "raised", "the program wrote to the channel while it was loaded"


def _result(test: str, line: bytes, number: int, question: Question, tolerance: float) -> Result:
    if len(line) > question.longest:
        return Result(test, "wrong", "the answer is longer than any correct one")
    try:
        reply = read_reply(line, number)
    except Malformed as error:
        return Result(test, "wrong", f"the program's answer is malformed: {error}")
    if reply.raised:
        return Result(test, "wrong", f"it raised {reply.raised}")
    if question.is_answered_by(reply.wire, tolerance):
        return Result(test)
    return Result(test, "wrong", f"expected {_shortened(Reply(question.expected))}, found {_shortened(reply)}")


def _shortened(reply: Reply) -> str:
    text = to_line(reply.wire).decode()
    return text if len(text) <= 80 else f"{text[:80]}…"
