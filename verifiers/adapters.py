"""Rows of public datasets, which say how they are judged, as tasks with verifiers of their own.

One function for each convention. A row of a kind that cannot be judged here is refused, and never judged as something
else; for a dataset that holds such rows, catch the ``DataError`` and leave them out.
"""

import ast
import json
from collections.abc import Callable, Mapping
from typing import Any

from .errors import DataError
from .message import Message
from .task import Task

Entry = dict[str, Any]


def from_tulu(row: Mapping[str, Any]) -> Task:
    """A row of Tülu 3's RLVR mixture: ``messages``, ``dataset`` and ``ground_truth``.

    Raises:
        DataError: the dataset is none of those known here, or the row is none; the message names them.
    """
    judge = _find(_TULU, str(_one(_need(row, "dataset"))).lower(), "dataset")
    return _task(_need(row, "messages"), judge(_need(row, "ground_truth")))


def from_synthetic(row: Mapping[str, Any]) -> Task:
    """A row of SYNTHETIC-1 or SYNTHETIC-2: ``prompt``, ``task_type`` and ``verification_info``, an object or its JSON.

    Raises:
        DataError: the task type is none of those known here, or the row is none; the message names them.
    """
    judge = _find(_SYNTHETIC, str(_need(row, "task_type")), "task_type")
    info = _object(_need(row, "verification_info"), "verification_info")
    return _task(_need(row, "prompt"), judge(info), str(row.get("problem_id") or ""))


def from_verl(row: Mapping[str, Any]) -> Task:
    """A row of verl's parquet files: ``prompt``, ``data_source`` and ``reward_model`` of style ``rule``.

    Raises:
        DataError: the data source is none of those known here, or the row is none; the message names them.
    """
    source, model = str(_need(row, "data_source")), _object(_need(row, "reward_model"), "reward_model")
    if model.get("style") != "rule":
        raise DataError(f"reward_model.style is 'rule', found {model.get('style')!r:.80}: others need a model as judge")
    judge = _math if source.startswith(_MATH_SOURCES) else _find(_VERL, source, "data_source")
    return _task(_need(row, "prompt"), judge(_need(model, "ground_truth")))


def _math(truth: Any) -> Entry:
    truth = _one(truth)
    if isinstance(truth, bool) or not isinstance(truth, str | int | float) or not str(truth).strip():
        raise DataError(f"a mathematical answer is one text or number, found {truth!r:.80}")
    return {"verifier": "math", "answer": str(truth)}


def _instruction(truth: Any) -> Entry:
    return {"verifier": "instruction", "answer": truth}


def _asserts(truth: Any) -> Entry:
    tests = _json(_unwrapped(truth), "ground_truth")
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise DataError(f"the tests of a program are a list of asserts, found {truth!r:.80}")
    return {"verifier": "code", "answer": tests, "params": {"format": "mbpp"}}


def _tests(truth: Any) -> Entry:
    """Tests of standard input and output, or of a function, in either of two shapes."""
    tests = _json(_unwrapped(truth), "the tests")
    if isinstance(tests, list):
        return _test_cases(tests)
    if not isinstance(tests, dict) or not isinstance(tests.get("inputs"), list):
        raise DataError(f"the tests of a program are inputs and outputs, found {truth!r:.80}")
    name = tests.get("fn_name")
    answer = {"inputs": tests["inputs"], "outputs": tests.get("outputs")}
    return {"verifier": "code", "answer": answer, "params": _format(name)}


def _test_cases(tests: list[Any]) -> Entry:
    if not tests or not all(isinstance(test, dict) and {"input", "output"} <= test.keys() for test in tests):
        raise DataError(f"the tests of a program are objects with input and output, found {tests!r:.80}")
    names = [test.get("fn_name") or None for test in tests]
    if names.count(names[0]) < len(names):
        raise DataError(f"the tests of one program call one function, found {names!r:.200}")
    answer = [{"input": test["input"], "output": test["output"]} for test in tests]
    return {"verifier": "code", "answer": answer, "params": _format(names[0])}


def _format(function: Any) -> dict[str, Any]:
    if function and not isinstance(function, str):
        raise DataError(f"the name of a function is text, found {function!r:.80}")
    return {"format": "call", "fn_name": function} if function else {"format": "stdin"}


def _synthetic_code(info: dict[str, Any]) -> Entry:
    language = info.get("language", "python")
    if language != "python":
        raise DataError(f"programs are in python, found language {language!r:.80}")
    tests = _json(_need(info, "test_cases"), "test_cases")
    if isinstance(tests, dict) and info.get("fn_name"):
        tests = {**tests, "fn_name": info["fn_name"]}
    return _tests(tests)


def _code_output(info: dict[str, Any]) -> Entry:
    """SYNTHETIC-1 asks for ``output``, SYNTHETIC-2 for ``code_output``."""
    if "code_output" in info:
        return {"verifier": "json_answer", "answer": info["code_output"], "params": {"field": "code_output"}}
    return {"verifier": "json_answer", "answer": _need(info, "ground_truth"), "params": {"field": "output"}}


_TULU: dict[str, Callable[[Any], Entry]] = {
    "gsm8k": _math,
    "math": _math,
    "ifeval": _instruction,
    "ifeval_old": _instruction,
    "code": _asserts,
    "code_stdio": _tests,
}
_SYNTHETIC: dict[str, Callable[[dict[str, Any]], Entry]] = {
    "verifiable_math": lambda info: _math(_need(info, "ground_truth")),
    "verifiable_code": _synthetic_code,
    "prime_rl_code": _synthetic_code,
    "code_output_prediction": _code_output,
    "complex_json_output": lambda info: {"verifier": "json_answer", "answer": _need(info, "ground_truth")},
    "ifeval": lambda info: _instruction(_need(info, "ground_truth")),
}
_VERL: dict[str, Callable[[Any], Entry]] = {
    "openai/gsm8k": _math,
    "lighteval/MATH": _math,
    "DigitalLearningGmbH/MATH-lighteval": _math,
    "HuggingFaceH4/MATH-500": _math,
    **dict.fromkeys(("codecontests", "apps", "codeforces", "taco"), _tests),
}
_MATH_SOURCES = ("aime", "math_dapo", "numina_")
"""What data sources of mathematics begin with, beside those of ``_VERL``."""
_MOST_LITERAL = 1_000_000
"""Characters of a Python literal that are read."""


def _find(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in known:
        raise DataError(f"no way to judge {what} {name!r:.80}; known: {', '.join(sorted(known))}")
    return known[name]


def _need(row: Mapping[str, Any], key: str) -> Any:
    if row.get(key) is None:
        raise DataError(f"the row has no {key!r}, found {', '.join(sorted(map(str, row))) or 'nothing'}")
    value = row[key]
    return value.tolist() if hasattr(value, "tolist") else value  # numpy's, as parquet readers give them


def _one(value: Any) -> Any:
    """The item of a list of one; newer rows wrap what older ones give as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _unwrapped(value: Any) -> Any:
    """The JSON text in a list of one such text; anything else as it is."""
    inner = _one(value)
    return inner if isinstance(inner, str) and inner.lstrip().startswith(("[", "{")) else value


def _json(value: Any, what: str) -> Any:
    """``value``, read where it is text: JSON, or a Python literal, which some datasets were stored as."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        fault = error
    try:
        if len(value) <= _MOST_LITERAL:
            return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise DataError(f"{what} is not JSON: {fault}, found {value!r:.80}")


def _object(value: Any, what: str) -> dict[str, Any]:
    found = _json(value, what)
    if not isinstance(found, dict):
        raise DataError(f"{what} is an object, found {found!r:.80}")
    return found


def _task(prompt: Any, entry: Entry, name: str = "") -> Task:
    """The task whose answer is what its one verifier expects."""
    own = {key: value for key, value in entry.items() if key != "answer"}
    return Task(_prompt(prompt), entry["answer"], id=name, verify=(own,))


def _prompt(value: Any) -> str | list[Message]:
    """Text, or the messages up to the last that is not the assistant's."""
    if isinstance(value, str):
        return value
    messages = list(value) if isinstance(value, list) else []
    while messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        messages.pop()
    if not messages:
        raise DataError(f"a prompt is text or messages, found {value!r:.80}")
    return messages
