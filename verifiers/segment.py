"""A segment: the exact tokens of one part of a conversation, with the sampler's data for each token."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DataError

_DTYPES: dict[str, Any] = {
    "tokens": np.int32,
    "sampled": np.bool_,
    "mask": np.bool_,
    "logprobs": np.float32,
    "versions": np.int32,
    "advantages": np.float32,
}


@dataclass(frozen=True, eq=False)
class Segment:
    """Arrays of one length, with one value for each token.

    Attributes:
        tokens: int32, the token ids, exactly as the sampler read and sampled them.
        sampled: bool, whether the policy sampled the token; otherwise it is context.
        mask: bool, whether the token enters the loss; a subset of ``sampled`` unless the environment sets it.
        logprobs: float32, from the sampler, after temperature; NaN where not sampled.
        versions: int32, the version of the weights that sampled the token; -1 where not sampled; never decreasing.
        temperature: the divisor of the logits before the softmax.
        agent: the agent whose tokens these are.
        trainable: whether the trainer may learn from the segment.
        advantages: float32, set by the environment and used without change; None to compute them from rewards.
        extra: further named arrays of the same length, such as reference logprobs, teacher logprobs or routing.

    Raises:
        DataError: a length, type or value is not valid.
    """

    tokens: npt.NDArray[np.int32]
    sampled: npt.NDArray[np.bool_]
    mask: npt.NDArray[np.bool_]
    logprobs: npt.NDArray[np.float32]
    versions: npt.NDArray[np.int32]
    temperature: float = 1.0
    agent: str = "policy"
    trainable: bool = True
    advantages: npt.NDArray[np.float32] | None = None
    extra: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", {name: np.asarray(value) for name, value in self.extra.items()})
        for name, dtype in _DTYPES.items():
            value = getattr(self, name)
            if value is None and name == "advantages":
                continue
            array = np.asarray(value)
            if array.dtype != dtype:
                array = _cast(name, array, dtype)
            object.__setattr__(self, name, array)
        length = self.tokens.shape
        if self.tokens.ndim != 1 or not self.tokens.size:
            raise DataError(f"a segment has one non-empty row of tokens, found shape {length}")
        for name, array in self._arrays():
            if array.shape != length:
                raise DataError(f"segment arrays have one length: tokens {length}, {name} {array.shape}")
        self._check_values()

    def _arrays(self) -> list[tuple[str, npt.NDArray[Any]]]:
        named = [(name, getattr(self, name)) for name in _DTYPES]
        return [(name, array) for name, array in named if array is not None] + list(self.extra.items())

    def _check_values(self) -> None:
        if self.tokens.min() < 0:
            raise DataError(f"token ids are not negative, found {int(self.tokens.min())}")
        if not np.isfinite(self.temperature) or self.temperature < 0:
            raise DataError(f"a segment's temperature is finite and not negative, found {self.temperature!r}")
        known = self.logprobs[self.sampled]
        bad = ~(np.isfinite(known) & (known <= 1e-3))  # float32 rounding may give a certain token a logprob above 0
        if bad.any():
            raise DataError(f"sampled tokens have finite logprobs of 0 or less, found {known[bad][0]}")
        if not np.isnan(self.logprobs[~self.sampled]).all():
            raise DataError("tokens that were not sampled have logprob NaN")
        versions = self.versions[self.sampled]
        if (versions < 0).any() or (np.diff(versions) < 0).any():
            raise DataError(f"versions of sampled tokens are 0 or more and never decrease, found {versions.tolist()}")
        if (self.versions[~self.sampled] != -1).any():
            raise DataError("tokens that were not sampled have version -1")
        if self.advantages is not None and not (finite := np.isfinite(self.advantages)).all():
            raise DataError(f"a segment's advantages are finite, found {self.advantages[~finite][0]}")

    def __len__(self) -> int:
        return int(self.tokens.size)

    def to_json(self) -> dict[str, Any]:
        """The segment as JSON; NaN becomes null."""
        row: dict[str, Any] = {"agent": self.agent, "trainable": self.trainable, "temperature": self.temperature}
        for name in _DTYPES:
            value = getattr(self, name)
            row[name] = None if value is None else _to_list(value)
        row["extra"] = {
            name: {"dtype": str(array.dtype), "values": _to_list(array)} for name, array in self.extra.items()
        }
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Segment":
        """The segment that ``to_json`` wrote."""
        arrays: dict[str, Any] = {
            name: None if row[name] is None else _from_list(row[name], dtype) for name, dtype in _DTYPES.items()
        }
        extra = {name: _from_list(entry["values"], np.dtype(entry["dtype"])) for name, entry in row["extra"].items()}
        plain: dict[str, Any] = {
            f.name: row[f.name] for f in fields(cls) if f.name in ("agent", "trainable", "temperature")
        }
        return cls(**arrays, **plain, extra=extra)


def _cast(name: str, array: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """Convert ``array`` to ``dtype`` without loss; floats or truth values are not accepted for integers."""
    integral = np.issubdtype(dtype, np.integer)
    if integral and not (np.issubdtype(array.dtype, np.integer) and array.dtype != np.bool_):
        raise DataError(f"segment {name} are integers, found {array.dtype}")
    if dtype is np.bool_ or array.dtype == object:
        raise DataError(f"segment {name} are {np.dtype(dtype)}, found {array.dtype}")
    if integral and array.size and (array.max() > np.iinfo(dtype).max or array.min() < np.iinfo(dtype).min):
        raise DataError(f"segment {name} fit {np.dtype(dtype)}, found {array.max()}")
    return array.astype(dtype)


def _to_list(array: npt.NDArray[Any]) -> list[Any]:
    if np.issubdtype(array.dtype, np.floating):
        return [None if value != value else value for value in array.tolist()]
    return array.tolist()  # type: ignore[no-any-return]


def _from_list(values: list[Any], dtype: Any) -> npt.NDArray[Any]:
    if np.issubdtype(dtype, np.floating):
        values = [np.nan if value is None else value for value in values]
    return np.asarray(values, dtype=dtype)
