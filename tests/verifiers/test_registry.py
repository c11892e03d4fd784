"""Verifiers by name."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, nearest
from lachesis.verifiers.registry import BUILT_IN, known_verifiers, make_verifier, verifier, verifier_class
from lachesis.verifiers.rubric import Rubric
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.use import use
from lachesis.verifiers.verdict import Verdict, passed


@pytest.mark.parametrize("name", ["exact", "number", "math", "format"])
def test_the_built_in_verifiers_are_found_by_name(name: str) -> None:
    assert name in known_verifiers()
    assert hasattr(make_verifier(name, {}), "verify")


def test_an_unknown_name_or_parameter_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'math'"):
        make_verifier("maths", {})
    with pytest.raises(ConfigError, match="no parameter 'tolerence'; did you mean 'tolerance'"):
        make_verifier("number", {"tolerence": 1})


def test_a_message_lists_only_some_of_many_names() -> None:
    assert nearest("x", map(str, range(100, 130))).count(", ") == 29
    assert nearest("x", map(str, range(100, 180))).endswith(", 129 and 50 more")
    assert nearest("x", ()) == "known: none"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("number", {"tolerance": "wide"}),
        ("number", {"tolerance": -1}),
        ("math", {"cpu_seconds": 0}),
        ("math", {"extract": []}),
        ("list", {"ordered": "false"}),
        ("exact", {"ignore_case": 1}),
        ("json_answer", {"field": ["a"]}),
        ("task_completion", {"artifact": {"a": 1}}),
        ("error_recovery", {"no_failure": True}),
        ("format", {"required": None}),
    ],
)
def test_an_impossible_parameter_is_a_config_error(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make_verifier(name, params)


def test_two_verifiers_cannot_share_a_name() -> None:
    @verifier("test_twice")
    @dataclass(frozen=True)
    class First:
        async def verify(self, case: Any) -> Verdict:
            return passed()

    assert verifier("test_twice")(First) is First
    with pytest.raises(ConfigError, match="two verifiers are named 'test_twice'"):
        verifier("test_twice")(type("Second", (), {}))


def test_an_error_of_a_verifiers_own_check_names_the_verifier_and_its_parameters() -> None:
    @verifier("test_fussy")
    @dataclass(frozen=True)
    class Fussy:
        word: Any

        def __post_init__(self) -> None:
            self.word.lower()

    with pytest.raises(ConfigError, match=r"'test_fussy' cannot be made with \{'word': 3\}: AttributeError"):
        make_verifier("test_fussy", {"word": 3})


def test_every_built_in_verifier_registers_itself_under_its_name_in_the_table() -> None:
    for name in BUILT_IN.names:
        assert verifier(name)(BUILT_IN.load(name)) is verifier_class(name)  # type: ignore[type-var]


SHOUTED = """
from dataclasses import dataclass

from lachesis.verifiers.verdict import passed, wrong


@dataclass(frozen=True)
class Shouted:
    mark: str = "!"

    async def verify(self, case):
        return passed() if case.completion.endswith(self.mark) else wrong("it is not shouted")
"""


def test_a_user_verifier_is_used_by_module_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shouted_for_test.py").write_text(SHOUTED)
    monkeypatch.syspath_prepend(tmp_path)
    rubric = Rubric(use("shouted_for_test:Shouted", weight=2.0, mark="?"), use("exact"))
    said = Trajectory(Task("q", "Really?"), messages={POLICY: ({"role": "assistant", "content": "Really?"},)})
    found = asyncio.run(rubric.score(Case(said)))
    assert {part.label: part.verdict.score for part in found.components} == {"Shouted": 1.0, "exact": 1.0}
    assert found.total == 3.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Shouted", "verifier 'no_such_module:Shouted': No module named 'no_such_module'"),
        ("json:Shouted", "verifier 'json:Shouted': json has no 'Shouted'; check the spelling"),
    ],
)
def test_a_class_that_cannot_be_imported_is_an_error_with_its_cure(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        use(name)
