"""A command is obeyed once or never; what is no command of the run's user is left alone."""

import os
import time
from pathlib import Path

import pytest

from lachesis.trainer.run.control.mailbox import LEFTOVER, LONGEST, Mailbox

NAME = "0" * 20 + "-" + "a" * 32


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    made = Mailbox(tmp_path)
    made.open()
    return made


def test_a_command_and_its_answer_arrive_once_and_in_order(mailbox: Mailbox) -> None:
    names = [mailbox.send({"action": "set", "value": number, "by": "Zoë"}) for number in range(3)]
    assert [(letter.name, letter.command["value"]) for letter in mailbox.commands()] == list(
        zip(names, range(3), strict=True)
    )
    assert mailbox.take(names[0])
    assert not mailbox.take(names[0])
    assert mailbox.answered(names[0]) is None
    mailbox.answer(names[0], {"done": True, "text": "ü"})
    assert mailbox.answered(names[0]) == {"done": True, "text": "ü"}
    assert mailbox.answered(names[0]) is None
    assert len(mailbox.commands()) == len(os.listdir(mailbox.path)) == 2


def test_a_command_that_was_taken_back_is_never_taken_and_one_that_was_taken_is_never_taken_back(
    mailbox: Mailbox,
) -> None:
    first, second = (mailbox.send({"action": "pause"}) for _ in range(2))
    assert mailbox.take_back(first)
    assert not mailbox.take(first)
    assert mailbox.take(second)
    assert not mailbox.take_back(second)


def test_only_the_runs_user_can_write_into_the_folder(mailbox: Mailbox) -> None:
    assert mailbox.path.stat().st_mode & 0o777 == 0o700
    mailbox.path.chmod(0o777)
    mailbox.open()
    assert mailbox.path.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "control").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="is a link"):
        Mailbox(tmp_path).open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_no_command(mailbox: Mailbox) -> None:
    name = mailbox.send({"action": "stop"})
    os.chown(mailbox.path / f"{name}.command", 12345, 12345)
    assert mailbox.commands() == []


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "name"])
def test_what_is_no_plain_file_of_the_right_name_is_left_alone(mailbox: Mailbox, kind: str) -> None:
    file = mailbox.path / f"{NAME}.command"
    if kind == "link":
        (mailbox.path / "target").write_text('{"action": "stop"}')
        file.symlink_to(mailbox.path / "target")
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        (mailbox.path / "…\udcff.command").write_text('{"action": "stop"}')
    assert mailbox.commands() == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[1]", "expected a JSON object"),
        (b" " * (LONGEST + 1), f"at most {LONGEST} bytes"),
    ],
)
def test_a_command_that_cannot_be_read_says_why(mailbox: Mailbox, text: bytes, says: str) -> None:
    (mailbox.path / f"{NAME}.command").write_bytes(text)
    [letter] = mailbox.commands()
    assert says in letter.fault
    assert letter.command == {}


def test_opening_removes_what_earlier_processes_left_and_keeps_new_commands(mailbox: Mailbox) -> None:
    kept, taken, old = (mailbox.send({"action": "pause"}) for _ in range(3))
    mailbox.take(taken)
    (mailbox.path / f"{NAME}.answer").write_text("{}")
    (mailbox.path / f"{NAME}.draft").write_text("{")
    long_ago = time.time() - LEFTOVER - 1
    os.utime(mailbox.path / f"{old}.command", (long_ago, long_ago))
    mailbox.open()
    assert {path.name for path in mailbox.path.iterdir()} == {f"{kept}.command", f"{NAME}.draft"}


def test_a_folder_that_is_gone_has_no_commands(mailbox: Mailbox) -> None:
    mailbox.path.rmdir()
    assert mailbox.commands() == []
    mailbox.answer(NAME, {"done": True})
