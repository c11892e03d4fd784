"""The verifiers that a row of a dataset names for its own task; rows are data, and are not trusted.

A row may choose verifiers and set the right answers, but nothing that concerns the machine. It can name only a verifier
whose class lists, in ``row_params``, the parameters that rows may set; a class without that attribute cannot be named,
and a row never causes an import of an installed package. Limits, sandboxes, patterns, other verifiers, paths and
addresses are never in such a list: only the config sets them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..case import Case
from ..errors import ConfigError, DataError, nearest
from ..registry import Verifier, imported_verifiers, make_verifier, verifier_class
from ..task import Task

PREFIX = "task/"
"""The prefix of the labels of a task's own verifiers; no other label may begin with it."""
MAX_ENTRIES = 16
"""How many verifiers one task may have."""
MAX_WEIGHT = 10.0
"""The largest weight that a row may set; the smallest is 0."""
_KEYS = frozenset({"verifier", "answer", "params", "weight"})


class Entry(NamedTuple):
    """One verifier that a row names for its task.

    Attributes:
        label: ``task/`` and the verifier's name, with a number if the name occurs again.
        weight: 0 makes it a metric.
        name: the name of the verifier.
        params: its parameters.
        expected: the expected answer; the task's answer unless the row sets another one.
    """

    label: str
    weight: float
    name: str
    params: Mapping[str, Any]
    expected: Any

    def verifier(self) -> Verifier:
        """Make the verifier.

        Raises:
            DataError: a row may not name this verifier or these parameters, or their values are impossible.
        """
        try:
            return _make(self.name, self.params)
        except ConfigError as error:
            raise DataError(f"{self.label}: {error}") from None

    def case(self, case: Case) -> Case:
        """The input for this verifier: ``case`` with the row's expected answer and parameters."""
        return replace(case, expected=(self.expected,), params=dict(self.params))


def entries(task: Task) -> list[Entry]:
    """The task's own verifiers, in order.

    Raises:
        DataError: an entry is malformed; the message names the value.
    """
    if len(task.verify) > MAX_ENTRIES:
        raise DataError(f"a task has at most {MAX_ENTRIES} own verifiers, found {len(task.verify)}")
    found: list[Entry] = []
    for row in task.verify:
        name, weight, params = _check(row)
        before = sum(entry.name == name for entry in found)
        label = f"{PREFIX}{name}" + (f".{before + 1}" if before else "")
        found.append(Entry(label, weight, name, params, row.get("answer", task.answer)))
    return found


def check_entries(task: Task, verifiers: Iterable[Verifier] = ()) -> None:
    """Check that each of the task's own verifiers can be made, and that the expected answers can be used.

    Args:
        task: the task.
        verifiers: those of the environment, which judge the task's answer too.

    Raises:
        DataError: one of them cannot; the message names the task, the value and the cure.
    """
    try:
        own = [(entry.verifier(), entry.expected) for entry in entries(task)]
        for verifier, expected in [*own, *((verifier, task.answer) for verifier in verifiers)]:
            if hasattr(verifier, "check_expected"):
                verifier.check_expected(expected, task.info)
    except DataError as error:
        raise DataError(f"task {task.id}: {error}") from None


def row_verifiers() -> list[str]:
    """The names of the verifiers that a row may use."""
    return [name for name in imported_verifiers() if hasattr(verifier_class(name), "row_params")]


def _make(name: str, params: Mapping[str, Any]) -> Verifier:
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


def _check(row: Any) -> tuple[str, float, dict[str, Any]]:
    """Name, weight and parameters of a valid entry."""
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
