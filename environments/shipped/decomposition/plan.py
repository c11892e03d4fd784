"""Plan: steps that each do one small thing with inputs or with results of other steps, checked and executed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

MAX_STEPS = 40
MAX_ITEMS = 1000
"""Most numbers in a list that a step may make."""
MAX_NUMBER = 10**12
"""Largest number that a step may make."""
GOAL = "goal"
"""The id of the step whose result is the answer."""

Value = list[int] | int


class BadPlan(ValueError):
    """The plan cannot be carried out; the message says why."""


class Operation(NamedTuple):
    """What one step can do.

    Attributes:
        takes: for each input, whether it is a list.
        gives_list: whether the result is a list.
        by: whether it needs a number besides its inputs.
        phrase: how a goal describes its result; ``{0}`` and ``{1}`` are its inputs, ``{by}`` its number.
        meaning: what it does, for the prompt.
        run: (inputs, number) → result.
    """

    takes: tuple[bool, ...]
    gives_list: bool
    by: bool
    phrase: str
    meaning: str
    run: Callable[..., Value]


OPERATIONS: dict[str, Operation] = {
    "sort": Operation((True,), True, False, "{0} in rising order", "the list in rising order", lambda a, k: sorted(a)),
    "reverse": Operation((True,), True, False, "{0} read backwards", "the list backwards", lambda a, k: a[::-1]),
    "unique": Operation(
        (True,),
        True,
        False,
        "{0} without repeats",
        "only the first of equal numbers",
        lambda a, k: list(dict.fromkeys(a)),
    ),
    "above": Operation(
        (True,),
        True,
        True,
        "those of {0} that are above {by}",
        "the numbers above `by`",
        lambda a, k: [x for x in a if x > k],
    ),
    "below": Operation(
        (True,),
        True,
        True,
        "those of {0} that are below {by}",
        "the numbers below `by`",
        lambda a, k: [x for x in a if x < k],
    ),
    "add": Operation(
        (True,), True, True, "{0} with {by} added to each", "each number plus `by`", lambda a, k: [x + k for x in a]
    ),
    "multiply": Operation(
        (True,),
        True,
        True,
        "{0} with each multiplied by {by}",
        "each number times `by`",
        lambda a, k: [x * k for x in a],
    ),
    "first": Operation(
        (True,), True, True, "the first {by} of {0}", "the first `by` numbers", lambda a, k: a[: max(0, k)]
    ),
    "join": Operation(
        (True, True), True, False, "{0} followed by {1}", "one list behind the other", lambda a, b, k: a + b
    ),
    "sum": Operation((True,), False, False, "the sum of {0}", "the sum", lambda a, k: sum(a)),
    "largest": Operation(
        (True,),
        False,
        False,
        "the largest of {0}",
        "the largest number, 0 if there is none",
        lambda a, k: max(a, default=0),
    ),
    "smallest": Operation(
        (True,),
        False,
        False,
        "the smallest of {0}",
        "the smallest number, 0 if there is none",
        lambda a, k: min(a, default=0),
    ),
    "count": Operation((True,), False, False, "the length of {0}", "how many numbers there are", lambda a, k: len(a)),
    "plus": Operation(
        (False, False), False, False, "the total of {0} and {1}", "the first plus the second", lambda a, b, k: a + b
    ),
    "minus": Operation(
        (False, False), False, False, "{0} minus {1}", "the first minus the second", lambda a, b, k: a - b
    ),
    "times": Operation(
        (False, False), False, False, "the product of {0} and {1}", "the first times the second", lambda a, b, k: a * b
    ),
}


@dataclass(frozen=True)
class Step:
    """One step: an operation on inputs, which are names of lists or ids of other steps, and perhaps with a number."""

    operation: str
    of: tuple[str, ...]
    by: int = 0


def read_plan(value: Any, inputs: Sequence[str]) -> dict[str, Step]:
    """Return the steps of a decoded plan by id, each after those on which it depends.

    Args:
        value: a list of objects with ``id``, ``do``, ``of`` and, if needed, ``by``, in any order.
        inputs: the names of the lists that are given.

    Raises:
        BadPlan: a step is malformed, unknown, needless or depends on itself, or none is the goal.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MAX_STEPS:
        raise BadPlan(f"a plan is a list of 1 to {MAX_STEPS} steps")
    steps: dict[str, Step] = {}
    for entry in value:
        name, step = _read_step(entry)
        if name in steps or name in inputs:
            raise BadPlan(f"the id {name!r:.40} is taken twice")
        steps[name] = step
    for name, step in steps.items():
        for used in step.of:
            if used not in steps and used not in inputs:
                raise BadPlan(f"step {name!r:.40} uses {used!r:.40}, which is neither an input nor a step")
    if GOAL not in steps:
        raise BadPlan(f"no step has the id {GOAL!r}")
    try:
        order = list(TopologicalSorter({name: step.of for name, step in steps.items()}).static_order())
    except CycleError as error:
        raise BadPlan(f"steps depend on themselves: {' → '.join(error.args[1])[:100]}") from None
    needed = {GOAL}
    for name in reversed(order):
        needed |= set(steps[name].of) if name in needed and name in steps else set()
    if idle := sorted(set(steps) - needed):
        raise BadPlan(f"nothing needs the step {idle[0]!r:.40}")
    return {name: steps[name] for name in order if name in steps}


def _read_step(entry: Any) -> tuple[str, Step]:
    if not isinstance(entry, dict) or not set(entry) <= {"id", "do", "of", "by"}:
        raise BadPlan(f"a step has id, do, of and perhaps by, found {entry!r:.80}")
    name, do, of, by = entry.get("id"), entry.get("do"), entry.get("of"), entry.get("by")
    operation = OPERATIONS.get(do) if isinstance(do, str) else None
    if not isinstance(name, str) or not name or operation is None:
        raise BadPlan(f"a step has an id and one of the known operations, found {entry!r:.80}")
    if not isinstance(of, list) or len(of) != len(operation.takes) or not all(isinstance(each, str) for each in of):
        raise BadPlan(f"{do!r} takes {len(operation.takes)} inputs by name, found {of!r:.80}")
    if (by is not None) != operation.by or isinstance(by, bool) or not isinstance(by, int | None):
        raise BadPlan(f"{do!r} {'needs a whole number as' if operation.by else 'has no'} by, found {by!r:.40}")
    return name, Step(str(do), tuple(of), by or 0)


def execute(steps: Mapping[str, Step], inputs: Mapping[str, list[int]]) -> Value:
    """Return the result of the goal.

    Raises:
        BadPlan: a step gets a number instead of a list or the other way round, or its result is too large.
    """
    values: dict[str, Value] = dict(inputs)
    for name, step in steps.items():
        operation, given = OPERATIONS[step.operation], [values[used] for used in step.of]
        if [isinstance(each, list) for each in given] != list(operation.takes):
            raise BadPlan(f"step {name!r:.40}: {step.operation!r} takes {'lists' if operation.takes[0] else 'numbers'}")
        found = operation.run(*given, step.by)
        numbers = found if isinstance(found, list) else [found]
        if len(numbers) > MAX_ITEMS or any(abs(number) > MAX_NUMBER for number in numbers):
            raise BadPlan(f"step {name!r:.40} makes too much")
        values[name] = found
    return values[GOAL]


def rounds(steps: Mapping[str, Step]) -> int:
    """Return how many rounds the plan takes if all steps that can run at the same time do."""
    depth: dict[str, int] = {}
    for name, step in steps.items():
        depth[name] = 1 + max(depth.get(used, 0) for used in step.of)
    return depth[GOAL]
