"""The program in a completion."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.code.fences import fenced_blocks
from lachesis.verifiers.code.program import answer_text, continuations, extract_program
from lachesis.verifiers.code.whole_programs.languages import BASH, CPP, JAVASCRIPT, Language

SOLVE, OTHER, MAIN = "def solve(a):\n    return a\n", "def other():\n    pass\n", "print(solve(1))\n"


def block(source: str, language: str = "python") -> str:
    return f"```{language}\n{source}```\n"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (block(SOLVE), SOLVE),
        (f"Here:\n{block(SOLVE)}and that is all.", SOLVE),
        (block(OTHER) + block(SOLVE), SOLVE),
        (block(SOLVE) + block(MAIN), SOLVE),
        (block("def solve(a):\n    pass\n") + block(SOLVE), SOLVE),
        (block(SOLVE) + "Prints:\n" + block("1\n", ""), SOLVE),
        (block(SOLVE, "py"), SOLVE),
        (block(SOLVE, "Python3"), SOLVE),
        (block(SOLVE, ""), SOLVE),
        (block(SOLVE, 'python title="a.py"'), SOLVE),
        (block("int solve();\n", "cpp") + block(SOLVE), SOLVE),
        (block("int solve();\n", "cpp"), ""),
        (f"~~~python\n{SOLVE}~~~", SOLVE),
        (f"````python\n{SOLVE}````", SOLVE),
        ("1. so:\n   ```python\n   def solve(a):\n       return a\n   ```\n", SOLVE),
        (f"Solution: ```python\n{SOLVE}```", SOLVE),
        (f"```python\n{SOLVE}", SOLVE.strip()),
        (f"{SOLVE}```\nIt returns a.", SOLVE),
        (SOLVE, SOLVE.strip()),
        (f"<think>{block(OTHER)}</think>{block(SOLVE)}", SOLVE),
        (f"<think>{block(SOLVE)}</think>I do not know.", "I do not know."),
        (f"<think>{block(SOLVE)}", ""),
        (f"{block(SOLVE)}<think>{block('def solve(a): return 0')}</think>", ""),
        ('```python\ndef solve(a):\n    """As in\n    ```\n    solve(1)\n    ```\n    """\n    return a\n```\n',
         'def solve(a):\n    """As in\n    ```\n    solve(1)\n    ```\n    """\n    return a\n'),
        ("", ""),
        ("   \n", ""),
    ],
)  # fmt: skip
def test_the_program_is_the_last_python_block_that_defines_what_is_asked_for(text: str, program: str) -> None:
    assert extract_program(text, ["solve"]) == program


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"```python\n{MAIN}``` This works.", MAIN),
        (f"```python\n{MAIN}```.", MAIN),
        (f"```python\n{MAIN}```This works.\nIt prints `1`.", MAIN),
        (f"```python\n{MAIN}``` (see `solve`)\n", MAIN),
        (f"{MAIN}``` This works.", MAIN),
        (f"{MAIN}```This works.", MAIN),
        (f"```python\n{OTHER}```python\n{MAIN}```", MAIN),
        (f"```\n{OTHER}\n```python\n{MAIN}```", MAIN),
        (f"- ```python\n  {MAIN}  ```", MAIN),
        (f"* ```python\n  {MAIN}  ```\n* It prints.", MAIN),
        (f"+ ```py\n{MAIN}```", MAIN),
        (f"1. ```python\n   {MAIN}   ```", MAIN),
        (f"12) ```python\n    {MAIN}    ```", MAIN),
        ("- ```python\n  def f():\n      return 1\n  ```", "def f():\n    return 1\n"),
        ("- ```python\ndef f():\n  return 1\n```", "def f():\n  return 1\n"),
        (f"> ```python\n> {MAIN}> ```", MAIN),
        (f"```tool_code\n{MAIN}```", MAIN),
        (f"```python3.11\n{MAIN}```", MAIN),
        (f"```solution\n{MAIN}```", MAIN),
        ("```print(1)```", "print(1)"),
        ("Use ```python print(1)``` here:\n```python print(2)```.", "print(2)"),
        (block(MAIN, "") + "For 1 it prints:\n" + block("1\n", ""), MAIN),
        (block("1 2\n3\n", "") + block(MAIN, "") + block("42\n", ""), MAIN),
        (block(MAIN, "") + block("42\n", "text"), MAIN),
        (block("42\n", ""), "42\n"),
        (f"<answer>{MAIN}</answer>", MAIN),
        (f"<think>hm</think>\n<answer>\n{MAIN}</answer>", f"\n{MAIN}"),
        (f"<answer>\n```python\n{MAIN}```\n</answer>", MAIN),
        (f"```python\n{MAIN}```\n<answer>See above.</answer>", MAIN),
        (f"<answer>{MAIN}", MAIN.strip()),
        ("print('<answer>')", "print('<answer>')"),
        (f"[BEGIN]\n{MAIN}[DONE]", MAIN),
        (f"{MAIN}[DONE]\nYou are an expert.\n[BEGIN]\n{OTHER}[DONE]", MAIN),
        ("print('[DONE]')", "print('[DONE]')"),
        (f"[PYTHON]\n{MAIN}[/PYTHON]\n[TESTS]\n", MAIN),
        ("`print(1)`", "print(1)"),
        ("```python\nprint(1)```", "print(1)"),
        ("```python\nprint('a')```\nIt prints a.\n```text\na\n```", "print('a')"),
        ("```python\nx = 'a```'\nprint(x)\n```", "x = 'a```'\nprint(x)\n"),
        ("```python\nx = 1  # as ```\nprint(x)\n```", "x = 1  # as ```\nprint(x)\n"),
        (block(MAIN) + block("# Example: 21 gives 42\n\n"), MAIN),
        ("\t```python\n\tprint(1)\n\t```", "print(1)\n"),
        ('```python\nx = """\n``` inside\n"""\nprint(x)\n```', 'x = """\n``` inside\n"""\nprint(x)\n'),
        ("~~~python\na = 5\nb = (\n~~~ a)\n~~~", "a = 5\nb = (\n~~~ a)\n"),
        (block("int main();\n", "cpp") + "``` This works.", ""),
        (block("int main();\n", "cpp"), ""),
    ],
)
def test_fences_are_read_as_models_write_them(text: str, program: str) -> None:
    assert extract_program(text) == program


def test_without_a_name_it_is_the_last_python_block() -> None:
    assert extract_program(block(SOLVE) + block(MAIN) + block("2\n", "")) == MAIN


def test_the_first_line_keeps_its_indentation() -> None:
    assert answer_text("    x = 1\n    return x\n") == "    x = 1\n    return x"
    assert answer_text("<think>hm</think>\n    return x") == "    return x"


def test_a_body_goes_on_from_the_prompt_however_it_is_indented() -> None:
    prompt = 'def solve(a):\n    """Gives a."""\n'
    for body in ("    b = a\n    return b", "b = a\nreturn b", "b = a\n    return b"):
        ran: dict[str, object] = {}
        for source in continuations(prompt, body):
            try:
                exec(source, ran)
            except SyntaxError:
                continue
            break
        assert ran["solve"](3) == 3  # type: ignore[operator]


@given(st.text(alphabet="`~\n\"' apython", max_size=200), st.text(max_size=20))
def test_no_text_raises(text: str, name: str) -> None:
    extract_program(text, [name])
    for found in fenced_blocks(text):
        assert found.text in text or found.text == ""


@pytest.mark.parametrize(
    "text",
    ["```\n" * 25_000, "`" * 100_000, "```python\n" + '"""\n' * 25_000, " " * 100_000 + "x", "def " * 25_000,
     "\n" * 100_000, "<think>" * 15_000,
     "</think>" * 12_000, "```python" * 11_000, "- " * 50_000, "```a```\n" * 12_000, "<answer>" * 12_000,
     "[DONE]\n" * 14_000, "1. ```" * 16_000, "> ```x\n" * 14_000, "~" * 50_000 + "`" * 50_000, "\t" * 100_000],
    ids=range(17),
)  # fmt: skip
def test_a_hostile_text_takes_no_time(text: str) -> None:
    start = time.process_time()
    extract_program(text, ["solve"])
    assert time.process_time() - start < 4


CPP_SOURCE = '#include <cstdio>\nint main() { puts("1"); }\n'
JS_SOURCE = "const n = 1;\nconsole.log(n);\n"
BASH_SOURCE = "read -r n\necho $n\n"


@pytest.mark.parametrize(
    ("language", "source", "names"),
    [
        (CPP, CPP_SOURCE, ("cpp", "c++", "C++", "C++17", "cpp20", "cc", "cxx", "c", "")),
        (JAVASCRIPT, JS_SOURCE, ("js", "javascript", "JavaScript", "node", "mjs", "")),
        (BASH, BASH_SOURCE, ("bash", "sh", "shell", "Bash", "")),
    ],
)
def test_programs_of_other_languages_are_found_by_their_names_or_without(
    language: Language, source: str, names: tuple[str, ...]
) -> None:
    for name in names:
        parts = block("print(1)\n"), "Then:\n", block(source, name), block("6\n", "text"), "With:\n", block("3\n", "")
        assert extract_program("".join(parts), language=language) == source, name
        assert extract_program(f"1. Do:\n   ```{name}\n{source}   ```", language=language) == source, name
    for name in names[:-1]:
        assert extract_program(block(source, name)) == ""
    assert extract_program(source, language=language) == source.strip()
    assert extract_program(block("print(1)\n"), language=language) == ""


def test_quotation_marks_of_other_languages_open_no_docstring() -> None:
    source = 'echo """quoted\n'
    assert extract_program(f"{block(source, 'bash')}and\n{block('x', 'text')}", language=BASH) == source
