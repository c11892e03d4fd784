"""Long and odd texts against every verifier of text: nothing raises, nothing takes long, reasoning never counts."""

import asyncio
import itertools
import time
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

LENGTH = 100_000
SECONDS = 2.0
"""CPU time for one text and one verifier."""

ALL_KINDS = {
    "instruction_id_list": [
        "keywords:existence",
        "keywords:frequency",
        "length_constraints:number_paragraphs",
        "length_constraints:number_words",
        "length_constraints:number_sentences",
        "detectable_content:postscript",
        "detectable_content:number_placeholders",
        "detectable_format:number_bullet_lists",
        "detectable_format:number_highlighted_sections",
        "detectable_format:multiple_sections",
        "detectable_format:json_format",
        "detectable_format:title",
        "detectable_format:constrained_response",
        "combination:two_responses",
        "change_case:english_capital",
        "first_word:first_word_sent",
        "last_word:last_word_sent",
        "keywords:palindrome",
        "detectable_format:square_brackets",
        "detectable_format:bigram_wrapping",
        "count:counting_composition",
    ],
    "kwargs": [
        {"keywords": ["a a"]},
        {"keyword": "a b", "frequency": 1},
        {"num_paragraphs": 2},
        {"num_words": 2},
        {"num_sentences": 2},
        {"postscript_marker": "P.S."},
        {"num_placeholders": 1},
        {"num_bullets": 1},
        {"num_highlights": 1},
        {"section_spliter": "a", "num_sections": 1},
        {},
        {},
        {},
        {},
        {},
        {"first_word": "a"},
        {"last_word": "a"},
        {},
        {},
        {},
        {"n_sent": 1, "n_words": 1},
    ],
}
VERIFIERS: list[tuple[str, Any, dict[str, Any]]] = [
    ("exact", "answer", {"normalized": True}),
    ("number", 7, {}),
    ("regex", "(a+)+$", {"search": True, "seconds": 0.2}),
    ("choice", "A", {"options": ["London", "Paris", "7"]}),
    ("list", ["a", "b"] * 50, {"credit": "f1"}),
    ("list", [f"a{number}" for number in range(3000)], {"credit": "f1"}),
    ("json_answer", {"a": 1}, {}),
    ("json_schema", {"type": "array", "uniqueItems": True}, {}),
    ("format", None, {}),
    ("length", None, {"unit": "sentences"}),
    ("length", None, {"unit": "words"}),
    ("repetition", None, {}),
    ("instruction", ALL_KINDS, {"mode": "loose"}),
]
SEEDS = [
    "a", "A ", " ", "\n", "\t \n", "(", "[", "{", "[[", "{\"a\":", "[1,", "\"", "\\", "\\boxed{", "\\frac{1}",
    "$ ", "<", "< ", "<think", "</think>", "<<a ", "<<", ">>", "*", "* ", "** ", "*a", "***", "******", "- ",
    "-", "1. ", "1,", "1 ", "9", "1e", "1/", ".", ". ", "a. ", "A. ", "!? ", "Mr. ", "...", "answer ",
    "answer is ", "the answer is A or ", "is correct ", "A is ", "not ", "wait ", "A) x\n", "a\n\n",
    "I think ", "P.S. ", "p ", "P. ", "a1 ", ",", "a, ", ", and ", " and ", ";", "```\n", "`", "```json\n",
    "哈", "。", "\u0301", "\u200b", "ﷺ", "½", "１", "aba ", "[a] ", "[a", "My answer is yes. ", "London or ",
    "⟦", "is A. ", "answer cannot ", "(a) ", "1) a\n", "'A' ",
]  # fmt: skip


def judge(name: str, text: str, answer: Any, params: dict[str, Any]) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    return asyncio.run(make_verifier(name, params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


@pytest.mark.parametrize("ends", [("x",), pytest.param(("",), marks=pytest.mark.slow)], ids=["ended", "open"])
@pytest.mark.parametrize(("name", "answer", "params"), VERIFIERS)
def test_a_hundred_thousand_characters_of_anything_are_scored_in_time(
    name: str, answer: Any, params: dict[str, Any], ends: tuple[str, ...]
) -> None:
    begin = "```\n" if name == "instruction" else "Answer: "
    for seed, end in itertools.product(SEEDS, ends):  # a verifier may look for something behind the row
        text = begin + seed * (LENGTH // len(seed)) + end
        start = time.process_time()
        verdict = judge(name, text, answer, params)
        assert time.process_time() - start < SECONDS, seed
        assert verdict.status != "infra_error", (seed, verdict.reason)


ANSWERED: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("exact", "Paris", "Paris", {}),
    ("exact", "the paris.", "Paris", {"normalized": True}),
    ("number", "42", 42, {}),
    ("regex", "x1", r"x\d", {"search": True}),
    ("choice", "The answer is B.", "B", {}),
    ("f1", "blue whale", "blue whale", {}),
    ("set", "q1, w2", ["q1", "w2"], {}),
    ("list", "q1, w2", ["q1", "w2"], {}),
    ("json_schema", "[1]", {"type": "array"}, {}),
    ("length", "one two three", None, {"unit": "words", "minimum": 3}),
    ("instruction", "cat dog", {"func_name": "verify_keywords", "keyword_list": ["cat", "dog"]}, {}),
]


@pytest.mark.parametrize(("name", "text", "answer", "params"), ANSWERED)
def test_only_what_stands_outside_of_reasoning_counts(
    name: str, text: str, answer: Any, params: dict[str, Any]
) -> None:
    assert judge(name, text, answer, params).passed
    assert judge(name, f"<think>zz</think>{text}", answer, params).passed
    hidden = (
        f"<think>{text}</think>",
        f"<think>{text}",
        f"{text}</think>",
        f"<THINK>{text}</THINK>",
        f"< think >{text}</ think >",
        f"<think>{text}</think>?",
        f"<think>{text}</think><think>{text}</think>!",
        f"<think>a</think><think>{text}",
    )
    for said in hidden:
        assert not judge(name, said, answer, params).passed, said


@pytest.mark.parametrize(("name", "text", "answer", "params"), ANSWERED)
def test_nothing_a_cut_answer_and_an_echoed_question_fail(
    name: str, text: str, answer: Any, params: dict[str, Any]
) -> None:
    for said in ("", " \n", "q", text[: len(text) // 3], "?", "I do not know."):
        if name == "length" and said == "I do not know.":
            continue
        assert not judge(name, said, answer, params).passed, said
