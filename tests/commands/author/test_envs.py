"""``lachesis envs``: what there is, counted apart, and examples that can be put into a file as they are printed."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lachesis.commands.author import envs as listing
from lachesis.commands.author.envs import print_environment, print_verifier, print_verifiers
from lachesis.commands.verify.rescoring import verify_file
from lachesis.environments.dataset import DatasetEnvironment
from lachesis.environments.loading import find_environment, known_environments
from lachesis.environments.shipped.puzzles.catalogue import FAMILIES, LEVELS
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import known_verifiers, verifier_class
from lachesis.verifiers.rows.row import check_entries
from lachesis.verifiers.text.forms import FORMS
from lachesis.verifiers.text.instructions.constraint import CONSTRAINTS


def test_the_examples_that_are_printed_are_rows_for_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], built_in_verifiers: None
) -> None:
    print_verifiers()
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("{")]
    assert "…" not in printed.split(" in total")[0]
    counts = re.findall(
        r"│ (verifiers|answer forms|kinds of instruction|puzzles|reasoning_gym)\b.*?│ +(\d+) +│", printed
    )
    assert [name for name, _ in counts] == [
        "verifiers",
        "answer forms",
        "kinds of instruction",
        "puzzles",
        "reasoning_gym",
    ]
    assert dict(counts)["answer forms"] == str(len(FORMS))
    assert dict(counts)["kinds of instruction"] == str(len(CONSTRAINTS))
    assert dict(counts)["puzzles"] == str(LEVELS * len(FAMILIES))
    instances = sum(len(getattr(verifier_class(name), "instances", " ")) for name in known_verifiers())
    assert sum(int(count) for _, count in counts[:3]) == instances
    assert f"{sum(int(count) for _, count in counts)} in total" in printed
    shown = [json.loads(row)["verifier"] for row in rows]
    assert shown == [name for name in known_verifiers() if not hasattr(verifier_class(name), "verify_group")]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    verify_file(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", jobs=2)  # raises where one is not judged
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(rows)


def test_the_instances_of_a_verifier_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass(frozen=True)
    class Several:
        """It passes [in] one of several ways."""

        needed: str
        given: int = 3
        instances: ClassVar[tuple[str, ...]] = ("this", "that")

    def found(name: str) -> Any:
        if name == "broken":
            raise ConfigError("no module named 'gone'")
        return Several if name == "several" else verifier_class("exact")

    monkeypatch.setattr(listing, "known_verifiers", lambda: ["broken", "several"])
    monkeypatch.setattr(listing, "verifier_class", found)
    monkeypatch.setenv("COLUMNS", "200")
    print_verifiers()
    printed = capsys.readouterr().out
    assert re.search(r"verifiers +│ +2 ", printed)
    for text in (
        "It passes [in] one of several ways.",
        "this, that",
        "needed",
        "given = 3",
        "does not load: no module",
    ):
        assert text in printed


@pytest.mark.parametrize("name", known_environments())
def test_one_environment_says_what_each_of_its_settings_means(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_environment(name)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{name}: ")
    settings = dict(
        re.findall(r"^  (\w+).*\n      (.+)$", printed.partition("Settings:")[2].partition("\nRows ")[0], re.MULTILINE)
    )
    assert list(settings) == list(find_environment(name).Config.model_fields)
    assert "no description" not in printed
    assert "None" not in printed


def test_an_environment_that_is_not_known_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'arithmetic'"):
        print_environment("arithmetik")


def test_one_family_says_what_each_of_its_parameters_means(
    capsys: pytest.CaptureFixture[str], built_in_verifiers: None
) -> None:
    for name in known_verifiers():
        print_verifier(name)
        printed = capsys.readouterr().out
        assert printed.startswith(f"{name}: ")
        example, _ = json.JSONDecoder().raw_decode(printed.partition("Example:")[2].strip())
        assert example["verifier"] == name
    with pytest.raises(ConfigError, match="did you mean 'math'"):
        print_verifier("maths")


DATASETS = [
    name
    for name in known_environments()
    if issubclass(find_environment(name), DatasetEnvironment) and name != "harbor"  # which reads folders
]


@pytest.mark.parametrize("name", DATASETS)
def test_the_rows_that_are_printed_for_an_environment_are_rows_that_it_reads(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    print_environment(name)
    printed = capsys.readouterr().out.partition("\nRows ")[2]
    shown = dict(re.findall(r"^  (\S.*)\n      (.+)$", printed, re.MULTILINE))
    assert shown
    environment = find_environment(name)
    files = {setting.removeprefix("in "): row for setting, row in shown.items() if setting.startswith("in ")}
    for file, row in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(row)
    if files:
        assert len(list(environment(path=tmp_path).tasks("test", 0))) == 1
        return
    (tmp_path / "rows").mkdir()
    for setting, row in shown.items():
        (tmp_path / "rows" / "test.jsonl").write_text(row)
        settings = {} if setting == "with these settings" else tomllib.loads(setting.replace(", ", "\n"))
        made = environment(path=tmp_path / "rows", splits={"test": "test"}, name=None, **settings)
        (task,) = made.tasks("test", 0)
        check_entries(task, made.rubric.verifiers)


def test_an_environment_without_rows_shows_none_and_one_without_an_example_says_how_to_give_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_environment("arithmetic")
    assert "Rows" not in capsys.readouterr().out
    (tmp_path / "bare.py").write_text(
        "from lachesis.environments.dataset import DatasetEnvironment\nclass Bare(DatasetEnvironment):\n    'Rows.'\n"
    )
    print_environment(str(tmp_path / "bare.py"))
    assert "write one into the attribute example_rows" in capsys.readouterr().out
