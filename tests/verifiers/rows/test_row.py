"""A task's own verifiers: they are judged like those of the rubric, and a row cannot ask for more than it may."""

import asyncio
import math
import sys
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers import registry
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.registry import imported_verifiers, make_verifier, verifier, verifier_class
from lachesis.verifiers.reward import Reward
from lachesis.verifiers.rows.row import MAX_ENTRIES, check_entries, entries, row_verifiers
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.instructions import language
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict, passed


def judge(said: str, verify: Any, answer: Any = "42", rubric: Rubric | None = None, rows: bool = True) -> Reward:
    task = Task("q", answer, verify=tuple(verify))
    attempt = Trajectory(task, messages={"policy": ({"role": "assistant", "content": said},)})
    return asyncio.run((rubric or Rubric()).score(Case(attempt), rows))


@verifier("test_powerful")
@dataclass(frozen=True)
class Powerful:
    """What an installed package might bring: it declares nothing that a row may set."""

    endpoint: str = ""

    async def verify(self, case: Case) -> Verdict:
        raise AssertionError("a row made it run")


@verifier("test_params")
@dataclass(frozen=True)
class Harmless:
    """Passes if the task's parameters are those of the verifier."""

    word: str = ""
    seconds: float = 1.0
    row_params: ClassVar[frozenset[str]] = frozenset({"word"})

    async def verify(self, case: Case) -> Verdict:
        return passed(score=float(case.params.get("word") == self.word == case.answer))


def test_a_tasks_verifiers_are_components_with_their_own_answers_weights_and_labels() -> None:
    own = [
        {"verifier": "exact"},
        {"verifier": "exact", "answer": "YES", "weight": 0.5, "params": {"ignore_case": True}},
        {"verifier": "number", "answer": "7", "weight": 0},
    ]
    judged = judge("yes", own, answer="yes", rubric=Rubric(use("exact", weight=2.0)))
    assert [(part.label, part.weight, part.verdict.score) for part in judged.components] == [
        ("exact", 2.0, 1.0),
        ("task/exact", 1.0, 1.0),
        ("task/exact.2", 0.5, 1.0),
        ("task/number", 0.0, 0.0),
    ]
    assert judged.total == 3.5
    assert Reward.from_json(judged.to_json()) == judged


def test_a_tasks_own_verifier_gets_its_parameters_and_answer() -> None:
    own = {"verifier": "test_params", "params": {"word": "w"}, "answer": "w"}
    assert judge("", [own], answer="other").total == 1.0


def test_without_rows_the_rubric_alone_judges() -> None:
    assert judge("42", [{"verifier": "exact"}], rows=False).components == ()


def test_a_gate_of_the_rubric_skips_the_tasks_own_too() -> None:
    judged = judge("42", [{"verifier": "exact"}], rubric=Rubric(use("format", gate=True)))
    assert (judged.gate, judged.skipped, judged.total) == ("format", ("task/exact",), 0.0)


ATTACKS: list[tuple[Any, str]] = [
    ({"verifier": "math", "params": {"cpu_seconds": 1e9}}, "cannot set 'cpu_seconds'"),
    ({"verifier": "code", "params": {"timeout": 1e9}}, "cannot set 'timeout'"),
    ({"verifier": "code", "params": {"memory": 1 << 50}}, "cannot set 'memory'"),
    ({"verifier": "code", "params": {"allow_shared": True}}, "cannot set 'allow_shared'"),
    ({"verifier": "code", "params": {"backend": "none"}}, "cannot set 'backend'"),
    ({"verifier": "exact", "params": {"network": True}}, "cannot set 'network'"),
    ({"verifier": "task_completion", "params": {"by": "test_powerful"}}, "cannot set 'by'"),
    ({"verifier": "task_completion", "params": {"params": {"cpu_seconds": 9}}}, "cannot set 'params'"),
    ({"verifier": "test_powerful"}, "cannot name the verifier 'test_powerful'"),
    ({"verifier": "test_powerful", "params": {"endpoint": "http://example.org"}}, "cannot name"),
    ({"verifier": "os.system"}, "cannot name"),
    ({"verifier": "../math"}, "cannot name"),
    ({"verifier": "maths"}, "did you mean 'math'"),
    ({"verifier": "relative_length"}, "cannot name"),
    ({"verifier": ["math"]}, "a text 'verifier'"),
    ({"verifier": "exact", "weight": math.nan}, "JSON"),
    ({"verifier": "exact", "weight": 1e308}, "from 0 to 10"),
    ({"verifier": "exact", "weight": 10**400}, "from 0 to 10"),
    ({"verifier": "exact", "weight": -1}, "from 0 to 10"),
    ({"verifier": "exact", "weight": True}, "from 0 to 10"),
    ({"verifier": "exact", "weight": "1"}, "from 0 to 10"),
    ({"verifier": "exact", "params": [1]}, "are an object"),
    ({"verifier": "exact", "gate": True}, "has no 'gate'"),
    ({"verifier": "exact", "label": "exact"}, "has no 'label'"),
    ({"verifier": "number", "params": {"tolerance": -1}}, "tolerance"),
    ("exact", "a text 'verifier'"),
    (None, "a text 'verifier'"),
]


@pytest.mark.parametrize(("entry", "says"), ATTACKS, ids=[str(entry)[:60] for entry, _ in ATTACKS])
def test_a_forbidden_entry_of_a_row_is_refused_and_never_scored(entry: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        check_entries(Task("q", "42", verify=(entry,)))
    if says == "JSON":
        return
    judged = judge("42", [entry])
    assert [part.verdict.status for part in judged.components] == ["infra_error"]
    assert not judged.scored
    assert "repair the dataset" in judged.components[0].verdict.reason


def test_ten_thousand_verifiers_are_refused_at_once() -> None:
    own = [{"verifier": "exact"}] * 10_000
    with pytest.raises(DataError, match=f"at most {MAX_ENTRIES}"):
        check_entries(Task("q", "42", verify=tuple(own)))
    assert not judge("42", own).scored


def test_an_installed_packages_verifier_is_not_imported_for_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "test_package"

        def load(self) -> Any:
            raise AssertionError("a row made a package's module run")

    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry()])
    with pytest.raises(DataError, match="cannot name the verifier 'test_package'"):
        check_entries(Task("q", "42", verify=({"verifier": "test_package"},)))


def test_a_row_that_names_a_module_imports_nothing() -> None:
    assert "this" not in sys.modules
    with pytest.raises(DataError, match="cannot name the verifier 'this:d'"):
        check_entries(Task("q", "42", verify=({"verifier": "this:d"},)))
    with pytest.raises(ConfigError, match="no verifier is named 'this:d'"):
        verifier_class("this:d")
    assert "this" not in sys.modules


def test_no_row_may_set_a_parameter_that_concerns_the_machine() -> None:
    machine = ("second", "timeout", "total", "memory", "backend", "sandbox", "path", "url", "endpoint", "network")
    names = row_verifiers()
    assert {"exact", "math", "number", "format", "code"} <= set(names)
    for name in names:
        cls: Any = verifier_class(name)
        if name in registry.BUILT_IN.names:
            assert set(cls.row_params) <= {field.name for field in fields(cls)}, name
        for param in (*cls.row_params, ""):
            assert not any(word in param for word in machine), (name, param)
            assert param not in ("by", "params", "pattern", "allow_shared"), (name, param)


def test_every_built_in_verifier_of_single_attempts_lists_what_a_row_may_set() -> None:
    single = [name for name in registry.BUILT_IN.names if hasattr(verifier_class(name), "verify")]
    assert sorted(set(single) & set(imported_verifiers()) - set(row_verifiers())) == []


def test_a_rubric_cannot_use_the_label_prefix_of_tasks() -> None:
    with pytest.raises(ConfigError, match="the tasks' own"):
        Rubric(use("exact", label="task/exact"))


ANY = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists, max_leaves=5
)
KEYS = st.sampled_from(["verifier", "answer", "params", "weight", "ignore_case", "tolerance", "extract"])
ENTRY = st.dictionaries(KEYS, ANY | st.sampled_from(["math", "exact"]) | st.dictionaries(KEYS, ANY)) | ANY


@given(st.lists(ENTRY, max_size=20))
def test_no_row_makes_the_rubric_raise_or_score_what_it_refuses(own: list[Any]) -> None:
    task = Task("q", "42", verify=tuple(own))
    judged = judge("42", own)
    try:
        found = entries(task)
    except DataError:
        assert not judged.scored
        return
    assert [part.label for part in judged.components] == [entry.label for entry in found]


UNUSABLE = [
    ("number", "four", {}, "not a number"),
    ("date", "2024-02-30", {}, "not one date"),
    ("math", "nan", {}, "no answer"),
    ("units", "5 apples", {}, "not one quantity"),
    ("sql", "SELECT 1", {}, "databases"),
    ("regex", "(", {}, "does not compile"),
    ("choice", "E", {"options": ["a", "b"]}, "not one of the labels"),
    ("json_schema", {"type": "nothing"}, {}, "schema"),
    ("json_repair", {}, {}, "schema"),
    ("instruction", {"func_name": "no_such_function"}, {}, "there is no instruction"),
    ("instruction", {"instruction_id_list": ["keywords:existence"], "kwargs": [{}]}, {}, "needs the parameter"),
]


@pytest.mark.parametrize(("name", "answer", "params", "says"), UNUSABLE, ids=[f"{row[0]} {row[1]}" for row in UNUSABLE])
def test_an_answer_that_nobody_could_match_is_refused_when_the_task_is_drawn(
    name: str, answer: Any, params: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        check_entries(Task("q", verify=({"verifier": name, "answer": answer, "params": params},)))
    with pytest.raises(DataError, match=says):
        check_entries(Task("q", answer), [make_verifier(name, params)])


def test_a_missing_package_is_named_with_its_cure_when_the_task_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "find_spec", lambda name: None)
    asked = {"instruction_id_list": ["language:response_language"], "kwargs": [{"language": "de"}]}
    with pytest.raises(DataError, match=r"pip install 'lachesis-rl\[language\]'"):
        check_entries(Task("q", verify=({"verifier": "instruction", "answer": asked},)))
    with pytest.raises(ConfigError, match=r"pip install 'lachesis-rl\[language\]'"):
        make_verifier("instruction", asked)
