"""What reaches a terminal: text, and nothing that it could take for a command."""

import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
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


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    """Run ``line`` in bash, where ``lachesis`` is the command line; the exit code is that of its first part."""
    line = line.replace("lachesis", f"{sys.executable} -m lachesis.commands.cli")
    return subprocess.run(
        ["bash", "-c", line + "; exit ${PIPESTATUS[0]}"], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--help >/dev/full", "cannot write standard output: No space left on device"),
        ("train --help >/dev/full", "cannot write standard output: No space left on device"),
        ("envs --verifiers >/dev/full", "cannot write standard output: No space left on device"),
        ("envs >&-", "standard output is closed"),
    ],
)
def test_standard_output_that_cannot_be_written_is_one_line_and_exit_code_1(words: str, reason: str) -> None:
    done = shell(f"lachesis {words}")
    assert done.stderr.startswith(f"lachesis: error: {reason}; send it"), done.stderr
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


def test_a_reader_that_goes_away_ends_the_command_in_silence() -> None:
    done = shell("lachesis envs --verifiers | head -0")
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_the_exit_code_tells_even_if_standard_error_is_full() -> None:
    assert shell("lachesis trian 2>/dev/full").returncode == 2


def test_what_is_written_arrives_whole_before_the_exit_code(tmp_path: Path) -> None:
    done = shell(f"lachesis --version >{tmp_path}/out")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out").read_text().startswith("lachesis, version ")
