"""The audit of Harbor tasks finds the faults that public tasks are known for, and none in a sound one."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.harbor.environment import Harbor


def kinds(folder: Path) -> list[str]:
    environment = Harbor(path=folder, command=["x"], held_out=0.0)
    (task,) = environment.tasks("train", 0)
    return [finding.kind for finding in asyncio.run(environment.audit_task(task))]


def test_a_sound_task_has_no_finding(make_task: Any) -> None:
    assert kinds(make_task()) == []


@pytest.mark.slow
def test_a_task_whose_oracle_fails_and_one_that_nothing_passes_are_found(make_task: Any) -> None:
    assert kinds(make_task("a", **{"solution__solve.sh": "#!/bin/bash\nfalse\n"})) == ["gold"]
    passing = make_task("b", **{"tests__test.sh": "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n"})
    assert "empty" in kinds(passing)


@pytest.mark.slow
def test_the_answer_in_the_image_is_found(make_task: Any) -> None:
    dockerfile = "FROM x\nWORKDIR /app\nCOPY . .\n"
    left = make_task(**{"environment__Dockerfile": dockerfile, "environment__.old": "[1, 2, 3, 7, 12, 40, 1000000]"})
    assert kinds(left) == ["leak"]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_the_answer_in_the_history_is_found(packed: bool, make_task: Any) -> None:
    folder = make_task(**{"environment__Dockerfile": "FROM x\nWORKDIR /app\nCOPY . .\n"})
    repository, out = folder / "environment", folder / "environment" / "out.json"

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        subprocess.run(["git", *identity, *words], cwd=repository, check=True, capture_output=True, env=environment)

    git("init", "-q")
    out.write_text("[1, 2, 3, 7, 12, 40, 1000000]")
    git("add", "-A")
    git("commit", "-qm", "the fix")
    out.unlink()
    git("commit", "-qam", "the task")
    if packed:
        git("gc", "-q")
    assert kinds(folder) == ["leak"]


@pytest.mark.slow
def test_tests_that_run_what_the_agent_left_let_it_write_the_reward(make_task: Any) -> None:
    runs = "#!/bin/bash\npython3 -c 'import json' || true\ncd /app; python3 -c 'import sys, sitecustomize'\n"
    shared = make_task(**{"tests__test.sh": runs, "task.toml": "", "solution__solve.sh": "#!/bin/bash\n"})
    assert kinds(shared) == ["gold", "reward"]
