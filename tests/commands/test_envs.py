"""``lachesis envs``: families and instances apart, and examples that can be put into a file as they are printed."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lachesis.commands import envs as listing
from lachesis.commands.envs import print_environment, print_verifier, print_verifiers
from lachesis.commands.verify.rescoring import verify_file
from lachesis.environments.loading import find_environment, known_environments
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import known_verifiers, verifier_class


def test_the_examples_that_are_printed_are_rows_for_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], built_in_verifiers: None
) -> None:
    print_verifiers()
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("{")]
    assert "…" not in printed.split(" families, ")[0]
    (families, instances) = map(int, re.findall(r"(\d+) families, (\d+) instances", printed)[0])
    assert families == len(known_verifiers())
    assert instances == sum(len(getattr(verifier_class(name), "instances", " ")) for name in known_verifiers())
    shown = [json.loads(row)["verifier"] for row in rows]
    assert shown == [name for name in known_verifiers() if not hasattr(verifier_class(name), "verify_group")]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    verify_file(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", jobs=2)  # raises where one is not judged
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(rows)


def test_a_family_is_one_and_its_instances_are_counted(
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
    assert "1 families, 2 instances" in printed
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
    settings = dict(re.findall(r"^  (\w+).*\n      (.+)$", printed.partition("Settings:")[2], re.MULTILINE))
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
