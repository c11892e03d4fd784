"""Interactive problems: the program and an interactor of the dataset talk to each other, each in a job of its own."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ...sandbox.job import MIB, Execution
from ...sandbox.protocol import Sandbox, Session, SessionEnded
from ...verdict import Verdict
from ..budget import Budget, seconds_used
from ..suite import Pair
from ..tally import Result, status_of_job, tally
from .checker import EXPECTED, GIVEN, OUTPUT, Checker, failure_of, read_exit, why_of
from .executable import Executable

MOST_BYTES = 4 * MIB
"""Bytes that each side may send."""
_WAIT = 0.005
"""Seconds to wait for one side before the other is looked at."""
_PROGRAM, _INTERACTOR = 0, 1


@dataclass
class Exchange:
    """What passed between the program (0) and the interactor (1).

    Attributes:
        sent: the bytes that each of them sent.
        ended: who ended, in that order.
        flooded: who sent more than ``MOST_BYTES``, None if neither did.
    """

    sent: list[int] = field(default_factory=lambda: [0, 0])
    ended: list[int] = field(default_factory=list)
    flooded: int | None = None

    @property
    def undisturbed(self) -> bool:
        """Whether the interactor ended before the program had sent anything or ended."""
        return not self.sent[_PROGRAM] and self.ended[:1] == [_INTERACTOR]


def relay(sessions: Sequence[Session]) -> Exchange:
    """Pass on what each side writes until both have ended. If one ends, the other reads end of file."""
    exchange, side = Exchange(), _PROGRAM
    while len(exchange.ended) < 2:
        other = 1 - side
        try:
            data = sessions[side].receive(_WAIT if other not in exchange.ended else 60 * _WAIT)
        except SessionEnded:
            exchange.ended.append(side)
            sessions[other].close()
            side = other
            continue
        exchange.sent[side] += len(data)
        if exchange.sent[side] > MOST_BYTES:
            exchange.flooded = side
            break
        if data:
            with suppress(SessionEnded):
                sessions[other].write(data)
        side = side if other in exchange.ended else other
    return exchange


async def check_interaction(
    sandbox: Sandbox,
    program: Executable,
    interactor: Checker,
    checker: Checker | None,
    pairs: Sequence[Pair],
    budget: Budget,
    policy: str,
) -> Verdict:
    """Let the program talk to the interactor once for each pair.

    The interactor gets the pair as files, and its exit code is the verdict, as testlib has it. If there is a checker,
    it judges what an interactor that accepts wrote to its output file.

    Raises:
        DataError, ConfigError, SandboxLost: the interactor or the checker cannot be built, or the sandbox failed.
    """
    talker = await interactor.build(sandbox)
    left, results = budget.total, list[Result]()
    for number, pair in enumerate(pairs, 1):
        name = f"test {number}"
        if left <= 0:
            results.append(Result(name, "timeout", f"the {budget.total:g} s for all tests are used up"))
            break
        seconds = min(budget.timeout, left)
        files = {file: text.encode(errors="replace") for file, text in ((GIVEN, pair.given), (EXPECTED, pair.expected))}
        jobs = [
            program.job(budget, joined=True, output=MOST_BYTES, seconds=seconds, wait=2 * budget.timeout),
            talker.job(
                budget, GIVEN, OUTPUT, EXPECTED, files=files, joined=True, output=MOST_BYTES, catch=True,
                wait=4 * budget.timeout,
            ),
        ]  # fmt: skip
        exchange, executions = await sandbox.converse(jobs, relay)
        left -= seconds_used(executions[_PROGRAM])
        result = _result(name, budget, exchange or Exchange(), *executions)
        if result.status == "ok" and checker:
            written = executions[_INTERACTOR].files.get(OUTPUT, b"").decode(errors="replace")
            result = await checker.judge(sandbox, budget, name, pair, written)
        results.append(result)
        if result.status == "infra_error" or (policy == "all" and result.status != "ok"):
            break
    return tally(results, len(pairs), policy, format="interactive")


def _result(name: str, budget: Budget, exchange: Exchange, program: Execution, interactor: Execution) -> Result:
    for done in (program, interactor):
        if done.status == "infra_error":
            return Result(name, "infra_error", done.reason)
    if exchange.flooded is not None:
        who = "the program" if exchange.flooded == _PROGRAM else "the interactor"
        return Result(name, "limit", f"{who} sent more than {MOST_BYTES >> 20} MiB")
    accepts, crashed = read_exit(interactor)
    waited = interactor.status == "timeout" and interactor.usage.cpu <= budget.timeout
    if crashed and exchange.undisturbed and not waited:  # while it waits, nothing but the program is at fault
        why = failure_of(interactor, "the interactor")[1]
        return Result(name, "infra_error", f"{why}, before the program had sent anything; repair the dataset")
    status, reason = status_of_job(program)
    if status in ("timeout", "limit") and (accepts or exchange.ended[:1] == [_PROGRAM]):
        return Result(name, status, reason)
    if crashed:
        return Result(name, *failure_of(interactor, "the interactor"))
    if not accepts:
        return Result(name, "wrong", f"the interactor refuses it{why_of(interactor)}")
    return Result(name) if program.status == "ok" else Result(name, status, reason)
