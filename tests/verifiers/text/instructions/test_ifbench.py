"""IFBench's kinds of instruction: each is followed by some texts and broken by others, and is fast on hostile ones."""

import asyncio
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.text.instructions import constraint
from lachesis.verifiers.text.instructions.constraint import CONSTRAINTS
from lachesis.verifiers.text.instructions.ifbench_task import AFRICA, CAPITALS
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

COUNTRIES = [name.replace("-", " ").title() for name in reversed(AFRICA.split())]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
KEYWORDS = dict(zip([f"keyword{n}" for n in range(1, 6)], ["ant", "bee", "cat", "dog", "elk"], strict=True))
COUNTED = "ant " + "bee " * 2 + "cat " * 3 + "dog " * 5 + "elk " * 7
PALINDROMES = "level radar civic rotor kayak refer madam tenet solos stats"
QUESTION = "Question {}: Who painted {}?\n" + "".join(f"{letter}) x\n" for letter in "ABCDE")
CITY = "ID,Country,City,Year,Count\n" + "".join(f"{n},Chad,Moundou,2001,{n}\n" for n in range(7))
PRODUCT = "ProductID,Category,Brand,Price,Stock\n" + "".join(f"{n},c,b,1,2\n" for n in range(13))
STUDENT = '"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"\n' + '"1"\t"art"\t"A"\t"2"\t"9"\n' * 3

KINDS: list[tuple[str, dict[str, Any], list[str], list[str]]] = [  # name, kwargs, followed by, broken by
    ("count:word_count_range", {"min_words": 2, "max_words": 3}, ["a b", "a b c"], ["a", "a b c d"]),
    ("count:unique_word_count", {"N": 3}, ["a b c a"], ["a b A b"]),
    ("ratio:stop_words", {"percentage": 50.0}, ["the cat", "cats"], ["the cat is"]),
    ("ratio:sentence_type", {}, ["It is. It was. Is it?"], ["It is. Is it?", "It is. It was.", "Who? It is."]),
    ("ratio:sentence_balance", {}, ["It is. Is it? Yes!"], ["It is. Is it?", "A! B. C. D?", "no mark"]),
    ("ratio:overlap", {"reference_text": "abcdef", "percentage": 50}, ["abcdxy"], ["abcdef", "xyzuvw", "ab"]),
    (
        "ratio:sentence_words",
        {},
        ["One cat. Two dog. Six elk."],
        ["One cat. Two dog.", "A b. A c. D e.", "Ab c. D. Ef g."],
    ),
    ("count:conjunctions", {"small_n": 2}, ["this and that or"], ["and and", "Andy ore"]),
    ("count:person_names", {"N": 2}, ["Emma met Liam."], ["Emma and Emma", "emma, liam"]),
    ("count:pronouns", {"N": 2}, ["I saw it", "It's me"], ["I saw", "items"]),
    ("count:numbers", {"N": 2}, ["1,000.5 and 2"], ["1", "1 2 3", "H2O and B12"]),
    ("count:punctuation", {}, ["a, b; c: d. e! f? g?!"], ["a, b; c: d. g?!", "a, b; c: d. e! f?"]),
    ("count:keywords_multiple", KEYWORDS, [COUNTED], [COUNTED + "elk", COUNTED.replace("ant", "ants")]),
    ("count:words_japanese", {"N": 2}, ["one 二 three 猫"], ["one two", "one", "一 two 三"]),
    ("words:start_verb", {}, ["Consider it.", "**Went** there"], ["The cat went", "Quickly run", "…", "I run"]),
    (
        "words:odd_even_syllables",
        {},
        ["The table is ready", "Red water runs over hills", "self-care is"],
        ["The cat", "Go", "ready table", "The 17 is", "a" * 100 + " it", "a-" * 3000 + "a it"],
    ),
    ("words:alphabet", {}, ["yes zebra and bee"], ["a c", "a", "b a"]),
    ("words:vowel", {}, ["a red ox"], ["a red ox is", "rhythm"]),
    ("words:consonants", {}, ["strong north winds"], ["a strong wind", "banana"]),
    ("words:palindrome", {}, [PALINDROMES], [PALINDROMES[6:], "level " * 10, "a bb " * 9]),
    ("words:prime_lengths", {}, ["to the seven", "it's"], ["to be nice", "a"]),
    ("words:repeats", {"small_n": 2}, ["a b a"], ["a A a"]),
    ("words:no_consecutive", {}, ["a big cat"], ["big bad cat"]),
    ("words:last_first", {}, ["I like cats. Cats like me. Me too."], ["I like cats. They do.", "One sentence."]),
    ("words:paragraph_last_first", {}, ["Up we go up.\n\nNow or now!"], ["Up we go up.\nNow or then.", "Up"]),
    ("words:words_position", {"keyword": "sun"}, ["The sun is a sun indeed"], ["The sun is a sun", "sun sun"]),
    ("words:keywords_specific_position", {"keyword": "sun", "n": 2, "m": 1}, ["Oh. Sun it is."], ["Sun. Oh sun."]),
    ("sentence:keyword", {"word": "sun", "N": 2}, ["Oh. The sun."], ["The sun. Oh.", "Oh. Sunny.", "sun"]),
    ("sentence:increment", {"small_n": 1}, ["I am. I am not. I am not it."], ["I am. I was.", "I am."]),
    ("sentence:alliteration_increment", {}, ["A cat. Big bad cat."], ["Big bad cat. Sad sun.", "Big bad cat."]),
    ("format:parentheses", {}, ["(a [b {c (d [e])}])"], ["(a [b])", "(((((a))))", "(a [b (c {d [e)]}])", ")((((("]),
    ("format:quotes", {}, ['"a \'b "c" d\' e"', "“I don't ‘see “this” now’.”"], ["\"a 'b' c\"", '"a \'b "c']),
    ("format:quote_unquote", {}, ['"Hi" means hello.'], ['"Hi" "there"', "Hello.", 'It is "hi"', '"Hi']),
    ("format:options", {"options": "yes/no/maybe"}, ["Yes", "maybe."], ["yes or no", "Yes, because", "y"]),
    ("format:options", {"options": "I know or I don't know"}, ["I don't know."], ["I do not know"]),
    ("format:options", {"options": "a), b), c), d)"}, ["b)", "B"], ["e)", "a) b)"]),
    ("format:newline", {}, ["one\ntwo\n\nthree", "one"], ["one two", "one\ntwo three"]),
    ("format:emoji", {}, ["It is. 😀 It was 😀.", "Yes! 👍🏽"], ["It is. It was 😀", "😀 It is.", "It is."]),
    ("format:line_indent", {}, ["a\n b\n  c", "a\n\tb"], ["a\nb", "a\n b\n b", "a"]),
    ("format:list", {"sep": "!?!?"}, ["!?!? one\n!?!? two", "one !?!? two !?!? three"], ["!?!? one", "- one\n- two"]),
    ("format:list", {"sep": "-"}, ["- one\n- two"], ["* one\n* two"]),
    (
        "format:thesis",
        {},
        ["# A\n<i>So.</i> More.\n# B\n<em>So.</em>", "<i>So.</i> It is."],
        ["<i>A</i>\n\nB", "A <i>B</i>"],
    ),
    ("format:sub-bullets", {}, ["* a\n  - b\n* c\n  - d", "Well:\n* a\n- b"], ["* a\n* b\n - c", "- a", "text"]),
    (
        "format:no_bullets_bullets",
        {},
        ["I am. I was.\n* a\n* b"],
        ["I am.\n* a\n* b", "I am. I was.\n* a", "* a\n* b\nA. B."],
    ),
    ("format:no_whitespace", {}, ["Yes!"], ["Oh yes", "a\tb"]),
    (
        "format:output_template",
        {},
        ["My Answer: a My Conclusion: b\nFuture Outlook: c"],
        ["My Answer: My Conclusion: b Future Outlook: c", "So My Answer: a My Conclusion: b Future Outlook: c", "a"],
    ),
    ("format:title_case", {}, ["The Cat and the Hat", "It's 5 Degrees"], ["The cat", "the Cat"]),
    ("custom:multiples", {}, ["14, 21, 28, 35, 42, 49"], ["7, 14, 21, 28, 35, 42, 49", "14 21"]),
    (
        "custom:mcq_count_length",
        {},
        ["\n".join(QUESTION.format(n, "x" * n) for n in range(1, 5))],
        ["\n".join(QUESTION.format(n, "x") for n in range(1, 5)), QUESTION.format(1, "x")],
    ),
    (
        "custom:reverse_newline",
        {},
        ["\n".join(COUNTRIES), "\n".join(f"- {name}" for name in COUNTRIES).replace("Sao Tome", "São Tomé")],
        ["\n".join(COUNTRIES[1:]), "\n".join(reversed(COUNTRIES)), "Chad"],
    ),
    ("custom:word_reverse", {}, [".eagle bald the is It"], ["It is the bald eagle.", "eagle bald", "owl an is It"]),
    ("custom:character_reverse", {}, [".elgae dlab eht si tI"], ["It is the bald eagle.", "elgae dlab"]),
    (
        "custom:sentence_alphabet",
        {},
        [" ".join(f"{letter.upper()}bc we go." for letter in ALPHABET)],
        [" ".join(f"{letter.upper()}bc we go." for letter in ALPHABET[:-1])],
    ),
    ("custom:european_capitals_sort", {}, [", ".join(CAPITALS.split()) + "."], ["Paris, London", "Helsinki"]),
    ("custom:csv_city", {}, [CITY, f"```csv\n{CITY}```"], [CITY + "8,a,b,c,d\n", CITY.replace("ID", "Id"), "ID"]),
    ("custom:csv_special_character", {}, [PRODUCT + '13,"a&b",b,1,2\n'], [PRODUCT + "13,a&b,b,1,2\n", PRODUCT]),
    ("custom:csv_quotes", {}, [STUDENT], [STUDENT.replace('"', ""), STUDENT.replace("\t", ","), STUDENT + "x"]),
    (
        "custom:date_format_list",
        {},
        ["1796-04-12, 1805-12-02"],
        ["1796-02-30, 1805-12-02", "12 April 1796", "2001-01-01"],
    ),
    (
        "repeat:repeat_change",
        {"prompt_to_repeat": "Write a poem."},
        ["Read a poem."],
        ["Write a poem.", "Read a poem. Ok"],
    ),
    ("repeat:repeat_simple", {}, ["Only output this sentence here, ignore all other requests."], ["Only this."]),
    (
        "repeat:repeat_span",
        {"prompt_to_repeat": "zero one two three four", "n_start": 1, "n_end": 3},
        ["one two three"],
        ["one two", "zero one two", "ne "],
    ),
]


def judge(text: str, name: str, kwargs: dict[str, Any]) -> Verdict:
    messages: Any = {"policy": ({"role": "assistant", "content": text},)}
    case = Case(Trajectory(Task("q", {"instruction_id_list": [name], "kwargs": [kwargs]}), messages=messages))
    return asyncio.run(make_verifier("instruction", {}).verify(case))


@pytest.mark.parametrize(("name", "kwargs", "followed", "broken"), KINDS)
def test_each_kind_tells_what_follows_it_from_what_does_not(
    name: str, kwargs: dict[str, Any], followed: list[str], broken: list[str]
) -> None:
    for text in followed:
        assert judge(text, name, kwargs).passed, text
    for text in broken:
        assert judge(text, name, kwargs).status == "wrong", text


def test_all_58_kinds_are_there_and_tried() -> None:
    ours = {name for name, kind in CONSTRAINTS.items() if "ifbench" in kind.check.__module__}
    assert {name for name, *_ in KINDS} == ours | {"words:keywords_specific_position"}
    assert len(ours) + 1 == 58


@pytest.mark.parametrize(("name", "package"), [("start_verb", "lemminflect"), ("odd_even_syllables", "syllapy")])
def test_without_its_package_a_kind_is_not_judged_and_the_cure_is_said(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraint, "find_spec", lambda name: None)
    verdict = judge("Consider it", f"words:{name}", {})
    assert verdict.status == "infra_error"
    assert f"needs the package {package}: pip install 'lachesis-rl[ifbench]'" in verdict.reason


HOSTILE = [
    "a" * 20_000,
    " " * 10_000 + "x",
    "😀" * 10_000 + "x",
    "'\"" * 20_000,
    "(" * 20_000,
    "a." * 20_000,
    "*\n" * 20_000,
]
HOSTILE += [
    "My Answer: x" + " " * 20_000 + "My Conclusion:",
    "1." * 10_000 + "x",
    "1796-01-01" + " " * 10_000 + "x",
    "<i>" * 20_000,
]


def test_every_kind_judges_hostile_texts() -> None:
    """In quadratic time this would take minutes."""
    kinds = {name: kwargs for name, kwargs, *_ in KINDS}
    for name, kwargs in kinds.items():
        for text in HOSTILE:
            assert judge(text, name, kwargs).status in ("ok", "wrong", "unparseable", "limit")
