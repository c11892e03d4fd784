"""MATH-500 and AIME on rows made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.suites.mathematics import INSTRUCTION
from lachesis.verifiers.errors import ConfigError

MATH_500 = {
    "problem": "What is half of 3?",
    "solution": r"It is $\boxed{\frac{3}{2}}$.",
    "answer": r"\frac{3}{2}",
    "subject": "Prealgebra",
    "level": 1,
    "unique_id": "test/prealgebra/1.json",
}
AIME = {"id": 60, "problem": "What is 100 + 104?", "solution": "Add.", "answer": "204", "year": "2024"}
OTHER_AIME = {"ID": "2024-I-1", "Problem": "What is 100 + 104?", "Solution": "Add.", "Answer": 204}


@pytest.mark.parametrize(
    ("name", "row", "right", "wrong"),
    [
        ("math_500", MATH_500, r"\boxed{1.5}", r"\boxed{\frac{2}{3}}"),
        ("aime", AIME, r"\boxed{204}", r"\boxed{205}"),
        ("aime", OTHER_AIME, r"So it is \boxed{204}.", "100 + 104"),
    ],
)
def test_the_published_prompt_and_the_answer_by_value(
    tmp_path: Path, name: str, row: dict[str, Any], right: str, wrong: str
) -> None:
    (tmp_path / "test.json").write_text(json.dumps([row]))
    environment = describe(name, config={"path": str(tmp_path)}).build()
    (task,) = environment.tasks("test", 0)
    assert task.prompt == f"{row.get('problem') or row['Problem']}\n\n{INSTRUCTION}"
    assert environment.score(task, environment.demonstration(task)).success
    assert environment.score(task, right).success
    assert not environment.score(task, wrong).success


def test_levels_are_chosen_and_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    rows = [{**MATH_500, "problem": f"{level}?", "level": level} for level in (1, 5)]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    environment = describe("math_500", config={"path": str(tmp_path), "where": {"level": 5}}).build()
    assert [task.prompt[:2] for task in environment.tasks("test", 0)] == ["5?"]
    with pytest.raises(ConfigError, match="has no split 'train'"):
        list(environment.tasks("train", 0))
