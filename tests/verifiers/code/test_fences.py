"""The last code block of a reply, chosen by its language."""

import pytest

from lachesis.verifiers.code.fences import last_code_block

TEXT = "First:\n```py\nx = 1\n```\nthen\n```C++\nint x;\n```\n- and\n  ```json\n  {}\n  ```\nDone."


@pytest.mark.parametrize(
    ("language", "block"),
    [
        ("", "{}\n"),
        ("python", "x = 1\n"),
        ("Python", "x = 1\n"),
        ("py", "x = 1\n"),
        ("cpp", "int x;\n"),
        ("json", "{}\n"),
        ("rust", None),
        ("..:x", None),
    ],
)
def test_the_last_block_of_a_language_is_found_in_its_usual_spellings(language: str, block: str | None) -> None:
    assert last_code_block(TEXT, language) == block


@pytest.mark.parametrize(("text", "block"), [("", None), ("x = 1", None), ("```\nx = 1", "x = 1"), ("```\n```", "")])
def test_a_text_without_a_block_has_none_and_an_open_one_goes_to_the_end(text: str, block: str | None) -> None:
    assert last_code_block(text) == block
