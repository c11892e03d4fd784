"""The verifiers that a task brings with it, as its dataset's row names them: judged like the rubric's, never trusted.

A row is data. It chooses among verifiers and says what is right; it says nothing of machines. A class can be named by a
row only if it lists, in ``row_params``, the parameters that a row may give; one without that attribute cannot be named
at all, and an installed package's is not even imported. Limits, sandboxes, patterns, other verifiers, paths and
addresses are never in such a list: they are the config's.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..case import Case
from ..errors import ConfigError, DataError, nearest
from ..registry import Verifier, imported_verifiers, make_verifier, verifier_class
from ..task import Task

PREFIX = "task/"
"""What the labels of a task's own verifiers begin with; no other reward's label may."""
MAX_ENTRIES = 16
"""Most verifiers of one task."""
MAX_WEIGHT = 10.0
"""The largest weight that a row may give; it may give none below 0."""
_KEYS = frozenset({"verifier", "answer", "params", "weight"})


class Entry(NamedTuple):
    """One verifier of a task's own.

    Attributes:
        label: ``task/`` and the verifier's name, with a number where the name comes again.
        weight: 0 makes it a metric.
        name: the verifier's.
        params: its parameters, of those that a row may give.
        expected: what is right; the task's answer where the row gives no other.
    """

    label: str
    weight: float
    name: str
    params: Mapping[str, Any]
    expected: Any

    def verifier(self) -> Verifier:
        """The verifier, made.

        Raises:
            DataError: a row may not name it, or not these parameters; or they cannot be.
        """
        try:
            return _made(self.name, self.params)
        except ConfigError as error:
            raise DataError(f"{self.label}: {error}") from None

    def case(self, case: Case) -> Case:
        """What the verifier gets to see."""
        return replace(case, expected=(self.expected,), params=dict(self.params))


def entries(task: Task) -> list[Entry]:
    """The task's own verifiers, in order; those of a task that could be made have the right shape.

    Raises:
        DataError: an entry that cannot be, with the value.
    """
    if len(task.verify) > MAX_ENTRIES:
        raise DataError(f"a task has at most {MAX_ENTRIES} verifiers of its own, found {len(task.verify)}")
    found: list[Entry] = []
    for row in task.verify:
        name, weight, params = _checked(row)
        before = sum(entry.name == name for entry in found)
        label = f"{PREFIX}{name}" + (f".{before + 1}" if before else "")
        found.append(Entry(label, weight, name, params, row.get("answer", task.answer)))
    return found


def check_entries(task: Task) -> None:
    """See that each verifier of the task's own can be had.

    Raises:
        DataError: one cannot; the message names the task, the value and what could be.
    """
    try:
        for entry in entries(task):
            entry.verifier()
    except DataError as error:
        raise DataError(f"task {task.id}: {error}") from None


def row_verifiers() -> list[str]:
    """The names that a row may use."""
    return [name for name in imported_verifiers() if hasattr(verifier_class(name), "row_params")]


def _made(name: str, params: Mapping[str, Any]) -> Verifier:
    if name not in imported_verifiers() or not hasattr(verifier_class(name), "row_params"):
        raise DataError(f"a row cannot name the verifier {name!r}; {nearest(name, row_verifiers())}")
    allowed = verifier_class(name).row_params  # type: ignore[attr-defined]
    for param in params:
        if param not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise DataError(
                f"a row cannot set {param!r} of verifier {name!r} (it may set: {known}); use(…) in the rubric can"
            )
    return make_verifier(name, dict(params))


def _checked(row: Any) -> tuple[str, float, dict[str, Any]]:
    """Name, weight and parameters of an entry."""
    if not isinstance(row, dict) or not isinstance(row.get("verifier"), str):
        raise DataError(f"a task's verifier is an object with a text 'verifier', found {row!r:.80}")
    for key in row:
        if key not in _KEYS:
            raise DataError(f"a task's verifier has no {key!r}; {nearest(str(key), _KEYS)}")
    weight, params = row.get("weight", 1.0), row.get("params") or {}
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MAX_WEIGHT:
        raise DataError(f"the weight of a task's verifier is from 0 to {MAX_WEIGHT:g}, found {weight!r:.80}")
    if not isinstance(params, dict):
        raise DataError(f"the params of a task's verifier are an object, found {params!r:.80}")
    return row["verifier"], float(weight), params
