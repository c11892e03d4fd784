"""Verifier for repaired JSON: valid under the schema, and otherwise unchanged."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar

from ..case import Case
from ..errors import DataError
from ..json_data.schema import check_schema, faults
from ..json_data.text import NotJson, json_key, read_json
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .instructions.wording import strip_fence
from .think import split_reasoning

Path = tuple[str | int, ...]
_MISSING = object()


@verifier("json_repair")
@dataclass(frozen=True)
class JsonRepair:
    """The answer is one JSON value that is valid under ``info["schema"]`` and equals ``task.answer`` where it must.

    ``task.answer`` is the intact value. ``info["free"]`` lists the places, each as a list of keys and indices, whose
    value was lost, so that any valid one will do there. ``info["damages"]`` counts the damages that were done: an
    answer that is valid, but changes something else, loses its share of the score for every place.

    Example:
        {"verifier": "json_repair", "completion": "{\\"age\\": 4}", "answer": {"age": 4},
         "info": {"schema": {"type": "object", "properties": {"age": {"type": "integer"}}}}} -> 1.0
        {"verifier": "json_repair", "completion": "{\\"age\\": 5}", "answer": {"age": 4},
         "info": {"schema": {"type": "object", "properties": {"age": {"type": "integer"}}}}} -> 0.0
    """

    row_params: ClassVar[frozenset[str]] = frozenset()

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if there is no schema, or if the intact value is not valid under it."""
        schema, _, _ = _of(info)
        if found := faults(answer, schema):
            raise DataError(f"the task's answer is not valid under its schema: {found[0]}; repair the dataset")

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong`` with the faults or with a part of the score, ``unparseable`` or ``limit``."""
        try:
            schema, free, damages = _of(case.task.info)
        except DataError as error:
            return infra_error(str(error))
        try:
            value = read_json(strip_fence(split_reasoning(case.completion)[1]))
        except NotJson as error:
            return unparseable(f"the answer is not one JSON value: {error!s:.120}")
        if found := faults(value, schema):
            reasons = [str(fault)[:200] for fault in found[:10]]
            if any(fault.kind == "limit" for fault in found):
                return Verdict(0.0, "limit", reasons[0], {"faults": reasons})
            return wrong(f"{len(found)} faults, the first: {reasons[0]:.160}", faults=reasons)
        changed = [".".join(map(str, place)) or "$" for place in changes(value, case.answer, free)]
        if changed:
            score = max(0.0, 1.0 - len(changed) / damages)
            return wrong(f"{len(changed)} places are changed without need: {', '.join(changed):.160}", score)
        return passed("valid, and changed no more than it must be")


def changes(value: Any, intact: Any, free: Collection[Path], place: Path = ()) -> Iterator[Path]:
    """Yield the places at which ``value`` differs from ``intact``, except those in ``free`` and inside of them."""
    if place in free:
        return
    if isinstance(value, dict) and isinstance(intact, dict):
        for key in {**intact, **value}:
            yield from changes(value.get(key, _MISSING), intact.get(key, _MISSING), free, (*place, key))
    elif isinstance(value, list) and isinstance(intact, list):
        for number, (one, other) in enumerate(zip_longest(value, intact, fillvalue=_MISSING)):
            yield from changes(one, other, free, (*place, number))
    elif value is _MISSING or intact is _MISSING or json_key(value) != json_key(intact):
        yield place


def _of(info: Mapping[str, Any]) -> tuple[Any, frozenset[Path], int]:
    """The schema, the free places, and the number of damages of a task."""
    schema, free, damages = info.get("schema"), info.get("free", []), info.get("damages", 1)
    if not isinstance(schema, dict):
        raise DataError(f"the task's info has no schema, found {schema!r:.80}; repair the dataset")
    check_schema(schema)
    if not isinstance(free, list) or not all(isinstance(place, list) for place in free):
        raise DataError(f"info['free'] lists places, each a list of keys and indices, found {free!r:.80}")
    if isinstance(damages, bool) or not isinstance(damages, int) or damages < 1:
        raise DataError(f"info['damages'] is a number of at least 1, found {damages!r:.80}")
    return schema, frozenset(tuple(place) for place in free), damages
