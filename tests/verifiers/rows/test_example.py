"""The examples of every verifier get the scores that they show when ``lachesis verify`` judges them."""

import asyncio
import inspect
import json
import re
from dataclasses import fields
from typing import Any

import pytest

from lachesis.commands.verify.line import Line
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import known_verifiers, make_verifier, verifier_class
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.rows.example import Example, examples_of
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

NAMES = [name for name in known_verifiers() if verifier_class(name).__module__.startswith("lachesis.")]


async def scores(row: dict[str, Any]) -> float | list[float | None] | None:
    """What the row gets; each of its attempts, where it is a group's."""
    if "completions" not in row:
        verdict = await Line(1, json.dumps(row).encode()).verify()
        assert verdict.status != "infra_error", verdict.reason
        return verdict.score
    task, given = Task("", answer=row.get("answer")), row.get("rewards") or [0.0] * len(row["completions"])
    cases = []
    for said, score in zip(row["completions"], given, strict=True):
        reward = Reward((Component("given", 1.0, Verdict(score)),))
        messages = {POLICY: ({"role": "assistant", "content": said},)}
        cases.append(Case(Trajectory(task, messages=messages, rewards={POLICY: reward})))  # type: ignore[arg-type]
    together: Any = make_verifier(row["verifier"], row.get("params", {}))
    return [verdict.score for verdict in await together.verify_group(cases)]


@pytest.mark.parametrize("name", NAMES)
def test_every_verifier_has_examples_and_each_gets_its_score(name: str) -> None:
    examples = examples_of(verifier_class(name))
    assert examples, "its docstring has no Example: section"
    for row, score in examples:
        assert row["verifier"] == name
        assert asyncio.run(scores(row)) == pytest.approx(score), row


@pytest.mark.parametrize("name", NAMES)
def test_every_verifier_says_when_it_passes_and_what_each_parameter_is(name: str) -> None:
    cls: Any = verifier_class(name)
    text = inspect.getdoc(cls) or ""
    first, _, rest = text.partition("\n")
    assert len(first) > 20, "the first line is what lachesis envs --verifiers shows"
    heads = re.findall(r"^    (\w+(?:, \w+)*): ", rest.partition("Attributes:\n")[2], re.MULTILINE)
    said = {param for head in heads for param in head.split(", ")}
    assert {param.name for param in fields(cls)} <= said, "under Attributes:"
    kinds = getattr(cls, "instances", (name,))
    assert isinstance(kinds, tuple)
    assert len(set(kinds)) == len(kinds) > 0


def documented(section: str) -> type:
    return type("Documented", (), {"__doc__": f"Passes.\n\n    Attributes:\n        a: one.\n\n{section}"})


def test_rows_of_one_or_more_lines_are_read() -> None:
    rows = '{"a": 1} -> 1.0', '{"b":', ' "->"}', "-> -0.5", '{"c": 2} -> [1, 0.5]'
    section = "    Example:\n" + "".join(f"        {row}\n" for row in rows)
    expected = [Example({"a": 1}, 1.0), Example({"b": "->"}, -0.5), Example({"c": 2}, [1, 0.5])]
    assert examples_of(documented(section)) == expected
    assert examples_of(documented("    Other:\n        {}\n")) == []
    assert examples_of(type("Undocumented", (), {})) == []


def test_the_section_ends_before_the_following_text() -> None:
    assert examples_of(documented('    Example:\n        {"a": 1} -> 1.0\n\n    More text.\n')) == [({"a": 1}, 1.0)]


@pytest.mark.parametrize(
    "line", ['{"a": 1}', '{"a": 1 -> 1.0', "[1] -> 1.0", '{"a": 1} -> yes', '{"a": 1} -> 1.0x', "a"]
)
def test_an_example_without_a_row_or_a_score_is_refused(line: str) -> None:
    with pytest.raises(ConfigError):
        examples_of(documented(f"    Example:\n        {line}\n"))
