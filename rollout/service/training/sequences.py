"""The lists of a ScoredData, checked: what is wrong is named by field and index."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....verifiers.errors import DataError

Json = Mapping[str, Any]
Floats = npt.NDArray[np.float32]

MOST = 1e9
"""Largest size of a score or an advantage: the square of a larger one may not be finite."""


def rows_of(data: Json, name: str, size: int) -> Sequence[Any] | None:
    """One value for each sequence; None where the field is absent."""
    rows = data.get(name)
    if rows is None or (isinstance(rows, Sequence) and not len(rows)):
        return None
    if not isinstance(rows, Sequence) or isinstance(rows, str) or len(rows) != size:
        found = len(rows) if isinstance(rows, Sequence) else repr(rows)[:80]
        raise DataError(f"{name}: one value for each of the {size} sequences, found {found}")
    return rows


def rows_up_to(data: Json, name: str, size: int) -> Sequence[Any]:
    """Like ``rows_of``, but the last sequences may have none, as in the reference."""
    rows = data.get(name) or ()
    if not isinstance(rows, Sequence) or len(rows) > size:
        raise DataError(f"{name}: at most one object for each of the {size} sequences, found {rows!r:.80}")
    for place, row in enumerate(rows):
        if row is not None and not isinstance(row, Mapping):
            raise DataError(f"{name}[{place}]: an object, found {row!r:.80}")
    return rows


def integers(rows: Sequence[Any] | None, name: str, place: int, length: int = 0) -> npt.NDArray[np.int64]:
    """One sequence's integers: ``length`` of them, or one or more if that is 0."""
    if rows is None:
        raise DataError(f"{name}: one list for each sequence, found none")
    array = array_of(rows[place], f"{name}[{place}]", "iu")
    if not array.size or (length and array.size != length):
        raise DataError(f"{name}[{place}]: {length or 'one or more'} values, found {array.size}")
    return array.astype(np.int64)


def floats(data: Json, name: str, place: int, size: int, length: int, within: float = MOST) -> Floats | None:
    """One sequence's numbers, one for each of ``length`` tokens; None where the field is absent."""
    if (rows := rows_of(data, name, size)) is None:
        return None
    array = finite(rows[place], f"{name}[{place}]", within)
    if array.size != length:
        raise DataError(f"{name}[{place}]: {length} values, one a token, found {array.size}")
    return array


def finite(values: Any, place: str, within: float) -> Floats:
    """A list of finite numbers of at most the size ``within``; ``place`` names it."""
    array = array_of(values, place, "iuf")
    bad = ~np.isfinite(array) | (np.abs(array) > within)
    if bad.any():
        at = int(bad.argmax())
        raise DataError(f"{place}[{at}]: a finite number within ±{within:g}, found {array[at]}")
    return array.astype(np.float32)


def score_of(value: Any, place: int) -> float:
    """The score of the sequence at ``place``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) <= MOST:
        raise DataError(f"scores[{place}]: a finite number within ±{MOST:g}, found {value!r:.80}")
    return float(value)


def array_of(values: Any, place: str, kinds: str) -> npt.NDArray[Any]:
    """A flat array whose NumPy kind is among ``kinds``; ``place`` names it."""
    wanted = "integers" if kinds == "iu" else "numbers"
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str):
        raise DataError(f"{place}: a list of {wanted}, found {values!r:.80}")
    try:
        array = np.asarray(values)
    except ValueError:  # lists of several lengths inside
        raise DataError(f"{place}: a list of {wanted}, found {values!r:.80}") from None
    if array.size and (array.ndim != 1 or array.dtype.kind not in kinds):
        raise DataError(f"{place}: a list of {wanted}, found {values!r:.80}")
    return array.reshape(-1)
