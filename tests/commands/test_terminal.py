"""What reaches a terminal: text, and nothing that it could take for a command, but for the redrawing of one line."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.commands.terminal import printable, show_status


def test_plain_text_stays_as_it_is() -> None:
    assert printable("a\tb\nπ – 数 é") == "a\tb\nπ – 数 é"


def test_commands_are_shown_as_escapes() -> None:
    assert printable("\x1b[2Jx\r\x07") == r"\x1b[2Jx\r\x07"
    assert printable("\x9b31m\u202egnp.exe\u2028\udc80") == r"\x9b31m\u202egnp.exe\u2028\udc80"


@given(st.text())
def test_no_control_format_or_surrogate_passes(text: str) -> None:
    assert not {unicodedata.category(char) for char in printable(text) if char not in "\n\t"} & {"Cc", "Cf", "Cs"}


def show(texts: list[str]) -> None:
    """Show these texts one after the other, as fast as it goes, and stop at the last."""

    async def run() -> None:
        stop = asyncio.Event()

        def status() -> str:
            if len(texts) == 1:
                stop.set()
            return texts.pop(0)

        await show_status(status, stop, redraw=0, line=0)

    asyncio.run(run())


def test_into_a_pipe_only_a_status_that_has_changed_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    show(["a", "a", "b\nc\x1b[2J", "a", "a"])
    assert capsys.readouterr().out == "a\nb c\\x1b[2J\na\n"


def test_on_a_terminal_one_line_is_drawn_again_and_removed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        show(["short", "longer than it is wide", "short"])
        monkeypatch.undo()
        drawn = b""
        while drawn.count(b"\r") < 4 or not drawn.endswith(b"\x1b[K"):  # it arrives in pieces
            drawn += os.read(reader, 1000)
    os.close(reader)
    assert drawn == b"\r\x1b[Kshort\r\x1b[Klonger th\r\x1b[Kshort\r\x1b[K"


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    """Run ``line`` in bash, where ``lachesis`` is the command line; the exit code is that of its first part."""
    line = line.replace("lachesis", f"{sys.executable} -m lachesis.commands.cli")
    return subprocess.run(
        ["bash", "-c", line + "; exit ${PIPESTATUS[0]}"], capture_output=True, text=True, timeout=240, check=False
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


@pytest.mark.parametrize("debug", ["", "LACHESIS_DEBUG=1 "])
def test_the_exit_code_tells_even_if_standard_error_is_full(debug: str) -> None:
    assert shell(f"{debug}lachesis trian 2>/dev/full").returncode == 2


def test_what_is_written_arrives_whole_before_the_exit_code(tmp_path: Path) -> None:
    done = shell(f"lachesis --version >{tmp_path}/out")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out").read_text().startswith("lachesis, version ")
