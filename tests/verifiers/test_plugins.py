"""Choices by name: built-in ones, those of users, and errors with a cure."""

import json
from typing import Annotated

import pytest

from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.plugins import Plugins
from lachesis.verifiers.settings import Settings, validated
from lachesis.verifiers.task import Task

RECORDS = Plugins[type]("record", "lachesis.verifiers", {"task": "task:Task", "lost": "task:Tusk"})


class Chosen(Settings):
    record: Annotated[str, RECORDS.setting] = "task"


def test_built_in_names_and_module_names_are_loaded() -> None:
    assert RECORDS.load("task") is Task
    assert RECORDS.load("json:JSONDecoder") is json.JSONDecoder
    assert RECORDS.names == ("task", "lost")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tusk", "no record is named 'tusk'; did you mean 'task'?; your own goes by module:name"),
        ("json:", "no record is named 'json:'"),
        ("no_such_module:X", "record 'no_such_module:X': No module named 'no_such_module'; install its package"),
        ("json:Nothing", "json has no 'Nothing'"),
        ("lost", r"has no 'Tusk'"),
    ],
)
def test_an_unknown_name_is_an_error_with_its_cure(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        RECORDS.load(name)


def test_settings_refuse_a_name_before_anything_is_imported() -> None:
    assert validated(Chosen, {"record": "not_imported_yet:Thing"}, "run").record == "not_imported_yet:Thing"
    with pytest.raises(ConfigError, match="run: 'record': no record is named 'tusk'; did you mean 'task'"):
        validated(Chosen, {"record": "tusk"}, "run")
