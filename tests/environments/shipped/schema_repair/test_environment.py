"""Broken objects: each is broken as it is counted, can be repaired, and pays for nothing less."""

import json
from itertools import islice
from random import Random
from typing import Any

import pytest

from lachesis.environments.shipped.schema_repair.damage import damaged
from lachesis.environments.shipped.schema_repair.environment import LEVELS, SchemaRepair
from lachesis.environments.shipped.schema_repair.record import draw_record
from lachesis.verifiers.json_data.schema import faults
from lachesis.verifiers.task import Task

TASKS = list(islice(SchemaRepair().tasks("train", 0), 40))


def broken_text(task: Task) -> str:
    return str(task.prompt).split("Object:\n```\n")[1].split("\n```")[0]


def test_the_intact_object_earns_everything_and_other_replies_nothing() -> None:
    environment = SchemaRepair()
    for number, task in enumerate(TASKS[:16]):
        assert environment.score(task, environment.demonstration(task)).success
        others = ["", "{}", broken_text(task), str(task.prompt), environment.demonstration(TASKS[number - 1])]
        assert [environment.score(task, reply).total for reply in others] == [0.0] * len(others)


def test_levels_rise_in_damages() -> None:
    environment = SchemaRepair(test_tasks=4)
    counts = {
        level: max(task.info["damages"] for task in environment.tasks("test", 0) if task.info["difficulty"] == level)
        for level in range(1, LEVELS + 1)
    }
    assert list(counts.values()) == sorted(counts.values())
    assert (counts[1], counts[LEVELS]) == (1, 7)


def test_every_broken_value_breaks_the_schema_by_itself() -> None:
    rng = Random(1)
    for _ in range(10):
        record = draw_record(rng, fields=6, depth=1)
        assert faults(record.value, record.schema) == []
        broken = damaged(record, rng, values=3, syntax=0)
        assert broken.damages == 3
        assert len(faults(json.loads(broken.text), record.schema)) >= 3


def test_splits_share_no_task_and_seeds_give_the_same_tasks() -> None:
    test = {str(task.prompt) for task in SchemaRepair(test_tasks=2).tasks("test", 1)}
    assert list(islice(SchemaRepair().tasks("train", 0), 40)) == TASKS
    assert not test & {str(task.prompt) for task in TASKS}


@pytest.mark.parametrize(
    ("settings", "holds", "lacks"),
    [
        ({"shown_as": "schema"}, '"additionalProperties": false', "BaseModel"),
        ({"shown_as": "pydantic"}, 'extra="forbid"', "additionalProperties"),
        ({"show_faults": False}, "Object:", "Faults:"),
    ],
)
def test_the_prompt_shows_what_the_settings_say(settings: dict[str, Any], holds: str, lacks: str) -> None:
    for task in islice(SchemaRepair(**settings).tasks("train", 1), 3):
        assert holds in task.prompt
        assert lacks not in task.prompt
