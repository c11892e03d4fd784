"""Answers in exactly one form: each form with what it takes for itself, and what it does not."""

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.forms import FORMS, SLOT
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

VALUES = ("42", "Paris", "-7", "3.5", "two words")


def judge(text: str, answer: Any = "42", info: dict[str, Any] | None = None, **params: Any) -> Verdict:
    return asyncio.run(make_verifier("answer_form", params).verify(case(text, answer, info)))


def case(text: str, answer: Any = "42", info: dict[str, Any] | None = None) -> Case:
    said = Trajectory(
        Task("", answer=answer, info=info or {}), messages={POLICY: ({"role": "assistant", "content": text},)}
    )
    return Case(said)


def test_there_are_150_forms_each_with_words_and_a_place_for_the_value() -> None:
    assert len(FORMS) == 150
    assert len({form.shape for form in FORMS.values()}) == len({form.words for form in FORMS.values()}) == 150
    for form in FORMS.values():
        assert form.shape.count(SLOT) == 1, form


@pytest.mark.parametrize("name", FORMS)
def test_a_form_reads_what_it_writes_and_nothing_with_more_or_less_in_it(name: str) -> None:
    for value in VALUES:
        text = FORMS[name].write(value)
        assert judge(text, value, form=name).passed
        assert judge(f"<think>hm</think>\n{text}  \n", value, form=name).passed
        assert judge(text, value + "0", form=name).status == "wrong"
        for other in (f"So: {text}", f"{text}\n\nI hope this helps.", text[:-1], text[1:], f"{text}\n{text}", value):
            assert judge(other, value, form=name).score == 0.0, other


@pytest.mark.parametrize("name", FORMS)
def test_no_form_takes_what_another_writes(name: str) -> None:
    alike = {("markdown_heading", "line_comment")}  # "# answer: 42" is a heading too

    async def passed() -> list[tuple[str, bool, bool]]:
        found = []
        for other in FORMS:
            verdicts = [
                await make_verifier("answer_form", {"form": name, "value": value}).verify(
                    case(FORMS[other].write("42"))
                )
                for value in (True, False)
            ]
            found.append((other, verdicts[0].passed, verdicts[1].passed))
        return found

    for other, right, formed in asyncio.run(passed()):
        assert right == (other == name), other
        assert formed == (other == name or (name, other) in alike), other


@pytest.mark.parametrize("name", FORMS)
def test_an_empty_value_is_none(name: str) -> None:
    for value in ("", " ", "\n", " 42", "4\n2"):
        assert FORMS[name].read(FORMS[name].write(value)) is None
    assert judge("", form=name).status == "unparseable"


@pytest.mark.parametrize("name", [name for name in FORMS if FORMS[name].is_json])
def test_json_may_be_set_as_it_likes_but_holds_a_text_and_no_more(name: str) -> None:
    value = json.loads(FORMS[name].write("42"))
    assert judge(json.dumps(value, indent=4), form=name).passed
    assert not judge(json.dumps(value).replace('"42"', "42"), form=name).passed
    assert not judge(json.dumps([*value, 1] if isinstance(value, list) else value | {"more": 1}), form=name).passed
    quoted = 'say "hi" \\ \u00e9'
    assert judge(FORMS[name].write(quoted), quoted, form=name).passed


def test_the_task_may_say_which_form_and_the_case_of_the_value_is_no_matter() -> None:
    assert judge(r"\boxed{PARIS}", ["paris", "Lutetia"], {"form": "boxed"}).passed
    assert judge("42", info={"form": "boxd"}).status == "infra_error"
    assert judge("42", info={"form": ["boxed"]}).status == "infra_error"
    assert judge(r"\boxed{42}", None, form="boxed").status == "infra_error"
    assert judge(r"\boxed{42}", None, form="boxed", value=False).passed


def test_where_reasoning_is_refused_a_block_is_part_of_the_answer() -> None:
    text = r"<think>hm</think>\boxed{42}"
    assert judge(text, form="boxed").passed
    assert judge(text, form="boxed", reasoning=False).status == "unparseable"
    assert judge(r"\boxed{42}", form="boxed", reasoning=False).passed


def test_parameters_that_cannot_be_are_refused() -> None:
    for params, said in (({"form": "boxd"}, "'boxed'"), ({"value": 1}, "value is true or false")):
        with pytest.raises(ConfigError, match=said):
            make_verifier("answer_form", params)


@given(st.text(), st.sampled_from(sorted(FORMS)))
def test_no_text_makes_it_raise(text: str, name: str) -> None:
    assert judge(text, form=name).score == 0.0 or text.strip()


def test_long_answers_are_judged_at_once() -> None:
    for name in FORMS:
        for text in ("[" * 100_000, '{"answer":' * 10_000, "\n" * 100_000, FORMS[name].write("x" * 90_000)):
            start = time.process_time()
            judge(text, form=name)
            assert time.process_time() - start < 4
    assert judge("x" * 100_001, form="boxed").status == "limit"
