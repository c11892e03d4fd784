"""Rows of public datasets become tasks that judge themselves."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.adapters import convention_of, from_apps, from_row, from_synthetic, from_tulu, from_verl
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.reward import Reward
from lachesis.verifiers.rows.row import check_entries, entries
from lachesis.verifiers.rubric import Rubric
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


def judge(task: Task, said: str) -> Reward:
    check_entries(task)
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again.hash == task.hash
    attempt = Trajectory(again, messages={"policy": ({"role": "assistant", "content": said},)})
    return asyncio.run(Rubric().score(Case(attempt)))


def tulu(dataset: Any, truth: Any) -> Task:
    return from_tulu({"messages": [{"role": "user", "content": "q"}], "dataset": dataset, "ground_truth": truth})


def synthetic(task_type: str, info: Any) -> Task:
    return from_synthetic({"prompt": "q", "task_type": task_type, "verification_info": info, "problem_id": "p1"})


def verl(source: str, truth: Any, style: str = "rule") -> Task:
    model = {"style": style, "ground_truth": truth}
    return from_verl({"prompt": [{"role": "user", "content": "q"}], "data_source": source, "reward_model": model})


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


LOWER = json.dumps({"func_name": "validate_lowercase", "N": None, "quantifier": None})
PAIRS = {"inputs": ["1 2", "2 3"], "outputs": ["3", "5"]}


@pytest.mark.parametrize(
    ("task", "right", "wrong"),
    [
        (tulu("gsm8k", "18"), "So she makes $18.", "So 19."),
        (tulu(["gsm8k"], ["18"]), "The answer is 18.", "19"),
        (tulu("MATH", r"\frac{1}{2}"), r"\boxed{0.5}", r"\boxed{0.6}"),
        (tulu("ifeval", LOWER), "all small", "Not small"),
        (synthetic("verifiable_math", '{"ground_truth": "1/2"}'), r"\boxed{0.5}", r"\boxed{2}"),
        (synthetic("verifiable_math", {"ground_truth": ["7"]}), "<think>8</think>7", "<think>7</think>8"),
        (synthetic("verifiable_math", "{'ground_truth': '7'}"), "7", "8"),
        (synthetic("code_output_prediction", {"ground_truth": "[1]"}), 'it is {"output": "[1]"}', '{"output": "1"}'),
        (synthetic("code_output_prediction", '{"code_output": "a"}'), '{"code_output": "a"}', '{"output": "a"}'),
        (synthetic("complex_json_output", {"ground_truth": {"a": [1]}}), '```json\n{"a": [1.0]}\n```', '{"a": [2]}'),
        (synthetic("ifeval", {"ground_truth": LOWER}), "all small", "Not small"),
        (verl("openai/gsm8k", "72"), "#### 72", "#### 71"),
        (verl("DigitalLearningGmbH/MATH-lighteval", "x^2"), r"\boxed{x^2}", r"\boxed{x^3}"),
        (verl("numina_cn_k12", "3"), r"\boxed{3}", "4"),
        (verl("aime2024", "204"), r"\boxed{204}", "205"),
        (verl("math_dapo", 34), "34", "35"),
    ],
)
def test_a_right_reply_passes_and_a_wrong_one_does_not(task: Task, right: str, wrong: str) -> None:
    assert judge(task, right).total == 1.0
    assert judge(task, wrong).total == 0.0


@pytest.mark.parametrize(
    ("task", "format_", "answer"),
    [
        (tulu("code_stdio", json.dumps([{"input": "1", "output": "2"}])), "stdin", [{"input": "1", "output": "2"}]),
        (tulu("code", ["assert f(1) == 2"]), "mbpp", ["assert f(1) == 2"]),
        (tulu("code", json.dumps(["assert f(1) == 2"])), "mbpp", ["assert f(1) == 2"]),
        (synthetic("prime_rl_code", {"test_cases": json.dumps(PAIRS)}), "stdin", PAIRS),
        (synthetic("prime_rl_code", {"test_cases": json.dumps({**PAIRS, "fn_name": "add"})}), "call", PAIRS),
        (verl("taco", json.dumps(PAIRS)), "stdin", PAIRS),
        (verl("apps", {**PAIRS, "fn_name": "add"}), "call", PAIRS),
        (
            synthetic(
                "verifiable_code",
                {
                    "language": "python",
                    "test_cases": [{"fn_name": "f", "input": [1], "output": 2, "type": "function_call"}],
                },
            ),
            "call",
            [{"input": [1], "output": 2}],
        ),
    ],
)
def test_programs_keep_their_tests_and_how_they_are_run(task: Task, format_: str, answer: Any) -> None:
    check_entries(task)
    (own,) = task.verify
    assert (own["verifier"], own["params"]["format"], task.answer) == ("code", format_, answer)


WRAPPED = {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[2], [3]]}
LITERAL = "{'fn_name': 'f', 'inputs': [[{1: (2, 3)}]], 'outputs': [(2, 3)]}"


def test_the_peculiarities_of_apps_taco_and_prime_are_kept_for_the_verifier() -> None:
    (wrapped,) = verl("taco", json.dumps(WRAPPED)).verify
    assert wrapped["params"] == {"format": "call", "fn_name": "f", "integer_keys": True}
    literal = verl("apps", LITERAL)
    assert literal.answer == {"inputs": [[{"1": [2, 3]}]], "outputs": [[2, 3]]}


@pytest.mark.parametrize(
    ("task", "right", "wrong"),
    [
        (verl("taco", json.dumps(WRAPPED)), "def f(x):\n    return x + 1", "def f(x):\n    return x"),
        (verl("apps", LITERAL), "def f(x):\n    return (x[1][0], 3)", "def f(x):\n    return x['1']"),
        (
            verl("codecontests", {"fn_name": "f", "inputs": [[2]], "outputs": [{"2": "a"}]}),
            "def f(n):\n    return {n: 'a'}",
            "def f(n):\n    return {n: 'b'}",
        ),
    ],
)
def test_programs_over_such_rows_are_judged_by_value(task: Task, right: str, wrong: str) -> None:
    assert judge(task, f"```python\n{right}\n```").total == 1.0
    assert judge(task, f"```python\n{wrong}\n```").total == 0.0


def test_the_style_of_a_verl_row_may_name_its_rule() -> None:
    assert verl("math_dapo", "34", style="rule-lighteval/MATH_v2").answer == "34"


def test_a_row_of_apps_asks_for_its_kind_of_program() -> None:
    row = {"question": " Add. ", "input_output": json.dumps(PAIRS), "problem_id": 7, "starter_code": ""}
    stdin = from_apps(row)
    assert (stdin.prompt, stdin.id, stdin.answer) == ("Add.\nUse Standard Input format", "7", PAIRS)
    call = from_apps({**row, "input_output": json.dumps(WRAPPED), "starter_code": "def f(x):"})
    assert call.prompt == "Add.\ndef f(x):\nUse Call-Based format"
    with pytest.raises(DataError, match="inputs and outputs"):
        from_apps({"question": "Add.", "input_output": "{}"})


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"prompt": "q", "data_source": "aime", "reward_model": {"style": "rule", "ground_truth": "7"}}, "verl"),
        ({"prompt": "q", "task_type": "verifiable_math", "verification_info": '{"ground_truth": "7"}'}, "SYNTHETIC"),
        ({"messages": [{"role": "user", "content": "q"}], "dataset": "MATH", "ground_truth": "7"}, "Tülu"),
        ({"question": "q", "input_output": PAIRS}, "APPS"),
    ],
)
def test_a_row_is_recognized_by_its_columns(row: dict[str, Any], name: str) -> None:
    assert convention_of(row) == name
    assert from_row(row).verify
    key = next(iter(row))
    with pytest.raises(DataError):
        from_row({**row, key: None})


def test_a_row_of_no_convention_is_refused_with_its_columns() -> None:
    with pytest.raises(DataError, match=r"no known convention .*verl: data_source, reward_model.*found a, b"):
        from_row({"a": 1, "b": 2})


def test_a_row_of_numpy_values_is_read_without_the_assistants_replies() -> None:
    prompt = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "18"}]
    row = {"prompt": np.array(prompt, dtype=object), "data_source": "openai/gsm8k"}
    task = from_verl({**row, "reward_model": {"style": "rule", "ground_truth": "18"}})
    assert task.messages == [{"role": "user", "content": "q"}]


def test_a_problem_keeps_its_name() -> None:
    assert synthetic("verifiable_math", {"ground_truth": "7"}).id == "p1"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tulu("sciriff", "x"), "dataset 'sciriff' has no verifier here; known: code, code_stdio, gsm8k"),
        (lambda: synthetic("llm_judgeable_groundtruth_similarity", {}), "known: code_output_prediction"),
        (
            lambda: synthetic("pydantic_adherance", {"pydantic_config": "import os"}),
            "task_type 'pydantic_adherance' has no verifier",
        ),
        (lambda: synthetic("kernelbench", {}), "has no verifier here"),
        (lambda: verl("hiyouga/geometry3k", "7"), "data_source 'hiyouga/geometry3k' has no verifier"),
        (lambda: verl("openai/gsm8k", "7", style="model"), "others need a model as judge"),
        (lambda: synthetic("verifiable_math", "{half"), "verification_info is not JSON"),
        (lambda: synthetic("verifiable_math", "[1]"), "is an object"),
        (lambda: synthetic("verifiable_math", "().__class__"), "not JSON"),
        (lambda: synthetic("verifiable_math", {"ground_truth": ["1", "2"]}), "one text or number"),
        (lambda: synthetic("verifiable_math", {"ground_truth": " "}), "one text or number"),
        (lambda: synthetic("verifiable_math", {"truth": "7"}), "no 'ground_truth', found truth"),
        (lambda: synthetic("verifiable_code", {"language": "rust", "test_cases": []}), "found language 'rust'"),
        (lambda: synthetic("prime_rl_code", {"test_cases": "[]"}), "objects with input and output"),
        (
            lambda: synthetic("prime_rl_code", {"test_cases": [{"input": "1", "output": "1", "fn_name": ["f"]}]}),
            "name of a function is text",
        ),
        (
            lambda: synthetic(
                "verifiable_code", {"test_cases": {"inputs": [[1]], "outputs": [1], "fn_name": {"f": 1}}}
            ),
            "name of a function is text",
        ),
        (lambda: tulu("code", "print(1)"), "not JSON"),
        (lambda: verl("taco", {**WRAPPED, "inputs": deep(500)}), "nested more than 100 deep"),
        (
            lambda: verl("taco", f"{{'inputs': {'(' * 150}1{',)' * 150}, 'outputs': []}}"),
            "inputs and outputs|nested|JSON",
        ),
        (lambda: from_tulu({"messages": [], "dataset": "gsm8k", "ground_truth": "1"}), "text or messages"),
        (lambda: from_tulu({"dataset": "gsm8k", "ground_truth": "1"}), "no 'messages'"),
        (lambda: from_tulu({"messages": [1], "dataset": "gsm8k", "ground_truth": "1"}), "a message has a role"),
    ],
)
def test_a_row_that_cannot_be_judged_is_refused(make: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        make()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("[[[["),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["ground_truth", "test_cases", "inputs"]), inner),
)


@given(st.sampled_from(["verifiable_math", "verifiable_code", "code_output_prediction", "ifeval"]), JSON)
def test_any_row_is_a_task_or_refused(task_type: str, info: Any) -> None:
    try:
        task = synthetic(task_type, info)
    except DataError:
        return
    assert all(entry.verifier() for entry in entries(task))
