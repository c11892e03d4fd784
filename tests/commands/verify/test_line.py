"""Rows to judge: what they may hold, what is refused, and that no line of any kind stops the others."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.commands.verify.line import Line, lines_of, read_row
from lachesis.verifiers.errors import DataError, InputError
from lachesis.verifiers.verdict import Verdict


def judge(row: Any, number: int = 1) -> Verdict:
    text = row if isinstance(row, bytes) else json.dumps(row).encode()
    return asyncio.run(Line(number, text).verify())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{half", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "expected a JSON object, found list"),
        (b'{"completion": "1"}', "'verifier' is text, found None"),
        (b'{"verifier": "number", "answer": 1}', "either 'completion' or 'messages'"),
        (b'{"verifier": "number", "completion": "1", "messages": []}', "either 'completion' or 'messages'"),
        (b'{"verifier": "number", "completion": 1}', "'completion' is text, found 1"),
        (b'{"verifier": "number", "messages": []}', "non-empty list of messages"),
        (b'{"verifier": "number", "messages": [{"role": "boss", "content": ""}]}', "a message has a role"),
        (b'{"verifier": "numbre", "completion": "1", "answer": 1}', "did you mean 'number'"),
        (b'{"verifier": "number", "completion": "1", "params": {"tol": 1}}', "did you mean 'tolerance'"),
        (b'{"verifier": "number", "completion": "1", "params": {"tolerance": "1"}}', "cannot be made with"),
        (b'{"verifier": "number", "completion": "1", "params": [1]}', "'params' is an object"),
        (b'{"verifier": "number", "completion": "1", "artifacts": "a"}', "'artifacts' is an object"),
        (b'{"verifier": "number", "completion": "1", "answer": NaN}', "JSON only"),
        (b'{"verifier": "number", "completion": "1", "answers": 1}', "unknown key 'answers'; did you mean 'answer'"),
        (b'{"verifier": "number", "completion": "1", "answer": 1, "param": {}}', "did you mean 'params'"),
    ],
)
def test_a_malformed_row_is_an_infrastructure_error_that_names_its_line(line: bytes, says: str) -> None:
    verdict = judge(line, number=17)
    assert (verdict.score, verdict.status) == (None, "infra_error")
    assert verdict.reason.startswith("line 17: ")
    assert says in verdict.reason


@pytest.mark.parametrize("extra", [{"id": 4, "weight": 2, "source": "x"}, {"message": "m", "label": None}])
def test_the_users_own_columns_are_let_be(extra: dict[str, Any]) -> None:
    assert judge({"verifier": "number", "completion": "4", "answer": 4, "params": {}, **extra}).passed


def test_a_conversation_may_stand_for_the_completion() -> None:
    said = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    _, case = read_row(json.dumps({"verifier": "number", "messages": said, "answer": 4, "artifacts": {"a": 1}}))
    assert (case.completion, case.messages, case.artifacts) == ("4", tuple(said), {"a": 1})
    assert judge({"verifier": "number", "messages": said, "answer": 4}).passed


def test_a_prompt_and_info_reach_the_verifier() -> None:
    _, case = read_row('{"verifier": "number", "completion": "4", "prompt": "2 + 2?", "info": {"hint": 2}}')
    assert [message["role"] for message in case.messages] == ["user", "assistant"]
    assert (case.task.prompt, case.task.info) == ("2 + 2?", {"hint": 2})


def test_one_verifier_serves_all_rows_with_its_parameters() -> None:
    row = '{"verifier": "number", "completion": "%s", "params": {"tolerance": 0.5}}'
    assert read_row(row % "4")[0] is read_row(row % "5")[0]
    assert read_row(row % "4")[0] is not read_row('{"verifier": "number", "completion": "4"}')[0]


def test_blank_lines_are_no_rows_but_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n{}\n \r\n{}")
    assert [line.number for line in lines_of(path)] == [2, 4]
    assert len({line.digest for line in lines_of(path)}) == 1


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Is a directory"):
        next(lines_of(tmp_path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["completion", "messages", "answer", "params", "prompt", "info", "artifacts", "parms"])


@given(st.dictionaries(KEYS, JSON, max_size=5), st.sampled_from(["number", "nobody", "format"]))
def test_whatever_a_row_holds_it_is_judged_or_refused(row: dict[str, Any], verifier: str) -> None:
    with suppress(InputError):
        read_row(json.dumps({"verifier": verifier, **row}))


@given(st.binary())
def test_whatever_a_line_is_it_gets_its_verdict(text: bytes) -> None:
    assert judge(text).status == "infra_error"
