"""A function that is called with each test's arguments, in a job that never sees what is expected."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..sandbox.job import MIB
from ..sandbox.protocol import Sandbox, Session, SessionEnded
from ..verdict import Verdict, unparseable
from .budget import Budget, source, spent
from .inside.wire import encode
from .reply import Malformed, Reply, read_message, read_reply, same, to_line
from .suite import Pair
from .tally import Result, judged, tally

_RESTARTS = 8
"""How often a job that died is followed by a new one."""


@dataclass(frozen=True)
class Question:
    """One test as it crosses: the request's arguments, and the expected value, which does not."""

    arguments: Any
    expected: Any
    longest: int


@dataclass
class Talk:
    """What one job said: the results until it ended, or why there are none.

    Attributes:
        failed: (kind, text) where the program was not loaded.
        ended: whether the job ended before it had answered all.
    """

    results: list[Result] = field(default_factory=list)
    failed: tuple[str, str] = ("", "")
    ended: bool = False


async def check_calls(
    sandbox: Sandbox, program: str, name: str, pairs: Sequence[Pair], budget: Budget, policy: str, tolerance: float
) -> Verdict:
    """Call ``name`` of ``program``, or that method of its class ``Solution``, with the arguments of each pair."""
    questions = [_question(pair) for pair in pairs]
    load = [[], [program], [name], budget.timeout]
    most = max(len(to_line(load)), *(max(len(to_line(q.arguments)), q.longest) for q in questions)) + MIB
    left, results = budget.total, list[Result]()
    for _ in range(_RESTARTS):
        drive = partial(_ask_all, load, name, questions, len(results), policy, tolerance)
        job = budget.job(source("wire", "candidate"), left, most)
        talk, executions = await sandbox.converse([job], drive)
        left -= spent(executions[0])
        if talk is None:
            talk = Talk(ended=True)
        if talk.failed[0] == "syntax":
            return unparseable(f"the program does not compile: {talk.failed[1]}")
        results += talk.results
        if talk.failed[0]:
            return tally([Result("loading", "wrong", talk.failed[1])], len(questions), policy, format="call")
        if talk.ended:
            results.append(Result(f"test {len(results) + 1}", *judged(executions[0])))
        failed = results[-1].status != "ok"
        if len(results) == len(questions) or (failed and policy == "all") or results[-1].status == "infra_error":
            break
        if left <= 0:
            results.append(Result(f"test {len(results) + 1}", "timeout", "the seconds of all tests are used up"))
            break
    return tally(results, len(questions), policy, format="call")


def _question(pair: Pair) -> Question:
    expected = encode(pair.expected)
    arguments = encode((tuple(pair.given), {}))
    return Question(arguments, expected, 8 * len(to_line(expected)) + 4096)


def _ask_all(
    load: list[Any],
    name: str,
    questions: list[Question],
    first: int,
    policy: str,
    tolerance: float,
    sessions: Sequence[Session],
) -> Talk:
    """Ask from question ``first`` on: one at a time, so that the job knows no input before it answered the last."""
    talk, session = Talk(), sessions[0]
    try:
        talk.failed = loading(session, load)
        if talk.failed[0]:
            return talk
        for number in range(first, len(questions)):
            question = questions[number]
            line = session.ask(to_line([number, "call", None, name, question.arguments]))
            talk.results.append(_result(f"test {number + 1}", line, number, question, tolerance))
            if policy == "all" and talk.results[-1].status != "ok":
                return talk
    except SessionEnded:
        talk.ended = True
    return talk


def loading(session: Session, load: list[Any]) -> tuple[str, str]:
    """Load the program: ("", "") where that went well, else the kind of failure and a text."""
    try:
        match read_message(session.ask(to_line(load))):
            case ["loaded"]:
                return "", ""
            case ["failed", "syntax", str(text)]:
                return "syntax", ascii(text[:200])[1:-1]
            case ["failed", "missing", str(text)]:
                return "missing", f"the program defines no {text[:100]}"
            case ["failed", "raised", str(text)]:
                return "raised", f"the program raised {ascii(text[:100])[1:-1]} as it was loaded"
    except Malformed:
        pass
    return "raised", "the program wrote to the channel as it was loaded"


def _result(test: str, line: bytes, number: int, question: Question, tolerance: float) -> Result:
    if len(line) > question.longest:
        return Result(test, "wrong", "the answer is longer than any right one")
    try:
        reply = read_reply(line, number)
    except Malformed as error:
        return Result(test, "wrong", f"the program answered the wrong way: {error}")
    if reply.raised:
        return Result(test, "wrong", f"it raised {reply.raised}")
    if same(reply.wire, question.expected, tolerance):
        return Result(test)
    return Result(test, "wrong", f"expected {_shown(Reply(question.expected))}, found {_shown(reply)}")


def _shown(reply: Reply) -> str:
    text = to_line(reply.wire).decode()
    return text if len(text) <= 80 else f"{text[:80]}…"
