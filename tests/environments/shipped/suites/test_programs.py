"""HumanEval and MBPP on rows made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.loading import describe

HUMANEVAL = {
    "task_id": "own/1",
    "prompt": 'def double(x: int) -> int:\n    """Twice x."""\n',
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-7) == -14\n",
}
MBPP = {
    "task_id": 11,
    "text": "Write a function to double a number.",
    "code": "def double(x):\n    return 2 * x",
    "test_list": ["assert double(2) == 4", "assert double(-7) == -14"],
    "test_setup_code": "",
}
SANITIZED = {**{key: value for key, value in MBPP.items() if key != "text"}, "prompt": MBPP["text"], "test_imports": []}
PROMPTS = {
    "humaneval": "Read the following function signature and docstring, and fully implement the function described. "
    "Your response should only contain the code for this function.\n" + str(HUMANEVAL["prompt"]),
    "mbpp": "You are an expert Python programmer, and here is your task: Write a function to double a number. "
    "Your code should pass these tests:\n\nassert double(2) == 4\nassert double(-7) == -14",
}


@pytest.mark.parametrize(("name", "row"), [("humaneval", HUMANEVAL), ("mbpp", MBPP), ("mbpp", SANITIZED)])
def test_the_published_prompt_and_tests(tmp_path: Path, name: str, row: dict[str, Any]) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    config = {"path": str(tmp_path), "splits": {"test": "test"}}
    environment = describe(name, config=config).build()
    (task,) = environment.tasks("test", 0)
    assert task.prompt == PROMPTS[name]
    assert environment.score(task, environment.demonstration(task)).success
    assert not environment.score(task, "```python\ndef double(x):\n    return 4\n```").success
