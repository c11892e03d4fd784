"""Function calls: BFCL's own rows and rows like them, their prompts, and the two players."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.tool_calling import NO_CALL, ToolCalling
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.task import Task
from lachesis.verifiers.tool_calling.formats.format import FORMATS

TOOL = {
    "name": "count",
    "description": "How many there are.",
    "parameters": {"type": "dict", "properties": {"title": {"type": "string"}}, "required": ["title"]},
}
ROW = {"question": "How many of Dune?", "tools": [TOOL], "ground_truth": [{"count": {"title": ["Dune"]}}]}


def tasks(folder: Path, *rows: dict[str, Any], **settings: Any) -> list[Task]:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(ToolCalling(path=path, held_out=1, **settings).tasks("test", 0))


@pytest.mark.parametrize("name", FORMATS)
def test_the_demonstration_earns_everything_and_silence_only_where_no_tool_helps(
    shared_data: Callable[[str], Path], name: str
) -> None:
    config = {"path": str(shared_data("bfcl_cases.jsonl")), "held_out": 1.0, "format": name}
    environment = describe("tool_calling", config=config).build()
    found = list(environment.tasks("test", 0))
    categories = Counter(task.info["category"] for task in found)
    assert categories == {"simple": 29, "multiple": 24, "parallel": 33, "parallel_multiple": 24, "irrelevance": 20}
    for task in found[:: 1 if name == "hermes" else 4]:
        assert environment.score(task, environment.demonstration(task)).total == 1.0, task
        silent = environment.score(task, NO_CALL).total
        assert silent == float(task.info["category"] == "irrelevance"), task


def test_a_call_too_many_or_too_few_earns_nothing(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("bfcl_cases.jsonl")
    environment = ToolCalling(path=path, held_out=1, categories=["parallel"])
    for task in environment.tasks("test", 0):
        said = environment.demonstration(task)
        last = said.rindex("<tool_call>")
        assert environment.score(task, said + said[last:]).total == 0.0
        assert environment.score(task, said[:last]).total == 0.0


def test_the_prompt_declares_every_tool_and_says_nothing_of_the_answer(tmp_path: Path) -> None:
    (task,) = tasks(tmp_path, ROW)
    system, user = task.messages
    assert user == {"role": "user", "content": "How many of Dune?"}
    assert "<tools>" in system["content"]
    assert '"count"' in system["content"]
    assert "Dune" not in system["content"]


def test_there_is_one_system_turn_whoever_has_something_to_say(tmp_path: Path) -> None:
    question = [[{"role": "system", "content": "Be quick."}, {"role": "user", "content": "?"}]]
    (task,) = tasks(tmp_path, ROW | {"question": question}, system_prompt="Think first.")
    assert [message["role"] for message in task.messages] == ["system", "user"]
    assert task.messages[0]["content"].startswith("Think first.\n\nBe quick.\n\nYou may call")
    environment = ToolCalling(path=tmp_path / "rows.jsonl", system_prompt="Think first.")
    assert environment.config.system_prompt == ""


@pytest.mark.parametrize("text", ["<think>count?</think>{}", "<tool_call>{}</tool_call>", "count(title='Dune')"])
def test_what_is_no_call_in_the_format_earns_nothing(tmp_path: Path, text: str) -> None:
    (task,) = tasks(tmp_path, ROW)
    assert ToolCalling(path=tmp_path).score(task, text).total == 0.0


def test_only_the_categories_that_are_asked_for_are_drawn(tmp_path: Path) -> None:
    rows = [ROW | {"category": "live_simple"}, ROW | {"category": "irrelevance"}, ROW | {"category": "relevance"}]
    assert [task.info["category"] for task in tasks(tmp_path, *rows)] == ["simple", "irrelevance", "relevance"]
    (task,) = tasks(tmp_path, *rows, categories=["relevance"])
    environment = ToolCalling(path=tmp_path)
    assert environment.score(task, environment.demonstration(task)).total == 1.0
    assert environment.score(task, NO_CALL).total == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category": "simpel"}, "no category is named 'simpel'"),
        ({"tools": []}, "declares no tools"),
        ({"tools": [{"parameters": {}}]}, "a tool must be an object"),
        ({"ground_truth": None}, "no 'possible_answers'"),
        ({"ground_truth": [{"sum": {}}]}, "which is not among"),
        ({"question": [[{"role": "user", "content": "?"}], []]}, "a row must ask for one turn, found 2"),
        ({"question": [{"role": "system", "content": "?"}]}, "no message of role user"),
        ({"question": 3}, "found 3"),
    ],
)
def test_a_row_that_is_no_task_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: ") as raised:
        tasks(tmp_path, ROW, ROW | change)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("setting", "said"), [({"format": "hermse"}, "hermes"), ({"categories": ["simpel"]}, "simple")]
)
def test_unknown_formats_and_categories_are_refused(tmp_path: Path, setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ToolCalling(path=tmp_path, **setting)
