"""A row of preference training: a prompt, or none, with a chosen and a rejected reply."""

from collections.abc import Mapping
from typing import Any

from ...rollout.chats.renderer import Renderer
from ...verifiers.errors import DataError
from ..learner.pair import Pair
from .conversation import conversation_samples
from .demonstration import continued
from .row_message import read_messages, read_tools


def read_pair(row: Mapping[str, Any], renderer: Renderer) -> Pair:
    """Read a row with ``chosen`` and ``rejected``, and with ``prompt`` unless both begin with the same messages.

    Texts are a user's message (the prompt) and an assistant's (the replies). Other columns except ``tools`` are left
    out.

    Raises:
        DataError: the row has another form, or a column is not valid. The message names the column.
    """
    for name in ("chosen", "rejected"):
        if row.get(name) is None:
            found = ", ".join(repr(column) for column, value in row.items() if value is not None)
            raise DataError(f"the row has no {name!r}, but {found or 'nothing'}; rename its columns")
    if row.get("prompt") is not None:
        sides = [continued(row["prompt"], row[name], name) for name in ("chosen", "rejected")]
    else:
        sides = _with_common_prompt(row)
    tools = read_tools(row.get("tools"))
    chosen, rejected = (tuple(conversation_samples(side, tools, renderer)) for side in sides)
    return Pair(chosen, rejected)


def _with_common_prompt(row: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Both conversations; the messages with which both begin are their prompt, of which none is trained."""
    for name in ("chosen", "rejected"):
        if isinstance(row[name], str):
            raise DataError(f"column {name!r} is a text, so the row needs a 'prompt'; add the column")
    sides = [read_messages(row[name], name) for name in ("chosen", "rejected")]
    common = 0
    for one, other in zip(*sides, strict=False):
        if one != other:
            break
        common += 1
    for side in sides:
        for item in side[:common]:
            if item["role"] == "assistant":
                item["train"] = False
    return sides
