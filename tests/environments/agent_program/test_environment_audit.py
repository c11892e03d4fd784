"""``lachesis check`` of agent programs: tasks that pass by themselves, or show their solution, are found."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.agent_program.environment import AgentProgram
from lachesis.environments.audit.audit import Audit
from lachesis.environments.audit.finding import Report

SOUND = {
    "prompt": "Write double.py.",
    "keep": ["double.py"],
    "tests": "assert run('python3', 'double.py', stdin='4').stdout.strip() == '8'",
    "solution": {"double.py": "print(int(input()) * 2)"},
}


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"tests": "pass"}, ["empty"]),
        ({"solution": {"double.py": "print(3)"}}, ["gold"]),
        ({"files": {"hidden/.old.py": SOUND["solution"]["double.py"]}}, ["leak"]),  # type: ignore[index]
    ],
    ids=["sound", "empty", "gold", "leak"],
)
def test_the_faults_of_a_task_are_found(changes: dict[str, Any], kinds: list[str], tmp_path: Path) -> None:
    environment = AgentProgram(path=tmp_path, command="agent {task}")
    task = environment.task_of({**SOUND, **changes})
    assert task is not None
    report = Report("agent_program")
    asyncio.run(Audit(environment, report).play([task]))
    assert [finding.kind for finding in report.findings] == kinds
    assert "audited without a model" in report.skipped["scripted players"]
