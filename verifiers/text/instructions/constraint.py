"""Kind of verifiable instruction: its name, its parameters, and a check of whether a text follows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ...errors import DataError, nearest

Check = Callable[..., bool]

RELATIONS: Mapping[str, Callable[[int, int], bool]] = {
    "at least": lambda found, asked: found >= asked,
    "at most": lambda found, asked: found <= asked,
    "less than": lambda found, asked: found < asked,
    "more than": lambda found, asked: found > asked,
    "exactly": lambda found, asked: found == asked,
    "around": lambda found, asked: abs(found - asked) <= max(1, round(asked / 10)),
}
"""Relations between a count and the requested number; "around" allows a difference of a tenth, and at least 1."""


@dataclass(frozen=True)
class Constraint:
    """A kind of instruction.

    Attributes:
        name: the name used in datasets, such as ``keywords:existence``.
        params: parameter → function that reads it from JSON; each is required unless it is in ``defaults``.
        defaults: parameter → default value.
        check: (text, **parameters) → whether the text follows the instruction.
        package: a package that the check needs, which the extra ``ifbench`` installs; empty if there is none.
    """

    name: str
    params: Mapping[str, Callable[[Any], Any]]
    defaults: Mapping[str, Any]
    check: Check
    package: str = ""

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of one instruction; null counts as not given.

        Raises:
            DataError: a parameter is missing, unknown or of the wrong kind, or the package is not installed.
        """
        if self.package and find_spec(self.package) is None:
            cure = "pip install 'lachesis-rl[ifbench]', or drop such rows"
            raise DataError(f"instruction {self.name!r} needs the package {self.package}: {cure}")
        values = dict(self.defaults)
        for name, value in given.items():
            if value is None:
                continue
            if name not in self.params:
                raise DataError(f"instruction {self.name!r} has no parameter {name!r}; {nearest(name, self.params)}")
            try:
                values[name] = self.params[name](value)
            except (TypeError, ValueError, OverflowError) as error:
                raise DataError(f"instruction {self.name!r}: {name} {error}, found {value!r:.80}") from None
        for name in self.params:
            if name not in values:
                raise DataError(f"instruction {self.name!r} needs the parameter {name!r}; add it to the row")
        return values


CONSTRAINTS: dict[str, Constraint] = {}
"""All kinds by name; filled by the modules that define them."""


def constraint(
    name: str, defaults: Mapping[str, Any] | None = None, package: str = "", **params: Callable[[Any], Any]
) -> Callable[[Check], Check]:
    """Register the decorated check as the kind ``name`` with these parameters."""

    def add(check: Check) -> Check:
        CONSTRAINTS[name] = Constraint(name, params, defaults or {}, check, package)
        return check

    return add


def as_text(value: Any) -> str:
    """Return text that is not blank; a list of one text is accepted, since some datasets write it so."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text that is not blank")
    return value.strip()


def as_texts(value: Any) -> tuple[str, ...]:
    """Return several texts; a single text may be given without a list."""
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise ValueError("must be a list of texts that is not empty")
    return tuple(map(as_text, items))


def as_letter(value: Any) -> str:
    """Return a single character."""
    if not isinstance(value, str) or len(value.strip()) != 1:
        raise ValueError("must be one character")
    return value.strip()


def as_count(value: Any) -> int:
    """Return a non-negative integer; 3.0 is read as 3, since tables write it so."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise ValueError("must be a whole number that is not negative")
    return int(value)


def as_place(value: Any) -> int:
    """Return a whole number of at least 1."""
    place = as_count(value)
    if not place:
        raise ValueError("must be a whole number of at least 1")
    return place


def as_relation(value: Any) -> Callable[[int, int], bool]:
    """Return one of ``RELATIONS``."""
    if value not in RELATIONS:
        raise ValueError(f"must be one of {', '.join(RELATIONS)}")
    return RELATIONS[value]
