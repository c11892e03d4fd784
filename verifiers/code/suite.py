"""The tests that a dataset's row holds, in the shapes that datasets have."""

import json
from dataclasses import dataclass
from typing import Any

from ..errors import DataError


@dataclass(frozen=True)
class Pair:
    """One test: what goes in, and what has to come out."""

    given: Any
    expected: Any


def read_pairs(answer: Any) -> list[Pair]:
    """The tests of a list of ``{input, output}`` or of ``{"inputs": […], "outputs": […]}``, or of either as JSON text.

    Raises:
        DataError: it is neither, or holds no test.
    """
    answer = _json(answer) if isinstance(answer, str) else answer
    match answer:
        case {"inputs": list(inputs), "outputs": list(outputs)} if len(inputs) == len(outputs):
            pairs = [Pair(*both) for both in zip(inputs, outputs, strict=True)]
        case list(rows) if all(isinstance(row, dict) and "input" in row and "output" in row for row in rows):
            pairs = [Pair(row["input"], row["output"]) for row in rows]
        case _:
            raise DataError(
                "the task's answer is a list of {input, output}, or {inputs, outputs} of one length, "
                f"found {answer!r:.80}; repair the dataset"
            )
    if not pairs:
        raise DataError("the task's answer holds no test; repair the dataset")
    return pairs


def as_text(pair: Pair) -> Pair:
    """A test of standard input and output; a list of lines is one text."""
    return Pair(_text(pair.given), _text(pair.expected))


def as_call(pair: Pair) -> Pair:
    """A test of a function: its arguments, and what it returns.

    Text is what LiveCodeBench writes: one JSON value a line for the arguments, and one for the result.
    """
    given, expected = pair.given, pair.expected
    if isinstance(given, str):
        given = [_json(line) for line in given.split("\n") if line.strip()]
        expected = _json(expected) if isinstance(expected, str) else expected
    if not isinstance(given, list):
        raise DataError(f"a test's input is the list of the arguments, found {given!r:.80}; repair the dataset")
    return Pair(given, expected)


def read_texts(value: Any, what: str) -> list[str]:
    """A text or a list of texts as a list of texts that are not empty."""
    texts = [value] if isinstance(value, str) else value
    if texts is None:
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{what} is text or a list of texts, found {value!r:.80}; repair the dataset")
    return [text for text in texts if text.strip()]


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise DataError(f"a test's input and output are text, found {value!r:.80}; repair the dataset")
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"a test is not JSON ({error}): {text!r:.80}; repair the dataset") from None
