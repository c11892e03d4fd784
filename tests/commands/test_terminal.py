"""What reaches a terminal: text, and nothing that it could take for a command."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from lachesis.commands.terminal import printable


def test_plain_text_stays_as_it_is() -> None:
    assert printable("a\tb\nπ – 数 é") == "a\tb\nπ – 数 é"


def test_commands_are_shown_as_escapes() -> None:
    assert printable("\x1b[2Jx\r\x07") == r"\x1b[2Jx\r\x07"
    assert printable("\x9b31m\u202egnp.exe\u2028\udc80") == r"\x9b31m\u202egnp.exe\u2028\udc80"


@given(st.text())
def test_no_control_format_or_surrogate_passes(text: str) -> None:
    assert not {unicodedata.category(char) for char in printable(text) if char not in "\n\t"} & {"Cc", "Cf", "Cs"}
