"""``lachesis check`` of tasks in containers: a sound one has no finding, and each known fault is found."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.environments.harbor.environment import Harbor

from .conftest import BASE

MakeTask = Callable[..., Path]


def kinds(folder: Path) -> list[str]:
    environment = Harbor(path=folder, command=["x"], held_out=0.0, docker=True)
    (task,) = environment.tasks("train", 0)
    return [finding.kind for finding in asyncio.run(environment.audit_task(task))]


@pytest.mark.slow
def test_a_sound_task_has_no_finding(make_task: MakeTask) -> None:
    assert kinds(make_task()) == []


@pytest.mark.slow
def test_a_task_whose_oracle_fails_and_one_that_nothing_passes_are_found(make_task: MakeTask) -> None:
    assert kinds(make_task("a", **{"solution__solve.sh": "#!/bin/bash\nfalse\n"})) == ["gold"]
    passing = make_task("b", **{"tests__test.sh": "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n"})
    assert kinds(passing) == ["empty", "reward", "reward", "reward", "reward"]


@pytest.mark.slow
def test_an_answer_in_a_hidden_layer_is_found(make_task: MakeTask) -> None:
    dockerfile = f"FROM {BASE}\nWORKDIR /app\nCOPY . .\nRUN rm old\n"
    left = make_task(**{"environment__Dockerfile": dockerfile, "environment__old": "[1, 2, 3, 7, 12, 40, 1000000]"})
    assert kinds(left) == ["leak"]


@pytest.mark.slow
def test_tests_that_run_what_the_agent_left_let_it_write_the_reward(make_task: MakeTask) -> None:
    runs = "#!/bin/bash\ncd /app; python3 -c 'import sys, sitecustomize'\n"
    shared = make_task(
        **{"tests__test.sh": runs, "task.toml": 'artifacts = ["/app/x"]\n', "solution__solve.sh": "#!/bin/bash\n"}
    )
    assert kinds(shared) == ["gold", "reward"]
