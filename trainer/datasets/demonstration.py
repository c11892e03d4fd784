"""A row of supervised training: a conversation, a prompt with its completion, or token ids with labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...rollout.chats.renderer import Renderer
from ...verifiers.errors import DataError, nearest
from ..learner.sample import Sample
from .conversation import conversation_samples, plain_sample
from .row_message import read_messages, read_tools

UNTRAINED = -100
"""The label of a token that is not trained."""


@dataclass(frozen=True, eq=False)
class Demonstration:
    """The samples of one row; none if the row trains no token."""

    samples: tuple[Sample, ...]

    @property
    def sides(self) -> tuple[tuple[Sample, ...], ...]:
        """The samples by replies that are compared: here all in one."""
        return (self.samples,)

    def with_sides(self, sides: Sequence[tuple[Sample, ...]]) -> "Demonstration":
        """Return it with other samples."""
        return Demonstration(sides[0])


def read_demonstration(row: Mapping[str, Any], renderer: Renderer) -> Demonstration:
    """Read a row with ``input_ids`` and ``labels``, with ``messages``, or with ``prompt`` and ``completion``.

    If a row has several of these forms, the first of them counts. Other columns except ``tools`` are left out.

    Raises:
        DataError: it has none of these forms, or a column is not valid. The message names the column.
    """
    given = {name for name, value in row.items() if value is not None}
    if "input_ids" in given:
        return Demonstration(tuple(_token_samples(row, renderer)))
    if "messages" in given:
        items = read_messages(row["messages"], "messages")
    elif {"prompt", "completion"} <= given:
        items = continued(row["prompt"], row["completion"], "completion")
    elif {"chosen", "rejected"} <= given:
        raise DataError("the row has 'chosen' and 'rejected'; lachesis dpo trains on such rows")
    else:
        raise DataError(
            "the row has neither 'messages', nor 'prompt' and 'completion', nor 'input_ids' and 'labels', but "
            f"{', '.join(map(repr, sorted(given))) or 'nothing'}; rename its columns"
        )
    return Demonstration(tuple(conversation_samples(items, read_tools(row.get("tools")), renderer)))


def continued(prompt: Any, reply: Any, column: str) -> list[dict[str, Any]]:
    """Return the messages of a prompt, of which none is trained, and of the reply in ``column``."""
    before = [{**item, "train": False} for item in read_messages(prompt, "prompt")]
    for item in before:
        if item["role"] != "assistant":
            del item["train"]
    return [*before, *read_messages(reply, column, "assistant")]


def _token_samples(row: Mapping[str, Any], renderer: Renderer) -> list[Sample]:
    """The samples of a row of ids: one, or, if the row is packed and has ``seq_lengths``, one for each sequence."""
    if row.get("labels") is None:
        raise DataError(f"the row has 'input_ids' but no 'labels'; {nearest('labels', row)}")
    tokens, labels = (_ids(row[name], name) for name in ("input_ids", "labels"))
    if tokens.size != labels.size:
        raise DataError(f"column 'labels' has {labels.size} items and 'input_ids' {tokens.size}; repair the row")
    mask = labels != UNTRAINED
    if (wrong := np.flatnonzero(mask & (labels != tokens))).size:
        place = int(wrong[0])
        raise DataError(
            f"column 'labels', item {place}: a label is the token itself or {UNTRAINED}, found {labels[place]} for "
            f"token {tokens[place]}; repair the row"
        )
    outside = np.flatnonzero((tokens < 0) | (tokens >= renderer.vocabulary))
    if outside.size:
        place = int(outside[0])
        raise DataError(
            f"column 'input_ids', item {place}: the model has tokens 0 to {renderer.vocabulary - 1}, found "
            f"{tokens[place]}; was the row made with another tokenizer?"
        )
    lengths = _ids(row["seq_lengths"], "seq_lengths") if row.get("seq_lengths") is not None else [tokens.size]
    if not tokens.size:
        return []
    if sum(lengths) != tokens.size or min(lengths) < 1:
        raise DataError(f"column 'seq_lengths' must sum to the {tokens.size} items of 'input_ids', found {lengths}")
    samples, start = [], 0
    for length in map(int, lengths):
        part = slice(start, start + length)
        trained = mask[part].copy()
        trained[:1] = False  # nothing predicts the first token
        if trained.any():
            samples.append(plain_sample(tokens[part].astype(np.int32), trained))
        start += length
    return samples


def _ids(value: Any, column: str) -> "np.ndarray[Any, np.dtype[np.int64]]":
    if not isinstance(value, list) or not all(type(item) is int and abs(item) < 1 << 31 for item in value):
        raise DataError(f"column {column!r} must be a list of whole numbers, found {value!r:.80}; repair the row")
    return np.asarray(value, np.int64)
