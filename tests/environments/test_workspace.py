"""A folder of the episode's own in the sandbox, and programs that work in it one after the other."""

import asyncio
import json
from typing import Any

import pytest

from lachesis.environments.environment import Environment
from lachesis.environments.workspace import Workspace
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.rubric import reward
from lachesis.verifiers.sandbox.job import Limits
from lachesis.verifiers.task import Task


def run(workspace: Workspace, *programs: str) -> list[str]:
    async def one_after_the_other() -> list[str]:
        return [await workspace.python(code) for code in programs]

    return asyncio.run(one_after_the_other())


def test_files_stay_and_change_and_go_and_variables_do_not() -> None:
    workspace = Workspace({"data.txt": b"1 2 3"})
    said = run(
        workspace,
        "x = 1; print(sum(map(int, open('data.txt').read().split())))",
        "print('x' in globals()); open('data.txt', 'w').write('4'); open('new.bin', 'wb').write(bytes(range(256)))",
        "import os; print(open('data.txt').read(), sorted(os.listdir('.')), len(open('new.bin', 'rb').read()))",
        "import os; os.remove('data.txt')",
    )
    assert said == ["6", "False", "4 ['__program__.py', 'data.txt', 'new.bin'] 256", "(no output)"]
    assert workspace.files == {"new.bin": bytes(range(256))}


def test_what_a_program_says_of_itself_is_right() -> None:
    (said, made, future) = run(
        Workspace(),
        "def f():\n    return 1 / 0\nf()",
        "open('helper.py', 'w').write('VALUE = 7')",
        "from __future__ import annotations\nimport helper\nprint(helper.VALUE)",
    )
    assert 'File "__program__.py", line 2, in f' in said
    assert said.endswith("ZeroDivisionError: division by zero")
    assert (made, future) == ("(no output)", "7")


def test_what_a_program_wrote_before_it_failed_stays_and_too_much_does_not() -> None:
    workspace = Workspace(limits=Limits(wall=5.0, output=2000))
    run(workspace, "open('a', 'w').write('kept'); raise SystemExit(3)")
    assert workspace.files == {"a": b"kept"}
    (said,) = run(workspace, "open('b', 'w').write('x' * 100_000)")
    assert "files were not kept" in said
    assert workspace.files == {"a": b"kept"}
    (said,) = run(workspace, "while True: pass")
    assert said.startswith("(")


class Analyst(Environment):
    """Works with files."""

    needs_sandbox = True

    def tasks(self, split: str, seed: int) -> Any:
        yield Task("Put the sum of numbers.txt into sum.txt.", answer="6")

    async def setup(self, episode: Any) -> None:
        episode.workspace.files["numbers.txt"] = b"1\n2\n3\n"

    def tools(self, episode: Any) -> list[Any]:
        return [episode.workspace.python]

    async def finish(self, episode: Any) -> None:
        episode.artifacts["sum"] = episode.workspace.files.get("sum.txt", b"").decode(errors="replace")

    @reward()
    def right(self, case: Case) -> float:
        return float(case.artifacts["sum"].strip() == case.answer)


def test_an_episode_has_its_own_and_its_tools_work_there() -> None:
    environment = Analyst()
    (task,) = environment.tasks("test", 0)
    code = "open('sum.txt', 'w').write(str(sum(map(int, open('numbers.txt')))))"
    call = f"<tool_call>{json.dumps({'name': 'python', 'arguments': {'code': code}})}</tool_call>"

    async def both() -> list[float]:
        made = await asyncio.gather(environment.attempt(task, [call, "done"]), environment.attempt(task, ["done"]))
        return [one.rewards["policy"].total for one in made]

    assert asyncio.run(both()) == [1.0, 0.0]


@pytest.mark.parametrize("name", ["../up", "a/b", ""])
def test_files_have_plain_names(name: str) -> None:
    with pytest.raises(DataError, match="plain name"):
        run(Workspace({name: b"x"}), "print('never')")
