"""Choices by name: built-in ones, those of users, and errors with a cure."""

import json
from pathlib import Path
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


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "raise ValueError('half made')", "import os; os.nope"])
def test_a_module_that_does_not_import_is_an_error_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    name = f"broken_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"record '{name}:X': {name} does not import: .*{name}.py, line 1"):
        RECORDS.check_own(f"{name}:X")
    RECORDS.check_own("lost")  # a built-in name is not imported
