"""Sampled text read in the format in which the model's chat template asks for calls."""

from collections.abc import Sequence
from typing import Any

from ....verifiers.errors import DataError
from ....verifiers.tool_calling.declaration import declarations
from ....verifiers.tool_calling.formats.format import tool_format
from ....verifiers.tool_calling.formats.hermes import as_hermes
from .requests import Refusal


def in_hermes_form(raw: str, call_format: str, tools: Sequence[dict[str, Any]]) -> str:
    """The reply with its calls in Hermes' form, whichever form the model wrote.

    Args:
        raw: the reply as sampled.
        call_format: name of the format in which the template asks for calls.
        tools: JSON schemas of the request.

    Raises:
        Refusal: a tool is none, which only matters if the format does not say which arguments are text.
    """
    if call_format == "hermes":
        return raw
    try:
        declared = declarations(list(tools))
    except DataError as error:
        raise Refusal(str(error), param="tools") from None
    return as_hermes(raw, tool_format(call_format).read(raw, declared))
