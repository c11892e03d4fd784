"""Instructions that a program can check: each kind is followed by some texts and broken by others."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.instructions.constraint import CONSTRAINTS, RELATIONS
from lachesis.verifiers.text.instructions.instruction import InstructionFollowing
from lachesis.verifiers.text.instructions.tulu import FUNCTIONS
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

KINDS: list[tuple[str, dict[str, Any], list[str], list[str]]] = [  # name, kwargs, followed by, broken by
    ("language:response_language", {"language": "kn"}, ["ಇದು ಕನ್ನಡ ವಾಕ್ಯ"], ["It is English."]),
    ("keywords:existence", {"keywords": ["cat", "dog"]}, ["A Cat and a dog."], ["A cat."]),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "at least"}, ["cat, CAT"], ["cat"]),
    ("keywords:frequency", {"keyword": "c.t", "frequency": 1, "relation": "less than"}, ["cat"], ["c.t"]),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, ["A category."], ["A Cat."]),
    ("keywords:letter_frequency", {"letter": "q", "let_frequency": 2, "let_relation": "less than"}, ["Q"], ["qQ"]),
    ("keywords:letter_frequency", {"letter": "!", "let_frequency": 2, "let_relation": "at least"}, ["!!"], ["!"]),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "a\n* * *\nb\n***\n", "***bold*** a\n\n***\n\nb"],
        ["a\n\nb", "a\n***\n***\nb", "a\n***\nb\n***\nc"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "at least"},
        ["one two three", "don't go"],
        ["one two"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "less than"},
        ["Mr. Smith came. He left!", "A? B.", "I like e.g. pears, etc. and so on. Yes."],
        ["A b. B c. C d."],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "hello"},
        ["a\n\nHello, you", "a\n\n**Hello** x", 'a\n \n"hello" x'],
        ["Hello\n\na", "a\n\nb\n\nhello", "a\n\nhelloing"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\n\nP.S. More", "Bye. p. s. more"],
        ["Bye.", "Bye. P.S.", "P.P.S. x"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ["Bye.\nP.P.S more", "Bye\nP.P.S. more"],
        ["P.S. x"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[name] and [street no]"],
        ["[name] []", "[a\nb] [x]"],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n* b", "- a\n  - b\n---\n*x*", "* **a**: b\n* c"],
        ["* a", "* a\n* b\n- c", "*a\n*b"],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is yes.", "My answer is no. Because."],
        ["yes", "My answer is yes. My answer is no."],
    ),
    (
        "detectable_format:constrained_response",
        {"options": ["yes", "yes and no"]},
        ["yes and no", "Yes!"],
        ["maybe", "yes, or: yes and no"],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*a* and **b c**", "*a* *b*", "***a*** **b**"],
        ["*a*", "2 * 3 * 4 * 5", "** ** * *"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\na\nSECTION 2\nb", "Section 1: a Section 2: b"],
        ["SECTION 1\nas in SECTION 1"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": 1}', "```json\n[1]\n```", "```\n{}\n```"],
        ["5", '"x"', '{"a": 1} x', "{'a': 1}"],
    ),
    ("detectable_format:title", {}, ["<<Poem>>\nx"], ["<<>>", "<< >>", "<Poem>"]),
    (
        "combination:two_responses",
        {},
        ["a\n******\nb", "******a******b******"],
        ["a", "a******A.", "a******b******c", "a*******b"],
    ),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Do it."}, ["do it. Done"], ["Do it.", "Sure. Do it. Done"]),
    (
        "startend:end_checker",
        {"end_phrase": "Any questions?"},
        ["Yes. any questions?", '"Yes. Any questions?"'],
        ["Any questions? No."],
    ),
    ("startend:quotation", {}, ['"a b"', "“a b”"], ['"a" b', '""', "a"]),
    ("change_case:english_capital", {}, ["HELLO 1"], ["Hello", "1"]),
    ("change_case:english_lowercase", {}, ["hello 1"], ["Hello", "1"]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["I am A FAN", "NASA's WELL-KNOWN ONE X"],
        ["HELLO there"],
    ),
    ("punctuation:no_comma", {}, ["a b"], ["a, b"]),
    ("first_word:first_word_answer", {"first_word": "yes"}, ["**Yes**, it is"], ["Yesterday"]),
    ("first_word:first_word_sent", {"first_word": "so"}, ["So it is. So be it!"], ["So it is. Be it!"]),
    ("last_word:last_word_answer", {"last_word": "end"}, ["the END."], ["the end of"]),
    ("last_word:last_word_sent", {"last_word": "end"}, ["The end. An end!"], ["The end. No."]),
    ("keywords:word_once", {"keyword": "cat"}, ["a cat, a category"], ["cat cat", "dog"]),
    (
        "keywords:word_count_different_numbers",
        {"keyword": "cat", "frequency": 2, "relation": "at least"},
        ["cat cat"],
        ["cat category"],
    ),
    ("count:count_increment_word", {"keyword1": "a b", "keyword2": "c"}, ["a b c c"], ["a b c", "c c"]),
    ("keywords:exclude_word_harder", {"keyword": "cat"}, ["category"], ["Cat."]),
    (
        "keywords:keyword_specific_position",
        {"keyword": "cat", "n": 2, "m": 3},
        ["Hi you. Here, is cat sits."],
        ["Hi. A cat."],
    ),
    ("keywords:start_end", {}, ["Yes I say yes"], ["Yes I say yes.", "yes"]),
    ("keywords:palindrome", {}, ["a Level road"], ["a road I"]),
    ("keywords:no_adjacent_consecutive", {}, ["cat apple"], ["apple bat"]),
    ("count:lowercase_counting", {"N": 2}, ["One two three"], ["one two three"]),
    ("count:count_unique", {}, ["each word once"], ["the cat the"]),
    (
        "count:counting_composition",
        {"n_sent": 2, "n_words": 2},
        ["Go now. Run fast.\n* * *\nEat it. Get up.\n* * *\nSit down. Be good."],
        ["Go now."],
    ),
    ("letters:letter_counting", {"N": 3, "relation": "less than"}, ["a1b"], ["abc"]),
    ("letters:letter_counting2", {"letter": "a", "let_frequency": 2, "let_relation": "at least"}, ["aA"], ["a"]),
    ("punctuation:punctuation_dot", {}, ["a b"], ["a."]),
    ("punctuation:punctuation_exclamation", {}, ["a b"], ["a!"]),
    ("paragraphs:paragraphs", {}, ["a\n***\nb"], ["a"]),
    ("paragraphs:paragraphs2", {}, ["a\n\nb"], ["a\nb", "a\n\nb\n\nc"]),
    ("copy:copy", {"prompt_to_repeat": "Do it."}, ["do it."], ["Do it. x"]),
    ("copy:copying_simple", {"prompt_to_repeat": "Do it."}, ["Do it."], ["x"]),
    ("copy:copying_multiple", {"prompt_to_repeat": "Do it.", "N": 2}, ["Do it.\n******\nDo it."], ["Do it."]),
    ("detectable_format:square_brackets", {}, ["[a] [b]."], ["[a] b", "[a b]"]),
    (
        "detectable_format:bigram_wrapping",
        {},
        ["<<I am>> <<at home>>", "<<I am>> home", "<<I am>> <<home>>"],
        ["I am", "<<I am>> at home", "<<I am at>> <<x y>>"],
    ),
]
TULU: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"func_name": "validate_response_language", "language": "kn"}, ["ಇದು ಕನ್ನಡ ವಾಕ್ಯ"], ["It is English."]),
    ({"func_name": "verify_keywords", "keyword_list": ["cat"]}, ["a Cat"], ["dog"]),
    ({"func_name": "verify_keyword_frequency", "word": "cat", "N": 1}, ["Cat category"], ["cat cat"]),
    ({"func_name": "validate_forbidden_words", "forbidden_words": ["cat"]}, ["category"], ["cat"]),
    ({"func_name": "verify_letter_frequency", "letter": "a", "N": 1}, ["aA"], ["aa"]),
    ({"func_name": "verify_paragraph_count", "N": 2}, ["a\n* * *\nb"], ["a"]),
    ({"func_name": "validate_word_constraint", "N": 20, "quantifier": "around"}, ["a-b " * 18], ["a " * 17, "a " * 23]),
    ({"func_name": "validate_word_constraint", "N": 2, "quantifier": "at most"}, ["don't go"], ["a b c"]),
    ({"func_name": "verify_sentence_constraint", "N": 2, "quantifier": "at least"}, ["It is. It was."], ["It is."]),
    ({"func_name": "validate_paragraphs", "N": 2, "first_word": "So", "i": 2}, ["a\n\nSo b"], ["So\n\nb"]),
    ({"func_name": "verify_postscript", "postscript_marker": "P.S."}, ["a\nP.S. b"], ["a"]),
    ({"func_name": "validate_placeholders", "N": 1}, ["[a]"], ["a"]),
    ({"func_name": "verify_bullet_points", "N": 1}, ["* a"], ["a"]),
    ({"func_name": "validate_title"}, ["<<a>>"], ["a"]),
    ({"func_name": "validate_choice", "options": ["yes", "no"]}, ["Yes."], ["e", "yes or no"]),
    ({"func_name": "validate_highlighted_sections", "N": 1}, ["*a*"], ["a"]),
    ({"func_name": "validate_sections", "N": 1, "section_splitter": "Part"}, ["Part 1 a"], ["Part 1 a Part 2 b"]),
    ({"func_name": "validate_json_format"}, ["{}"], ["a"]),
    ({"func_name": "validate_repeat_prompt", "original_prompt": "Do it."}, ["Do it. a"], ["a", "Do it."]),
    ({"func_name": "validate_two_responses"}, ["a******b"], ["a"]),
    ({"func_name": "validate_uppercase"}, ["A"], ["a"]),
    ({"func_name": "validate_lowercase"}, ["a"], ["A"]),
    ({"func_name": "validate_frequency_capital_words", "N": 2, "quantifier": "at most"}, ["A B c"], ["A B C"]),
    ({"func_name": "validate_end", "end_phrase": "bye"}, ["a bye"], ["bye a"]),
    ({"func_name": "validate_quotation"}, ['"a"'], ["a"]),
    ({"func_name": "validate_no_commas"}, ["a"], ["a, b"]),
]


def judge(text: str, answer: Any, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    case = Case(Trajectory(Task("q", answer), messages=messages))
    return asyncio.run(make_verifier("instruction", params).verify(case))


def row(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"instruction_id_list": [name], "kwargs": [kwargs]}


@pytest.mark.parametrize(("name", "kwargs", "followed", "broken"), KINDS)
def test_each_kind_tells_what_follows_it_from_what_does_not(
    name: str, kwargs: dict[str, Any], followed: list[str], broken: list[str]
) -> None:
    for text in followed:
        assert judge(text, row(name, kwargs)).passed, text
        assert not judge(f"<think>{text}</think>", row(name, kwargs)).passed, "reasoning answers nothing"
    for text in [*broken, ""]:
        verdict = judge(text, row(name, kwargs))
        assert verdict.status == ("wrong" if text else "unparseable"), text
        assert verdict.score == 0


def test_every_kind_is_tried_and_named_as_an_instance() -> None:
    later = {
        name for name, kind in CONSTRAINTS.items() if "ifbench" in kind.check.__module__
    }  # their own file tries them
    assert {name for name, *_ in KINDS} == set(CONSTRAINTS) - later - {"words:keywords_specific_position"}
    assert set(InstructionFollowing.instances) == set(CONSTRAINTS)
    assert len(CONSTRAINTS) - len(later) == 52


@pytest.mark.parametrize(("answer", "followed", "broken"), TULU)
def test_each_function_of_tulu_is_a_kind(answer: dict[str, Any], followed: list[str], broken: list[str]) -> None:
    with_nulls = answer | {name: None for name in ("N", "quantifier", "end_phrase", "i") if name not in answer}
    for given_as in (answer, json.dumps(answer), repr(answer), json.dumps(with_nulls)):
        assert all(judge(text, given_as).passed for text in followed)
        assert all(judge(text, given_as).status == "wrong" for text in broken)


def test_every_function_of_tulu_is_tried() -> None:
    assert {answer["func_name"] for answer, *_ in TULU} == set(FUNCTIONS)
    assert {function.constraint for function in FUNCTIONS.values()} <= set(CONSTRAINTS)


def test_all_must_be_followed_unless_shares_are_credited() -> None:
    both = {"instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"], "kwargs": [{}, {}]}
    assert judge("a b", both).score == 1
    half = judge("A b", both, credit="share")
    assert (half.score, half.status) == (0.5, "wrong")
    assert judge("A b", both).score == 0
    assert half.evidence["instructions"] == [
        {"instruction": "punctuation:no_comma", "followed": True},
        {"instruction": "change_case:english_lowercase", "followed": False},
    ]


def test_loose_mode_leaves_out_stars_and_outer_lines() -> None:
    asked = row("startend:end_checker", {"end_phrase": "bye"})
    for text in ("well, *bye*", "bye\nI hope that helps!", "Sure!\n*bye*\nDone."):
        assert judge(text, asked).status == "wrong"
        assert judge(text, asked, mode="loose").passed
    assert judge("bye\n1\n2", asked, mode="loose").status == "wrong"
    empty = row("punctuation:no_comma", {})
    assert judge("a, b", empty, mode="loose").status == "wrong", "leaving out the only line leaves nothing that follows"


def test_a_list_of_rows_is_all_of_them() -> None:
    rows = [{"instruction_id": ["punctuation:no_comma"], "kwargs": [None]}, {"func_name": "validate_lowercase"}]
    for answer in (rows, repr(rows), json.dumps(rows)):
        assert judge("a b", answer).passed
        assert judge("A b", answer).status == "wrong"
        assert judge("a, b", answer).status == "wrong"


def test_the_rubric_may_give_the_instructions() -> None:
    params = {"instruction_id_list": ["punctuation:no_comma"]}
    assert judge("a b", "42", **params).passed
    assert judge("a, b", None, **params).status == "wrong"
    with pytest.raises(ConfigError, match="did you mean 'punctuation:no_comma'"):
        make_verifier("instruction", {"instruction_id_list": ["punctuation:no_commas"]})


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        42,
        [],
        {},
        "{" * 200_000,
        "(" * 50_000,
        "__import__('os').getcwd()",
        {"func_name": "os.system"},
        {"func_name": ["x"]},
        {"func_name": "verify_keywords"},
        {"func_name": "validate_response_language", "language": "ne"},
        row("language:response_language", {"language": "English"}),
        row("keywords:existence", {}),
        row("keywords:existence", {"keywords": []}),
        row("keywords:existence", {"keywords": ["a"], "n": 1}),
        row("length_constraints:number_words", {"num_words": -1, "relation": "at least"}),
        row("length_constraints:number_words", {"num_words": 1, "relation": "about"}),
        row("length_constraints:number_words", {"num_words": "many", "relation": "at least"}),
        {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}, {}]},
        {"instruction_id_list": ["punctuation:no_comma"] * 65, "kwargs": []},
    ],
)
def test_a_row_that_cannot_be_is_unscored_and_says_so(answer: Any) -> None:
    verdict = judge("text", answer)
    assert verdict.status == "infra_error"
    assert "repair the dataset" in verdict.reason


def test_around_allows_a_tenth_and_one_in_any_case() -> None:
    assert [count for count in range(40) if RELATIONS["around"](count, 30)] == [27, 28, 29, 30, 31, 32, 33]
    assert [count for count in range(9) if RELATIONS["around"](count, 3)] == [2, 3, 4]


@given(st.text(max_size=80), st.sampled_from([(name, kwargs) for name, kwargs, *_ in KINDS]))
def test_no_text_makes_a_kind_raise(text: str, kind: tuple[str, dict[str, Any]]) -> None:
    for mode in ("strict", "loose"):
        assert judge(text, row(*kind), mode=mode).status in ("ok", "wrong", "unparseable")
