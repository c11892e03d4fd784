"""Reader for the tests in a dataset row, in the common dataset formats."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DataError

MAX_DIGITS = 200_000
"""Most digits of an integer in a row's text."""
_STEP = sys.int_info.default_max_str_digits
_INTEGER = re.compile("0|-?[1-9][0-9]{0,18}")
_LONG_INT = re.compile(rf"[0-9]{{{_STEP + 1}}}")


@dataclass(frozen=True)
class Pair:
    """One test: the input and the expected output."""

    given: Any
    expected: Any


def fields_of(answer: Any) -> dict[str, Any]:
    """Return a task's answer as an object, also if it is JSON text, as in rows of PRIME; empty if it is neither."""
    if isinstance(answer, str) and answer.lstrip().startswith("{"):
        answer = _json(answer)
    return answer if isinstance(answer, dict) else {}


def read_pairs(answer: Any, outputs_needed: bool = True) -> list[Pair]:
    """Return the tests in a list of ``{input, output}``, in ``{"inputs": […], "outputs": […]}``, or in their JSON text.

    With a checker or an interactor, outputs are not needed; those that are missing are empty texts.

    Raises:
        DataError: the answer has another format, or contains no test.
    """
    answer = _json(answer) if isinstance(answer, str) else answer
    if not outputs_needed:
        answer = _with_outputs(answer)
    match answer:
        case {"inputs": list(inputs), "outputs": list(outputs)} if len(inputs) == len(outputs):
            pairs = [Pair(*both) for both in zip(inputs, outputs, strict=True)]
        case list(rows) if all(isinstance(row, dict) and "input" in row and "output" in row for row in rows):
            pairs = [Pair(row["input"], row["output"]) for row in rows]
        case _:
            raise DataError(
                "the task's answer must be a list of {input, output}, or {inputs, outputs} of equal length, "
                f"found {answer!r:.80}; repair the dataset"
            )
    if not pairs:
        raise DataError("the task's answer contains no test; repair the dataset")
    return pairs


def _with_outputs(answer: Any) -> Any:
    """Return the tests with an empty text for each output that is missing."""
    match answer:
        case {"inputs": list(inputs), **rest} if rest.get("outputs") is None:
            return {"inputs": inputs, "outputs": [""] * len(inputs)}
        case list(rows) if all(isinstance(row, dict) for row in rows):
            return [{**row, "output": "" if row.get("output") is None else row["output"]} for row in rows]
    return answer


def as_text(pair: Pair) -> Pair:
    """Return a test of standard input and output; a list of lines becomes one text."""
    return Pair(_text(pair.given), _text(pair.expected))


def as_call(pair: Pair) -> Pair:
    """Return a test of a function: its arguments and its return value.

    Text is read as in LiveCodeBench: one JSON value per line for the arguments, and one for the result.
    """
    given, expected = pair.given, pair.expected
    if isinstance(given, str):
        given = [_json(line) for line in given.split("\n") if line.strip()]
        expected = _json(expected) if isinstance(expected, str) else expected
    if not isinstance(given, list):
        raise DataError(f"a test's input must be the list of arguments, found {given!r:.80}; repair the dataset")
    return Pair(given, expected)


def with_integer_keys(pair: Pair) -> Pair:
    """Return the test with integers for keys, in objects of the arguments whose keys are all texts of integers.

    Results need no change, because a key equals its text there. Arguments in text, as in LiveCodeBench, stay as they
    are.
    """
    try:
        return Pair(_integer_keys(pair.given), pair.expected)
    except RecursionError:
        raise DataError("a test's arguments are nested too deep to be read; repair the dataset") from None


def _integer_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_integer_keys(item) for item in value]
    if not isinstance(value, dict):
        return value
    whole = all(_INTEGER.fullmatch(key) for key in value)
    return {int(key) if whole else key: _integer_keys(item) for key, item in value.items()}


def wraps_results(pairs: Sequence[Pair]) -> bool:
    """Return whether the expected results may be wrapped in lists, as in rows of APPS, TACO and PRIME.

    That is so if each is a list of one item; then a result may equal the list or its item. LiveCodeBench's text has no
    wrapped results.
    """
    return all(
        not isinstance(pair.given, str) and isinstance(pair.expected, list) and len(pair.expected) == 1
        for pair in pairs
    )


def read_texts(value: Any, what: str) -> list[str]:
    """Return a text or a list of texts as a list of non-blank texts."""
    texts = [value] if isinstance(value, str) else value
    if texts is None:
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{what} must be text or a list of texts, found {value!r:.80}; repair the dataset")
    return [text for text in texts if text.strip()]


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise DataError(f"a test's input and output must be text, found {value!r:.80}; repair the dataset")
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_long_int if _LONG_INT.search(text) else None)
    except (ValueError, RecursionError) as error:
        raise DataError(f"a test is not JSON ({error}): {text!r:.80}; repair the dataset") from None


def _long_int(digits: str) -> int:
    """Return the integer, also with more digits than ``int`` takes: its upper and lower half are read apart."""
    if digits.startswith("-"):
        return -_long_int(digits[1:])
    if len(digits) <= _STEP:
        return int(digits)
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits, at most {MAX_DIGITS} are read")
    half = len(digits) // 2
    lower: int = 10**half
    return _long_int(digits[:-half]) * lower + _long_int(digits[-half:])
