"""Environments by name, by class, and by file."""

import sys
from pathlib import Path

import pytest

from lachesis.environments.loading import describe, known_environments
from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.verifiers.errors import ConfigError

FILE = """
from lachesis import Environment, Rubric, Task, use

class Echo(Environment):
    rubric = Rubric(use("exact", weight=WEIGHT))

    def tasks(self, split, seed):
        yield Task("say hi", answer="hi")
"""


def write(folder: Path, source: str, name: str = "mine.py") -> str:
    (folder / name).write_text(source)
    return str(folder / name)


def test_a_built_in_environment_is_found_by_name() -> None:
    environment = describe("arithmetic", config={"digits": 3}, weights={"exact": 2.0}, label="sums").build()
    assert isinstance(environment, Arithmetic)
    assert (environment.config.digits, environment.rubric.weights, environment.label) == (
        3,
        {"exact": 2.0, "digits": 0.0},
        "sums",
    )
    assert {"arithmetic", "gsm8k"} <= set(known_environments())


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'arithmetic'"):
        describe("arithmetics").build()


def test_a_class_is_found_by_its_module() -> None:
    assert isinstance(describe("lachesis.environments.shipped.arithmetic:Arithmetic").build(), Arithmetic)
    with pytest.raises(ConfigError, match="did you mean 'Arithmetic'"):
        describe("lachesis.environments.shipped.arithmetic:Arithmetik").build()
    with pytest.raises(ConfigError, match="install the package"):
        describe("no_such_module:Thing").build()
    with pytest.raises(ConfigError, match="not a subclass"):
        describe("lachesis.environments.shipped.arithmetic:Rubric").build()


def test_a_module_that_does_not_import_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "def (", "broken_module_of_a_test.py")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigError, match="SyntaxError"):
        describe("broken_module_of_a_test:Thing").build()


def test_a_file_is_named_by_its_path_alone(tmp_path: Path) -> None:
    environment = describe(write(tmp_path, FILE.replace("WEIGHT", "1.0"))).build()
    task = next(iter(environment.tasks("test", 0)))
    assert environment.score(task, "hi").total == 1.0


def test_the_file_travels_with_its_spec(tmp_path: Path) -> None:
    spec = describe(write(tmp_path, FILE.replace("WEIGHT", "1.5")))
    (tmp_path / "mine.py").unlink()
    assert spec.build().rubric.weights == {"exact": 1.5}


def test_a_file_edited_between_two_loads_is_loaded_anew(tmp_path: Path) -> None:
    first = describe(write(tmp_path, FILE.replace("WEIGHT", "2.0")))
    second = describe(write(tmp_path, FILE.replace("WEIGHT", "3.0")))
    assert [spec.build().rubric.weights["exact"] for spec in (first, second, first)] == [2.0, 3.0, 2.0]
    assert first.environment_class() is first.environment_class()


def test_a_file_with_two_environments_asks_which(tmp_path: Path) -> None:
    path = write(tmp_path, FILE.replace("WEIGHT", "1.0") + "\nclass Other(Echo):\n    pass\n")
    with pytest.raises(ConfigError, match=r"2 environments \(Echo, Other\); name one"):
        describe(path).build()
    assert type(describe(f"{path}:Other").build()).__name__ == "Other"
    with pytest.raises(ConfigError, match="did you mean 'Other'"):
        describe(f"{path}:Othr").build()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def (", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("x = 1", "defines 0 environments"),
        ("from lachesis import Environment", "defines 0 environments"),
    ],
)
def test_a_file_that_is_no_environment_is_one_clear_error(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        describe(write(tmp_path, source)).build()


def test_a_missing_file_or_one_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the environment"):
        describe(str(tmp_path / "none.py"))
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read the environment"):
        describe(str(tmp_path / "binary.py"))
