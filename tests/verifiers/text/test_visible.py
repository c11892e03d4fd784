"""What nobody sees counts for nothing, in every verifier that reads text."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.rows.jsonl import read_jsonl
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.normalization import normalized
from lachesis.verifiers.text.visible import visible
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


def judge(name: str, text: str, answer: Any = None, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier(name, params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


NOTHING = {
    "zero-width space": "\u200b",
    "joiner": "\u200d",
    "non-joiner": "\u200c",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "mark": "\u200e",
    "byte order mark": "\ufeff",
    "variation selector": "\ufe0f",
    "tag": "\U000e0041",
    "grapheme joiner": "\u034f",
    "invisible times": "\u2062",
    "null": "\0",
    "escape": "\x1b",
    "Mongolian vowel separator": "\u180e",
    "vowel inherent": "\u17b4",
}
BLANK = {"braille": "\u2800", "Hangul filler": "\u3164", "half-width filler": "\uffa0", "jungseong filler": "\u1160"}
unseen = pytest.mark.parametrize("char", [*NOTHING.values(), *BLANK.values()], ids=[*NOTHING, *BLANK])


@unseen
def test_it_is_no_reasoning_no_answer_and_no_length(char: str) -> None:
    assert judge("format", f"<think>{char}</think>4").status == "wrong"
    assert judge("format", f"<think>x</think>{char}").status == "wrong"
    assert judge("format", f"{char}<think>x</think>4").passed
    assert judge("length", char * 50, minimum=40).status == "wrong"
    assert judge("length", f"<think>{char * 50}</think>4", minimum=1, of="reasoning").status == "wrong"
    assert judge("exact", char, "4").status == "unparseable"
    assert judge("instruction", char, {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}).status == (
        "unparseable"
    )
    silent = {"category": "irrelevance", "functions": [{"name": "f", "parameters": {"properties": {}}}]}
    assert judge("bfcl", char * 3, **silent).status == "unparseable"


@pytest.mark.parametrize("char", NOTHING.values(), ids=[*NOTHING])
def test_it_hides_neither_words_nor_loops(char: str) -> None:
    forbidden = {"instruction_id_list": ["keywords:forbidden_words"], "kwargs": [{"forbidden_words": ["cats"]}]}
    assert judge("instruction", f"I love ca{char}ts", forbidden).status == "wrong"
    assert judge("repetition", " ".join(f"spam eggs{char * n}" for n in range(40))).score == 0.0
    assert judge("exact", f"4{char}2", "42").passed
    assert judge("regex", f"4{char}2", "42").passed


def test_marks_and_joiners_of_real_text_stay_what_they_are() -> None:
    for text in ("Café", "Cafe\u0301", "नमस्ते", "a\tb\n c\r\n", "Ελλάδα", "日本", "🙂"):
        assert visible(text) == text
    for found, answer in (
        ("Cafe\u0301", "Café"),
        ("Café", "Cafe\u0301"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ):
        assert judge("exact", found, answer).passed
    assert judge("exact", "Cafe", "Café").status == "wrong"


@pytest.mark.parametrize(
    "text", ["\ufdfa" * 300_000, "a" + "\u0301\u0323" * 150_000, "\u0323\u0301a" * 100_000, "\u3300" * 300_000]
)
@pytest.mark.parametrize("name", ["exact", "choice", "set"])
def test_text_that_explodes_when_it_is_normalised_takes_bounded_time(name: str, text: str) -> None:
    start = time.thread_time()
    params: dict[str, Any] = {"exact": {"normalized": True}, "choice": {"options": ["Paris", "Rome"]}, "set": {}}[name]
    assert not judge(name, text, "A", **params).passed
    assert time.thread_time() - start < 4


def test_long_texts_that_differ_late_stay_apart() -> None:
    one, other = "x " * 100_000 + "1", "x " * 100_000 + "2"
    assert normalized(one) == normalized(one)
    assert normalized(one) != normalized(other)


def test_the_rows_that_earned_once_do_not(shared_data: Callable[[str], Path]) -> None:
    for row in read_jsonl(shared_data("attacks/weak_text.jsonl")):
        verdict = judge(row["verifier"], row["completion"], row["answer"], **row.get("params", {}))
        assert verdict.score == 0.0, row
    for row in read_jsonl(shared_data("attacks/honest_lost.jsonl")):
        if row["verifier"] not in ("math", "code"):
            verdict = judge(row["verifier"], row["completion"], row["answer"], **row.get("params", {}))
            assert verdict.score == 1.0, (row, verdict)


@pytest.mark.parametrize(
    ("text", "answer", "same"),
    [
        ("- 5", "5", False),
        ("- 5", "-5", True),
        ("-5", "5", False),
        ("−  5", "5", False),
        ("– 5", "-5", True),
        ("x = - 5", "x = -5", True),
        ("3 - 5", "3 5", True),
        ("- five", "five", True),
        ("-.5", ".5", False),
        ("- .5", "-.5", True),
        ("(- 5)", "-5", True),
        ("-\n5", "5", False),
        ("1990-95", "1990-95", True),
        ("+ 5", "5", True),
    ],
)
def test_a_sign_before_a_space_is_a_sign(text: str, answer: str, same: bool) -> None:
    assert judge("exact", text, answer, normalized=True).passed == same


OPTIONS = ["Paris", "Rome", "New Rome", "Both of them"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Rome is the capital.", "ok"),
        ("rome is the capital of Italy", "ok"),
        ("Rome was founded first.", "ok"),
        ("**Rome** is the capital.", "ok"),
        ("Rome has the Colosseum!", "ok"),
        ("Rome hosts the government.", "ok"),
        ("Paris is the capital.", "wrong"),
        ("New Rome is the capital.", "wrong"),
        ("Rome is not the capital.", "lost"),
        ("Rome isn't the capital.", "lost"),
        ("Rome isn’t the capital.", "lost"),
        ("Rome might be the capital.", "lost"),
        ("Rome or Paris is the capital.", "lost"),
        ("Rome is larger than Paris.", "lost"),
        ("Rome is the capital, but so is Paris.", "lost"),
        ("Rome is the capital?", "lost"),
        ("Rome is wrong.", "lost"),
        ("Rome is the capital. Paris is it.", "lost"),
        ("If Rome is the capital, then so.", "lost"),
        ("Rome is a distractor.", "lost"),
        ("Romeo is the capital.", "lost"),
        ("Nobody likes Rome is the capital", "lost"),
        ("The capital is nice.", "lost"),
        ("The capital of Italy is Rome.", "ok"),
        ("I think that Rome is the capital.", "ok"),
        ("The capital is Paris.", "wrong"),
        ("The capital is not Rome.", "lost"),
        ("The capital could be Rome.", "lost"),
        ("The favourite of nobody is Rome.", "lost"),
    ],
)
def test_the_subject_of_a_sentence_is_a_choice(text: str, status: str) -> None:
    found = judge("choice", text, "B", options=OPTIONS)
    assert found.passed == (status == "ok"), found
    if status == "wrong":
        assert found.status == "wrong"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('Sure:\n```json\n["red","green"]\n```\nHope it helps', 1.0),
        ('```json\n["red","green"]\n```\nThese are the colours.', 1.0),
        ('```\n["green", "red"]\n```\n\nLet me know!\n', 1.0),
        ('Here:\n```json\n[\n "red",\n "green"\n]\n```', 1.0),
        ('```json\n["red"]\n```\nHope it helps', 0.0),
        ('```json\n["red","green","blue"]\n```\nHope it helps', 0.0),
        ('```json\n["red","green"]\n```\nAnd also [blue]', 0.0),
        ('```json\n["red","green"]\n```\n- blue\n- white', 0.0),
        ('```json\n["red","green"]\n```\n3. blue', 0.0),
        ('```json\n["blue"]\n```\n```json\n["red","green"]\n```\nDone.', 1.0),
        ('```json\n["red","green"]\n```\n```json\n["blue"]\n```\nDone.', 0.0),
    ],
)
def test_a_sentence_may_follow_a_fenced_array(text: str, score: float) -> None:
    assert judge("set", text, ["red", "green"]).score == score
