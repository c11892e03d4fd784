"""The examples in a verifier's docstring: rows for ``lachesis verify``, each with its score."""

import inspect
import json
import re
from typing import Any, NamedTuple

from ..errors import ConfigError

_SECTION = re.compile(r"^Example:\n((?:[ \t]+\S.*\n|\s*\n)+)", re.MULTILINE)
_SCORE = re.compile(r"\s*->\s*(-?\d+(?:\.\d+)?|\[[-\d., ]+\])(?!\S)\s*")


class Example(NamedTuple):
    """A row and its score; for a group verifier, a row with ``completions``, and a score for each of them."""

    row: dict[str, Any]
    score: float | list[float]


def examples_of(verifier: Any) -> list[Example]:
    """The examples under ``Example:`` in the docstring of a verifier's class; empty if there is no such section.

    Raises:
        ConfigError: the section contains something else than rows with scores.
    """
    section = _SECTION.search((inspect.getdoc(verifier) or "") + "\n")
    rest = section[1].strip() if section else ""
    found = []
    while rest:
        try:
            row, end = json.JSONDecoder().raw_decode(rest)
        except ValueError as error:
            raise ConfigError(f"{verifier}: the example {rest!r:.80} is not JSON ({error})") from None
        score = _SCORE.match(rest, end)
        if not isinstance(row, dict) or score is None:
            raise ConfigError(f"{verifier}: an example is a JSON object, then `-> score`, found {rest!r:.80}")
        found.append(Example(row, json.loads(score[1])))
        rest = rest[score.end() :]
    return found
