"""Converters of rows from public datasets into tasks that name their own verifiers.

There is one function for each convention. A row of an unknown kind raises a ``DataError`` instead of being judged as
another kind; catch the error to leave such rows out.
"""

import ast
import json
from collections.abc import Callable, Mapping
from typing import Any

from .errors import DataError
from .message import Message
from .task import Task

Entry = dict[str, Any]


CONVENTIONS = {
    "verl": ("data_source", "reward_model"),
    "SYNTHETIC": ("task_type", "verification_info"),
    "Tülu": ("messages", "dataset", "ground_truth"),
    "APPS": ("question", "input_output"),
}
"""Name → the columns by which its rows are recognized. open-r1 and SYNTHETIC have one convention, APPS and TACO too."""


def convention_of(row: Mapping[str, Any]) -> str:
    """The convention in ``CONVENTIONS`` whose columns the row has; an empty text if there is none."""
    has = (name for name, columns in CONVENTIONS.items() if all(row.get(key) is not None for key in columns))
    return next(has, "")


def from_row(row: Mapping[str, Any]) -> Task:
    """Convert a row of any convention.

    Raises:
        DataError: it has the columns of none, or is malformed.
    """
    if not (name := convention_of(row)):
        known = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in CONVENTIONS.items())
        raise DataError(f"the row has the columns of no known convention ({known}), found {', '.join(map(str, row))}")
    convert = {"verl": from_verl, "SYNTHETIC": from_synthetic, "Tülu": from_tulu, "APPS": from_apps}[name]
    return convert(row)


def from_tulu(row: Mapping[str, Any]) -> Task:
    """Convert a row of Tülu 3's RLVR mixture: ``messages``, ``dataset`` and ``ground_truth``.

    Raises:
        DataError: the row is malformed, or its dataset is unknown; the message lists the known ones.
    """
    convert = _lookup(_TULU, str(_unwrap_single(_required(row, "dataset"))).lower(), "dataset")
    return _task(_required(row, "messages"), convert(_required(row, "ground_truth")))


def from_synthetic(row: Mapping[str, Any]) -> Task:
    """Convert a row of SYNTHETIC-1 or SYNTHETIC-2: ``prompt``, ``task_type`` and ``verification_info``.

    The programming problems of open-r1 have the same form.

    Raises:
        DataError: the row is malformed, or its task type is unknown; the message lists the known ones.
    """
    convert = _lookup(_SYNTHETIC, str(_required(row, "task_type")), "task_type")
    info = _read_object(_required(row, "verification_info"), "verification_info")
    return _task(_required(row, "prompt"), convert(info), str(row.get("problem_id") or ""))


def from_verl(row: Mapping[str, Any]) -> Task:
    """Convert a row of verl's Parquet files: ``prompt``, ``data_source`` and ``reward_model`` of a style ``rule…``.

    Tests of programs may have the peculiarities of APPS, TACO and PRIME: results wrapped in lists, which the verifier
    ``code`` unwraps, tuples, which equal lists, and objects with integer keys, which JSON writes as text.

    Raises:
        DataError: the row is malformed, or its data source is unknown; the message lists the known ones.
    """
    source, model = str(_required(row, "data_source")), _read_object(_required(row, "reward_model"), "reward_model")
    if not str(model.get("style")).startswith("rule"):  # DAPO's rows name the rule, as in rule-lighteval/MATH_v2
        raise DataError(f"reward_model.style is 'rule', found {model.get('style')!r:.80}: others need a model as judge")
    convert = _math if source.startswith(_MATH_SOURCES) else _lookup(_VERL, source, "data_source")
    return _task(_required(row, "prompt"), convert(_required(model, "ground_truth")))


def from_apps(row: Mapping[str, Any]) -> Task:
    """Convert a row of APPS or TACO: ``question``, ``input_output`` and, if functions are asked for, ``starter_code``.

    The prompt ends as the one that was published with APPS (Hendrycks et al., 2021).

    Raises:
        DataError: the row is malformed, or has no tests.
    """
    entry = _program_tests(_required(row, "input_output"))
    call = entry["params"]["format"] == "call"
    parts = [str(_required(row, "question")).strip(), str(row.get("starter_code") or "").strip()]
    ask = "Use Call-Based format" if call else "Use Standard Input format"
    name = row.get("task_id") or row.get("problem_id") or row.get("id") or ""
    return _task("\n".join(filter(None, [*parts, ask])), entry, str(name))


def _math(truth: Any) -> Entry:
    truth = _unwrap_single(truth)
    if isinstance(truth, bool) or not isinstance(truth, str | int | float) or not str(truth).strip():
        raise DataError(f"a mathematical answer is one text or number, found {truth!r:.80}")
    return {"verifier": "math", "answer": str(truth)}


def _instruction(truth: Any) -> Entry:
    return {"verifier": "instruction", "answer": truth}


def _asserts(truth: Any) -> Entry:
    tests = _read_json(_unwrap_json(truth), "ground_truth")
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise DataError(f"the tests of a program are a list of asserts, found {truth!r:.80}")
    return {"verifier": "code", "answer": tests, "params": {"format": "mbpp"}}


def _program_tests(truth: Any) -> Entry:
    """Tests of standard input and output, or of a function: one object of two lists, or a list of objects."""
    tests = _read_json(_unwrap_json(truth), "the tests")
    if isinstance(tests, list):
        return _test_cases(tests)
    if not isinstance(tests, dict) or not isinstance(tests.get("inputs"), list):
        raise DataError(f"the tests of a program are inputs and outputs, found {truth!r:.80}")
    name = tests.get("fn_name")
    answer = {"inputs": _as_json(tests["inputs"]), "outputs": _as_json(tests.get("outputs"))}
    return {"verifier": "code", "answer": answer, "params": _test_format(name)}


def _test_cases(tests: list[Any]) -> Entry:
    if not tests or not all(isinstance(test, dict) and {"input", "output"} <= test.keys() for test in tests):
        raise DataError(f"the tests of a program are objects with input and output, found {tests!r:.80}")
    names = [test.get("fn_name") or None for test in tests]
    if names.count(names[0]) < len(names):
        raise DataError(f"the tests of one program call one function, found {names!r:.200}")
    answer = [{"input": _as_json(test["input"]), "output": _as_json(test["output"])} for test in tests]
    return {"verifier": "code", "answer": answer, "params": _test_format(names[0])}


def _as_json(value: Any, depth: int = 0) -> Any:
    """``value``, perhaps of a Python literal, as JSON has it: with lists for tuples, and texts for integer keys."""
    if depth > _DEEPEST:
        raise DataError(f"the tests of a program are nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _as_json(item, depth + 1) for key, item in value.items()}
    return [_as_json(item, depth + 1) for item in value] if isinstance(value, list | tuple) else value


def _test_format(function: Any) -> dict[str, Any]:
    if function and not isinstance(function, str):
        raise DataError(f"the name of a function is text, found {function!r:.80}")
    return {"format": "call", "fn_name": function, "integer_keys": True} if function else {"format": "stdin"}


def _synthetic_code(info: dict[str, Any]) -> Entry:
    language = info.get("language", "python")
    if language != "python":
        raise DataError(f"programs are in python, found language {language!r:.80}")
    tests = _read_json(_required(info, "test_cases"), "test_cases")
    if isinstance(tests, dict) and info.get("fn_name"):
        tests = {**tests, "fn_name": info["fn_name"]}
    return _program_tests(tests)


def _code_output(info: dict[str, Any]) -> Entry:
    """The field of the answer is ``output`` in SYNTHETIC-1 and ``code_output`` in SYNTHETIC-2."""
    if "code_output" in info:
        return {"verifier": "json_answer", "answer": info["code_output"], "params": {"field": "code_output"}}
    return {"verifier": "json_answer", "answer": _required(info, "ground_truth"), "params": {"field": "output"}}


_TULU: dict[str, Callable[[Any], Entry]] = {
    "gsm8k": _math,
    "math": _math,
    "ifeval": _instruction,
    "ifeval_old": _instruction,
    "code": _asserts,
    "code_stdio": _program_tests,
}
_SYNTHETIC: dict[str, Callable[[dict[str, Any]], Entry]] = {
    "verifiable_math": lambda info: _math(_required(info, "ground_truth")),
    "verifiable_code": _synthetic_code,
    "prime_rl_code": _synthetic_code,
    "code_output_prediction": _code_output,
    "complex_json_output": lambda info: {"verifier": "json_answer", "answer": _required(info, "ground_truth")},
    "ifeval": lambda info: _instruction(_required(info, "ground_truth")),
}
_VERL: dict[str, Callable[[Any], Entry]] = {
    "openai/gsm8k": _math,
    "lighteval/MATH": _math,
    "DigitalLearningGmbH/MATH-lighteval": _math,
    "HuggingFaceH4/MATH-500": _math,
    **dict.fromkeys(("codecontests", "apps", "codeforces", "taco"), _program_tests),
}
_MATH_SOURCES = ("aime", "math_dapo", "numina_", "train-math-")
"""Prefixes of further mathematical data sources."""
_DEEPEST = 100
"""The deepest nesting of a test; no job takes more."""
_MOST_LITERAL = 1_000_000
"""The longest Python literal to parse, in characters."""


def _lookup(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in known:
        raise DataError(f"{what} {name!r:.80} has no verifier here; known: {', '.join(sorted(known))}")
    return known[name]


def _required(row: Mapping[str, Any], key: str) -> Any:
    if row.get(key) is None:
        raise DataError(f"the row has no {key!r}, found {', '.join(sorted(map(str, row))) or 'nothing'}")
    value = row[key]
    return value.tolist() if hasattr(value, "tolist") else value  # parquet readers give NumPy arrays and scalars


def _unwrap_single(value: Any) -> Any:
    """The item of a list of one item; newer rows wrap values that older ones give directly."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _unwrap_json(value: Any) -> Any:
    """The JSON text inside a list of one; any other value unchanged."""
    inner = _unwrap_single(value)
    return inner if isinstance(inner, str) and inner.lstrip().startswith(("[", "{")) else value


def _read_json(value: Any, what: str) -> Any:
    """Parse ``value`` if it is text: as JSON, or as a Python literal, which some datasets contain instead."""
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


def _read_object(value: Any, what: str) -> dict[str, Any]:
    found = _read_json(value, what)
    if not isinstance(found, dict):
        raise DataError(f"{what} is an object, found {found!r:.80}")
    return found


def _task(prompt: Any, entry: Entry, name: str = "") -> Task:
    """A task with one verifier, whose expected answer is the task's."""
    own = {key: value for key, value in entry.items() if key != "answer"}
    return Task(_prompt(prompt), entry["answer"], id=name, verify=(own,))


def _prompt(value: Any) -> str | list[Message]:
    """The prompt as text, or as messages without the assistant's replies at the end."""
    if isinstance(value, str):
        return value
    messages = list(value) if isinstance(value, list) else []
    while messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        messages.pop()
    if not messages:
        raise DataError(f"a prompt is text or messages, found {value!r:.80}")
    return messages
