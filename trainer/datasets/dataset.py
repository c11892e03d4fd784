"""The rows of a run as examples, with a count of those that were left out and a digest of the others."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np

from ...rollout.chats.renderer import Renderer
from ...verifiers.errors import ConfigError, DataError
from ...verifiers.rows.row_file import read_placed_rows
from ..learner.pair import Pair
from ..learner.sample import Sample
from .config import DataConfig
from .conversation import plain_sample
from .demonstration import Demonstration
from .row_files import has_padded_objects, row_files
from .row_message import without_nulls


class Example(Protocol):
    """What one row trains."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples of the row."""
        ...


AnyExample = TypeVar("AnyExample", Demonstration, Pair)
Reader = Callable[[Mapping[str, Any], Renderer], AnyExample]


@dataclass(frozen=True, eq=False)
class Rows(Generic[AnyExample]):
    """The examples of one split.

    Attributes:
        examples: of the rows that are kept, in the files' order.
        counts: ``read``, ``kept``, ``cut`` to the context, and left out because they were too ``long``, ``untrained``
            (no token is trained), or ``equal`` (both replies are the same).
    """

    examples: list[AnyExample] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, int]:
        """Return the counts of rows and tokens."""
        samples = [sample for example in self.examples for sample in example.samples]
        tokens = {
            "tokens": sum(one.tokens.size for one in samples),
            "trained": sum(int(one.mask.sum()) for one in samples),
        }
        return {**self.counts, "kept": len(self.examples), **tokens}

    def __str__(self) -> str:
        left_out = {"long": "too long", "untrained": "without a trained token", "equal": "with two equal replies"}
        parts = [f"{self.counts[name]} {text}" for name, text in left_out.items() if self.counts[name]]
        cut = f", {self.counts['cut']} cut" if self.counts["cut"] else ""
        return f"{len(self.examples)} of {self.counts['read']} rows" + (f" ({', '.join(parts)})" if parts else "") + cut


def read_splits(
    config: DataConfig, context: int, seed: int, renderer: Renderer, read: Reader[AnyExample]
) -> tuple[Rows[AnyExample], Rows[AnyExample]]:
    """Read the rows that are trained on, and those for validation.

    Args:
        config: where they are.
        context: the most tokens of a sample.
        seed: chooses the rows that are held back.
        renderer: renders the model's chat template.
        read: makes an example of a row.

    Raises:
        ConfigError: a path holds no file of rows, or no row is left to train on.
        DataError: a row is not valid. The message names file, row and column.
    """
    rows = read_rows(config.path, context, config.overlong, renderer, read)
    if config.validation is not None:
        held_back = read_rows(config.validation, context, config.overlong, renderer, read)
    else:
        rows, held_back = _split(rows, config.validation_share, seed)
    for found, what in ((rows, "data.path"), (held_back, "the validation")):
        needed = found is rows or config.validation is not None or config.validation_share
        if needed and not found.examples:
            raise ConfigError(
                f"no row of {what} is left ({rows} of {config.path}); raise model.context, set data.overlong = 'cut', "
                "or choose other rows"
            )
    return rows, held_back


def read_rows(
    path: Path, context: int, overlong: Literal["drop", "cut"], renderer: Renderer, read: Reader[AnyExample]
) -> Rows[AnyExample]:
    """Read all rows of a file or a folder; raises as ``read_splits`` does."""
    rows: Rows[AnyExample] = Rows()
    for place, row in _placed_rows(path):
        rows.counts["read"] += 1
        try:
            example = read(row, renderer)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        except RecursionError:
            raise DataError(f"{place}: a value is nested too deeply; repair or remove the row") from None
        if example := _fitting(example, context, overlong, rows.counts):  # type: ignore[assignment]
            rows.examples.append(example)
    return rows


def digest(examples: Iterable[Example]) -> str:
    """Return a digest of all tokens and of which of them are trained."""
    whole = hashlib.blake2b(digest_size=8)
    for example in examples:
        for sample in example.samples:
            whole.update(np.asarray([sample.tokens.size], np.int64).tobytes())
            whole.update(sample.tokens.tobytes() + np.packbits(sample.mask).tobytes())
        whole.update(b"|")
    return whole.hexdigest()


def _placed_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for file in row_files(path):
        padded = has_padded_objects(file)
        for place, row in read_placed_rows(file):
            yield place, without_nulls(row) if padded else row


def _split(rows: Rows[AnyExample], share: float, seed: int) -> tuple[Rows[AnyExample], Rows[AnyExample]]:
    """Hold back a share of the rows; both parts keep the files' order."""
    count = round(share * len(rows.examples))
    if share and rows.examples:
        count = max(1, count)
    order = np.random.default_rng([seed, 0x5B117]).permutation(len(rows.examples))
    chosen = set(order[:count].tolist())
    parts = [[one for number, one in enumerate(rows.examples) if (number in chosen) is held] for held in (False, True)]
    return Rows(parts[0], rows.counts - Counter(read=count)), Rows(parts[1], Counter(read=count))


def _fitting(
    example: AnyExample, context: int, overlong: Literal["drop", "cut"], counts: Counter[str]
) -> AnyExample | None:
    """The example with samples of at most ``context`` tokens; None if it is left out, which is counted."""
    sides = example.sides
    if not all(sides):
        counts["untrained"] += 1
        return None
    if len(sides) > 1 and _same(sides[0], sides[1]):
        counts["equal"] += 1
        return None
    if all(sample.tokens.size <= context for side in sides for sample in side):
        return example
    cut = [_cut(side, context) for side in sides]
    if overlong == "drop" or not all(cut) or (len(cut) > 1 and _same(cut[0], cut[1])):
        counts["long"] += 1
        return None
    counts["cut"] += 1
    return example.with_sides(cut)


def _cut(samples: Sequence[Sample], context: int) -> tuple[Sample, ...]:
    short = ((one.tokens[:context].copy(), one.mask[:context].copy()) for one in samples)
    return tuple(plain_sample(tokens, mask) for tokens, mask in short if mask.any())


def _same(one: Sequence[Sample], other: Sequence[Sample]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(left.tokens, right.tokens) and np.array_equal(left.mask, right.mask)
        for left, right in zip(one, other, strict=True)
    )
