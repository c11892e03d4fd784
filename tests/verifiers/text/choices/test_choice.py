"""Multiple choice: to what a text commits itself, and what is a hedge, a denial or a mere mention."""

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
from lachesis.verifiers.text.choices.commitment import find_commitment
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

LABELS = "ABCDEFGHIJ"
CITIES = dict(zip("ABCD", ["London", "Paris", "Rome", "Berlin"], strict=True))
SAID = [  # (text, labels: none is no commitment, several are a hedge)
    ("C", "C"),
    ("c", "C"),
    ("(C)", "C"),
    ("C.", "C"),
    ("C)", "C"),
    ("**C**", "C"),
    ("$C$", "C"),
    ("`C`", "C"),
    ("'C'", "C"),
    ("Option C", "C"),
    ("Answer: C", "C"),
    ("answer:c", "C"),
    ("The answer is (C).", "C"),
    ("The answer is C", "C"),
    ("the answer is c.", "C"),
    ("\\boxed{C}", "C"),
    ("\\boxed{\\text{C}}", "C"),
    ("\\boxed{(C)}", "C"),
    ("$\\boxed{\\textbf{(C)}}$", "C"),
    ("The answer is $\\boxed{\\mathrm{C}}$.", "C"),
    ("Final answer: **C**", "C"),
    ("**Final Answer:** (C)", "C"),
    ("**Answer:** C", "C"),
    ("#### C", "C"),
    ("<answer>C</answer>", "C"),
    ('{"answer": "C"}', "C"),
    ("Correct answer: C", "C"),
    ("The correct option is C", "C"),
    ("The correct choice would be C.", "C"),
    ("I choose C", "C"),
    ("I would pick option C.", "C"),
    ("I'd go with C", "C"),
    ("I'm going with (C)", "C"),
    ("C is correct.", "C"),
    ("Option C is correct.", "C"),
    ("(C) is the correct answer.", "C"),
    ("Therefore, C is the best answer.", "C"),
    ("It's C.", "C"),
    ("It is C", "C"),
    ("So it must be C", "C"),
    ("Hence, the answer is C", "C"),
    ("Therefore the answer to this question is C.", "C"),
    ("The answer is C because A is wrong.", "C"),
    ("The answer is C, not B.", "C"),
    ("The answer is C (not A or B).", "C"),
    ("The answer is not A, but C.", "C"),
    ("The answer isn't A. It's C.", "C"),
    ("Not A. Not B. The answer is C.", "C"),
    ("A is incorrect, B is incorrect. C is correct.", "C"),
    ("The answer is A. Wait, the answer is C.", "C"),
    ("The answer is A. No wait, actually C is correct.", "C"),
    ("First I thought the answer is A.\nHowever, the answer is C.", "C"),
    ("C\n\nA is wrong because x. B is wrong because y.", "C"),
    ("C. Because the sky is blue.", "C"),
    ("C) Paris", "C"),
    ("Answer: C) Paris", "C"),
    ("Answer: C. Paris", "C"),
    ("The answer is C: Paris", "C"),
    ("The answer is: C - Paris", "C"),
    ("Ｃ", "C"),
    ("（Ｃ）", "C"),
    ("Ⓒ", "C"),
    ("答案是：C", "C"),
    ("因此，答案是 **C**。", "C"),
    ("故选C。", "C"),
    ("答えはCです。", "C"),
    ("정답: C", "C"),
    ("Die richtige Antwort ist C.", "C"),
    ("Réponse : C", "C"),
    ("La respuesta correcta es la C.", "C"),
    ("Ответ: C", "C"),
    ("答案不是C", ""),
    ("选择C是错误的", ""),
    ("Die Antwort ist nicht C.", ""),
    ("La respuesta no es C", ""),
    ("请选择A、B、C或D", ""),
    ("Die Antwort ist B oder C", "BC"),
    ("答案是B或C", "BC"),
    ("Respuesta: A, B, C, D", "ABCD"),
    ("[[C]]", "C"),
    ("Answer: [[C]]", "C"),
    ("_C_", "C"),
    ("C。", "C"),
    ("✅ **C**", "C"),
    ("Answer:\u200b C", "C"),
    ("A is wrong, B is wrong too. So C.", "C"),
    ("Ans. C", "C"),
    ("That leaves C out.", ""),
    ("A or B", "AB"),
    ("The answer is A or B.", "AB"),
    ("The answer is A and B", "AB"),
    ("The answer is either A or B", "AB"),
    ("A/B", "AB"),
    ("A, B", "AB"),
    ("Both A and B are correct.", "AB"),
    ("The answer is A. Or maybe B.", "AB"),
    ("The answer is A, but it could also be B.", "AB"),
    ("\\boxed{A} or \\boxed{B}", "AB"),
    ("\\boxed{A or B}", "AB"),
    ("\\boxed{A, B}", "AB"),
    ("The answer is A or the answer is B", "AB"),
    ("The answers are A and C", "AC"),
    ("Answer: A, C", "AC"),
    ("", ""),
    ("I don't know.", ""),
    ("The answer is not A.", ""),
    ("The answer is unclear.", ""),
    ("A dog is an animal.", ""),
    ("I think so.", ""),
    ("The options are A, B, C and D.", ""),
    ("Neither A nor B is correct.", ""),
    ("If A is correct, then we are done.", ""),
    ("The answer is a dog.", ""),
    ("Is A correct?", ""),
    ("The answer is an apple", ""),
    ("The answer is I think B", "B"),
    ("The answer is, I believe, B.", "B"),
    ("I think the answer is B", "B"),
    ("I believe B is correct", "B"),
    ("My answer: B", "B"),
    ("B, because of gravity", "B"),
    ("Question?\nA) x\nB) y\nC) z\nD) w\nAnswer:", ""),
    ("Choose the correct answer:\nA) x\nB) y\nC) z\nD) w", ""),
    ("Choose the correct answer: A) x B) y C) z D) w", ""),
    ("The answer is C.\n\nA) x is wrong\nB) y is wrong\nD) w is wrong", "C"),
    ("A) x is wrong\nB) y is wrong\nC) z fits.\n\nThe answer is C", "C"),
    ("The answer is C.\nA: wrong.\nB: wrong.\nC: right.\nD: wrong.", "C"),
    ("Answer: A because B is wrong and C is wrong", "A"),
    ("The answer is A since it fits.", "A"),
    ("The answer is A.", "A"),
    ("The answer is A", "A"),
    ("Answer: A", "A"),
    ("Answer: a", "A"),
    ("Answer: (a) x", "A"),
    ("The correct answer is A, since B and C are wrong", "A"),
    ("The answer is A, and B is wrong.", "A"),
    ("The answer is A; B is ruled out.", "A"),
    ("The answer is A. B is ruled out.", "A"),
    ("After weighing A, B, C, and D, I select D.", "D"),
    ("The answer choice is D", "D"),
    ("answer choice D is correct", "D"),
    ("D is the only correct option", "D"),
    ("Option D: because ...", "D"),
    ("The answer is **D**.", "D"),
    ("The best answer is option (D)", "D"),
    ("The answer is option D) which says", "D"),
    ("The answer: D.", "D"),
    ("The right answer here is D!", "D"),
    ("So the answer must be D", "D"),
    ("ANSWER: D", "D"),
    ("Answer is D", "D"),
    ("answer - D", "D"),
    ("Answer\nD", "D"),
    ("The answer is\n\nD", "D"),
    ("Answer:\nD", "D"),
    ("Let me see. A is tempting.\n\nD", "D"),
    ("The wrong answer is A. The answer is B.", "B"),
    ("The incorrect option is B.", "B"),
    ("A common wrong answer is A, but the answer is D.", "D"),
    ("Vitamin C is correct to take", ""),
    ("I can't choose A.", ""),
    ("I wouldn't pick B; I choose C.", "C"),
    ("The answer is K", ""),
    ("The answer is ABC", ""),
    ("The answer is A-like", ""),
    ("A is true but B is the better answer. The answer is B.", "B"),
    ("B is the correct answer, although A is close.", "B"),
    ("The answer is B, although C is close.", "B"),
    ("The answer is B though A seems right.", "B"),
    ("Why is the answer not A? Because the answer is B.", "B"),
    ("The answer would be A if x. But x fails, so the answer is B.", "B"),
    ("The answer is A? No, it's B.", "B"),
    ("The answer is B, but C is also correct.", "BC"),
    ("A, B, C and D are options", ""),
    ("A, since it fits", "A"),
    ("B and C", "BC"),
    ("The answer, as explained above, is C", "C"),
    ('The answer to the question "What is a dog?" is C.', "C"),
    ("Of the options given, the one that is not correct is B, so the answer is B", "B"),
    ("The answer is none of these", ""),
    ("The answer is: (C) 5 m", "C"),
    ("C = 5 is the right value so the answer is B", "B"),
    ("The answer is C = 5", ""),
    ("Answer: C=5", ""),
    ("The answer is C#", ""),
    ("I", "I"),
    ("A", "A"),
    ("The answer is I.", "I"),
    ("The answer is 5 C", ""),
    ("The answer is B's", ""),
    ("The answer isn't B", ""),
    ("The answer is not B: it is A.", "A"),
    ("The answer cannot be A so it must be D", "D"),
    ("D is most likely correct", "D"),
    ("Let us eliminate A, B. That leaves C.", "C"),
    ("I think it is D", "D"),
    ("[D]", "D"),
    ("<D>", "D"),
    ("D - Berlin", "D"),
    ("(d)", "D"),
    ("d)", "D"),
    ("answer is d)", "D"),
    ("Ans: D", "D"),
    ("The answer is: \n\n**D) Berlin**", "D"),
    ("Correct Answer: D) Berlin", "D"),
    ("**Correct answer: D. Berlin**", "D"),
    ("### Answer\nD", "D"),
    ("### Answer: D", "D"),
    ("The answer is option D, i.e., Berlin.", "D"),
    ("The answer is most likely D.", "D"),
    ("I am confident that the answer is D.", "D"),
    ("The final answer is D.\n\nExplanation: The answer A is wrong.", "D"),
    ("The final answer is D.\n\nOption A: wrong.\nOption B: wrong.", "D"),
    ("The correct answer is D. Option A is incorrect because the answer is not in it.", "D"),
    ("I'm torn between A and B.", ""),
    ("Answer: Option B", "B"),
    ("Selected: B", "B"),
    ("The final answer is: $\\boxed{B}$", "B"),
    ("\\[\\boxed{B}\\]", "B"),
    ("Thus, \\(\\textbf{(B)}\\ 5\\)", "B"),
    ("$\\textbf{(B) }5$", "B"),
    ("The answer is $\\textbf{(B)}$", "B"),
    ("B.\n\nExplanation: The answer is based on physics.", "B"),
    ("Based on this, B", "B"),
    ("I'd say B.", "B"),
    ("My final answer is B. I hope it helps!", "B"),
    ("The answer is B\n\nLet me know if you have questions. A is wrong, though.", "B"),
    ("Answer: D\nConfidence: A", "D"),
    ("The correct answer is **(B) Paris**.", "B"),
    ("**B) Paris**", "B"),
    ("**Answer: B**\n\n**Explanation:** Paris is the capital of France. London (A) is the capital of the UK.", "B"),
    ("The answer is B.\n\n**Why not A?** Because London is in the UK.\n**Why not C?** Rome is in Italy.", "B"),
    (
        "Let's analyze each option:\n\nA) London - capital of the UK. Incorrect.\nB) Paris - capital of France. Right."
        "\nC) Rome - Incorrect.\nD) Berlin - Incorrect.\n\nThus, the correct answer is B.",
        "B",
    ),
    ("Let's analyze:\n\n- A: no\n- B: yes\n- C: no\n\nB", "B"),
    ("Let's go through the options. Option A is about x. Option B is about y. The one that fits is B.", "B"),
    ("To answer this, note that A is a vowel. The answer is therefore: C", "C"),
    ("Given the above, the best choice is (D) because it covers A, B, and C.", "D"),
    ("The answer is (D) all of A, B, and C.", "D"),
    ("The answer is D) Both A and B", "D"),
    ("D. Both A and B are correct", "D"),
    ("Answer: D (A and B)", "D"),
    ("The answer is D, because both A and B are correct.", "D"),
    ("D) All of the above", "D"),
    ("The correct answer is D: both A and B are true.", "D"),
    ("Answer: E. None of the above", "E"),
    ("I would eliminate A and B, so it is between C and D. I'll go with C.", "C"),
    ("A seems plausible, but the correct answer is C.", "C"),
    ("The answer is C. (A is incorrect because...; B is incorrect because...)", "C"),
    ("My choice: C", "C"),
    ("Choice C", "C"),
    ("choice (c)", "C"),
    ("The correct letter is C.", "C"),
    ("Letter: C", "C"),
    ("C is the answer.", "C"),
    ("C is the answer", "C"),
    ("C would be the correct answer.", "C"),
    ("So, C.", "C"),
    ("Thus C.", "C"),
    ("→ C", "C"),
    ("Answer → C", "C"),
    ("Answer = C", "C"),
    ("Answer is: C", "C"),
    ("The answer is indeed C", "C"),
    ("the answer's C", "C"),
    ("Correct: C", "C"),
    ("Final: C", "C"),
    ("It should be C.", "C"),
    ("That would be C.", "C"),
    ("The solution is C.", "C"),
    ("Solution: C", "C"),
    ("Final Answer\nC", "C"),
    ("## Final Answer\n\n\\boxed{C}", "C"),
    ("The final answer is \\( \\boxed{\\text{C}} \\)", "C"),
    ("$\\boxed{C) 5}$", "C"),
    ("\\boxed{\\textbf{C. } 5}", "C"),
    ("\\boxed{C: Rome}", "C"),
    ("\\boxed{\\text{(C) Rome}}", "C"),
    ("The answer is C.\n\nFinal answer: C", "C"),
    ("Answer: C\n\nAnswer: C", "C"),
    ("We can rule out A, B, and D. Therefore, C.", "C"),
    ("Therefore, the answer is option C, which says Rome.", "C"),
    ("I don't think it's A. I think it's B.", "B"),
    ("It's not A, it's B.", "B"),
    ("It's B, not A.", "B"),
    ("The answer is B rather than A.", "B"),
    ("The answer is B instead of A.", "B"),
    ("B rather than A.", "B"),
    ("The answer is B and not A", "B"),
    ("The answer is B (A is close, though)", "B"),
    ("The answer is probably A, possibly B.", "AB"),
    ("A and/or B", "AB"),
    ("It could be A.", ""),
    ("Either A or B is correct.", "AB"),
    ("The answer could be A or B", "AB"),
    ("Answer: A/B/C/D", "ABCD"),
    ("A B C D", ""),
    ("A, B, C, D", "ABCD"),
    ("A\nB\nC\nD", "D"),
    ("Answer: A\nAnswer: B\nAnswer: C", "C"),
    ("A because it fits", "A"),
    ("A) London", "A"),
    ("A good answer is hard", ""),
    ("a", "A"),
    ("I am not sure", ""),
    ("I choose I", "I"),
    ("The statement in A is incorrect. The statement in B is correct. Answer B.", "B"),
    ("Answer B", "B"),
    ("answer (B)", "B"),
    ("The correct option: B", "B"),
    ("It is B that is correct", "B"),
    ("the correct one is B", "B"),
    ("The right one is B.", "B"),
    ("The correct statement is B.", "B"),
    ("The best response is B", "B"),
    ("The most appropriate answer would be B", "B"),
    ("As an AI I can't answer.", ""),
    ("The answer depends on A.", ""),
    ("The answer lies in A.", ""),
    ("The answer is not A or B.", ""),
    ("It can't be A or B.", ""),
]
SAID_OF_CITIES = [
    ("Paris", "B"),
    ("paris.", "B"),
    ("The answer is Paris.", "B"),
    ("The capital is Paris", ""),
    ("The answer is London or Paris", "AB"),
    ("It's Rome.", "C"),
    ("The answer is B) Rome", "BC"),
    ("B) Rome", "BC"),
    ("B. Paris", "B"),
    ("(B) Paris", "B"),
    ("The answer is B (Paris)", "B"),
    ("Answer: Paris, because", "B"),
    ("Answer: **Paris**", "B"),
    ("\\boxed{\\text{Paris}}", "B"),
    ("The answer is Parisian", ""),
    ("Answer: not Paris", ""),
    ("The answer is B. Paris is the capital.", "B"),
    ("The answer is B. Rome is in Italy.", "B"),
]


def committed(text: str, options: dict[str, str] | None = None) -> str:
    found = find_commitment(text, LABELS, options or {})
    return "".join(found.labels) if found else ""


def judge(text: str, answer: Any, prompt: str = "q", info: dict[str, Any] | None = None, **params: Any) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    case = Case(Trajectory(Task(prompt, answer, info=info or {}), messages=messages))
    return asyncio.run(make_verifier("choice", params).verify(case))


@pytest.mark.parametrize(("text", "labels"), SAID)
def test_the_last_commitment_is_found(text: str, labels: str) -> None:
    assert committed(text) == labels


@pytest.mark.parametrize(("text", "labels"), SAID_OF_CITIES)
def test_an_options_own_text_is_a_commitment_too(text: str, labels: str) -> None:
    assert committed(text, CITIES) == labels


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The answer is 3.5", "B"),
        ("The answer is 3.", "A"),
        ("The answer is 35", "C"),
        ("-3", "D"),
        ("The answer is -3.", "D"),
        ("Answer: 3.57", ""),
    ],
)
def test_a_number_is_not_taken_for_an_option_that_begins_like_it(text: str, label: str) -> None:
    assert committed(text, {"A": "3", "B": "3.5", "C": "35", "D": "-3"}) == label


def test_the_right_label_passes_and_the_others_do_not() -> None:
    for label in "ABCD":
        verdict = judge(f"The answer is ({label}).", "C")
        assert verdict.passed == (label == "C")
        assert verdict.status == ("ok" if label == "C" else "wrong")


def test_a_hedge_is_wrong_though_the_right_label_is_in_it() -> None:
    for text in ("B or C", "The answer is B and C.", r"\boxed{C} or \boxed{B}", "C. Or maybe B."):
        assert judge(text, "C").status == "wrong"
        assert judge(text, "B").status == "wrong"


def test_an_uncertain_text_never_passes() -> None:
    for text in ("A (or B)", "It could be A or B.", "Maybe A, maybe B", "Between A and B."):
        assert not judge(text, "A").passed
        assert not judge(text, "B").passed


def test_reasoning_never_answers() -> None:
    assert judge("<think>The answer is C.</think>", "C").status == "unparseable"
    assert judge("<think>The answer is C.", "C").status == "unparseable"
    assert judge("<Think >The answer is C.</ THINK> I do not know.", "C").status == "unparseable"
    assert judge("<think>The answer is A.</think> The answer is C.", "C").passed


def test_a_repeated_prompt_commits_to_nothing() -> None:
    prompt = "Which is a fruit? The answer is one of\nA) apple\nB) stone\nAnswer: A or B?"
    assert judge(prompt, "A", prompt=prompt).status == "unparseable"
    assert judge(f"{prompt}\nA", "A", prompt=prompt).passed


def test_the_answer_is_a_label_an_index_or_an_options_text() -> None:
    options = ["London", "Paris", "Rome"]
    for answer in ("B", "b", "(B)", "B.", 1, "Paris", "paris"):
        assert judge("The answer is B.", answer, options=options).passed, answer
        assert judge("Paris.", answer, info={"choices": options}).passed, answer
        assert judge("The answer is C.", answer, options=options).status == "wrong"
    assert judge("The answer is 2", "2", labels="1234").passed
    assert judge("(2)", "2", labels="1234", options=options).passed
    assert judge("The answer is D.", "B", options=options).status == "wrong"


@pytest.mark.parametrize("answer", [None, "", "Z", "AB", ["A"], 12, -1, True, 1.0, {"a": 1}])
def test_an_answer_that_names_no_option_is_the_datasets_fault(answer: Any) -> None:
    verdict = judge("The answer is A.", answer)
    assert verdict.status == "infra_error"
    assert "repair the dataset" in verdict.reason


def test_options_that_are_none_are_the_datasets_fault() -> None:
    for options in (["x"], "AB", [1, None], {"AB": "x", "C": "y"}, list(range(11))):
        assert judge("A", "A", info={"options": options}).status == "infra_error", options
        with pytest.raises(ConfigError, match="options must be"):
            make_verifier("choice", {"options": options})
    with pytest.raises(ConfigError, match="labels must be distinct"):
        make_verifier("choice", {"labels": "AA"})


PIECES = [
    "A",
    "b",
    "(C)",
    " ",
    "answer",
    " is ",
    ":",
    "not ",
    "or ",
    "\\boxed{",
    "}",
    "\n",
    "B) x",
    "I",
    "Rome",
    ".",
    "⟦",
    "wait",
]


@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=30).map("".join)))
def test_no_text_makes_it_raise(text: str) -> None:
    verdict = judge(text, "A", options=list(CITIES.values()))
    assert verdict.status in ("ok", "wrong", "unparseable")
    json.dumps(verdict.evidence)


@pytest.mark.parametrize("end", ["The final answer is (A).", "Answer: A", "\\boxed{A}", "So the correct option is A."])
@pytest.mark.parametrize("before", ["A: x\nB:", "A:\nx\nB:", "(A)\n(B)\n(C)"])
def test_an_answer_after_a_list_that_breaks_off_is_not_its_last_option(before: str, end: str) -> None:
    assert committed(f"{before}\n\n{end}") == "A"


def test_options_on_the_lines_after_their_labels_choose_none() -> None:
    assert committed("A:\nRome\nB:\nParis") == ""


@given(st.text(alphabet="ABCD abcd.,:()\n", max_size=60), st.sampled_from("ABCD"))
def test_a_last_statement_outweighs_whatever_stands_before(before: str, label: str) -> None:
    assert committed(f"{before}\n\nThe final answer is ({label}).") == label
