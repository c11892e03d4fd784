"""Programs as an environment: what of their work is judged, and what of it harms nobody."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.agent_program.environment import AgentProgram
from lachesis.verifiers.errors import ConfigError, DataError

Attempt = Callable[..., Any]


def total(trajectory: Any) -> float:
    assert trajectory.error is None, trajectory.error
    return float(trajectory.rewards["policy"].total)


@pytest.mark.parametrize("source", ["printed", "out/answer.txt", "~/notes.txt"])
def test_the_verifier_judges_what_the_setting_names(source: str, attempt: Attempt) -> None:
    program = f"""
import os
if {source!r} == "printed":
    print("Paris")
else:
    path = os.path.expanduser({source!r})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write("Paris")
"""
    keep = [] if source == "printed" else [source]
    assert total(attempt(program, {"answer": "Paris", "keep": keep}, answer_from=source)) == 1.0
    assert total(attempt("print('Rome')", {"answer": "Paris", "keep": keep}, answer_from=source)) == 0.0


def test_only_declared_files_are_kept_and_patterns_reach_into_folders(attempt: Attempt) -> None:
    program = """
import os
os.makedirs("src/deep/ö")
for name in ("src/a.py", "src/deep/ö/b.py", "src/c.txt", "secret.py"):
    open(name, "w").write(name)
"""
    files = attempt(program, {"answer": "", "keep": ["src/**/*.py"]}).artifacts["files"]
    assert files == {"src/a.py": "src/a.py", "src/deep/ö/b.py": "src/deep/ö/b.py"}


def test_a_file_whose_name_is_no_text_costs_only_itself(attempt: Attempt) -> None:
    program = (
        "for name in (b'a.txt', bytes([255]) + b'.txt', b'new' + bytes([10]) + b'.txt'): open(name, 'w').write('x')"
    )
    done = attempt(program, {"answer": "", "keep": ["*.txt"]}).artifacts
    assert done["files"] == {"a.txt": "x"}
    assert len(done["program"]["refused"]) == 2


def test_what_was_written_before_the_time_was_up_is_judged(attempt: Attempt) -> None:
    program = "open('answer.txt', 'w').write('42')\nprint('working', flush=True)\nwhile True: pass"
    done = attempt(program, {"answer": "42", "keep": ["answer.txt"]}, answer_from="answer.txt", seconds=1.0)
    assert total(done) == 1.0
    assert done.artifacts["program"]["ended"] == "seconds"
    assert done.artifacts["program"]["stdout"] == "working\n"


def test_tests_may_give_a_part_of_the_score_and_see_what_was_printed(attempt: Attempt) -> None:
    row = {"tests": "assert printed == 'ho\\n'\nscore(0.25)\n"}
    assert total(attempt("print('ho')", row)) == 0.25
    assert total(attempt("print('hi')", row)) == 0.0


def test_files_that_are_no_text_survive_both_ways(attempt: Attempt) -> None:
    row = {
        "files": {"in.bin": {"base64": "//4AgQ=="}},
        "keep": ["out.bin"],
        "tests": "assert open('out.bin', 'rb').read() == bytes([0xff, 0xfe, 0, 0x81])",
    }
    assert total(attempt("open('out.bin', 'wb').write(open('in.bin', 'rb').read())", row)) == 1.0


def test_a_program_that_does_not_exist_fails_with_its_name(attempt: Attempt) -> None:
    done = attempt("", {"answer": "x"}, command=["/opt/none/agent", "{task}"])
    assert total(done) == 0.0
    assert "'/opt/none/agent' cannot be started" in done.artifacts["program"]["stderr"]


def test_words_in_braces_are_replaced_once(attempt: Attempt) -> None:
    program = "import os, sys\nprint(sys.argv[1:], os.environ['A'], open(os.path.expanduser('~/.c')).read())"
    done = attempt(
        program,
        {"prompt": "what is {key}, {home}?", "answer": "x"},
        command=["{python}", "agent.py", "{task}"],
        variables={"A": "<{unknown}{home}>"},
        templates={"~/.c": "{{task}}"},
    )
    said = done.artifacts["program"]["stdout"]
    assert said == "['what is {key}, {home}?'] <{unknown}/box/home> {what is {key}, {home}?}\n"


def test_text_that_is_no_unicode_and_a_task_that_is_too_long_end_only_the_program(attempt: Attempt) -> None:
    command = ["{python}", "agent.py", "{task}"]
    row = {"answer": "x", "prompt": "a\ud800b"}
    assert "ended" in attempt("print(1)", row, command=command, templates={"~/.c": "{task}"}).artifacts["program"]
    done = attempt("print(1)", {"answer": "x", "prompt": "a" * 200_000}, command=command)
    assert "Argument list too long" in done.artifacts["program"]["stderr"]


def test_without_a_network_nothing_is_reached(attempt: Attempt) -> None:
    program = """
import os, socket
print(os.environ.get("OPENAI_BASE_URL"))
for address in (("127.0.0.1", 22), ("10.0.0.1", 80), ("1.1.1.1", 53)):
    try:
        socket.create_connection(address, timeout=0.2)
        print("reached", address)
    except OSError as error:
        print(type(error).__name__)
"""
    assert "reached" not in attempt(program, {"answer": "x"}).artifacts["program"]["stdout"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../b", "~/../x", "", "a//b", "line\nbreak", "a/./b"])
def test_names_that_leave_their_folder_are_refused(name: str, tmp_path: Path) -> None:
    environment = AgentProgram(path=tmp_path, command=["x"])
    with pytest.raises(DataError, match="relative path"):
        environment.task_of({"prompt": "p", "answer": "a", "files": {name: ""}})
    with pytest.raises(DataError, match="relative path"):
        environment.task_of({"prompt": "p", "answer": "a", "keep": [name]})


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "p"}, "neither 'tests' nor 'answer'"),
        ({"prompt": "p", "tests": ["assert True"]}, "source of a Python program"),
        ({"prompt": "p", "answer": "a", "files": ["a"]}, "object of names and texts"),
        ({"prompt": "p", "answer": "a", "files": {"a": 3}}, "is a text or"),
        ({"prompt": "p", "answer": "a", "files": {"a": {"base64": "?"}}}, "is a text or"),
        ({"prompt": "p", "answer": "a", "keep": [3]}, "name is text"),
        ({"prompt": "p", "answer": "a", "keep": "answer.txt"}, "list of names"),
    ],
)
def test_rows_that_cannot_be_tasks_are_refused_with_the_reason(row: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=why):
        AgentProgram(path=tmp_path, command=["x"]).task_of(row)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"command": []}, "command"),
        ({"command": ["x"], "image": "i", "folders": ["/opt"]}, "give only one"),
        ({"command": ["x"], "keep": ["../x"]}, "relative path"),
        ({"command": ["x"], "verifier": "exacct"}, "exacct"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=why):
        AgentProgram(path=tmp_path, **settings)
