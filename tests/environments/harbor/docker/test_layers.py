"""The answer of a task is found wherever an image keeps it: in a hidden layer, in a command, in a pack of Git."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.environments.harbor.environment import Harbor

from .conftest import BASE

MakeTask = Callable[..., Path]
ANSWER = "[1, 2, 3, 7, 12, 40, 1000000]"


def place_of_answer(folder: Path) -> str:
    environment = Harbor(path=folder, command=["x"], held_out=0.0, docker=True)
    (task,) = environment.tasks("train", 0)
    in_docker = environment.in_docker(task)
    assert in_docker is not None
    found = asyncio.run(in_docker.search({"out.json": ANSWER.encode(), "other": b"this text is not in any image"}))
    assert "other" not in found
    return found.get("out.json", "")


@pytest.mark.slow
def test_a_file_that_a_later_layer_hides_is_found(make_task: MakeTask) -> None:
    hidden = f"FROM {BASE}\nWORKDIR /app\nCOPY . .\nRUN rm old.json\n"
    folder = make_task(environment__Dockerfile=hidden, **{"environment__old.json": ANSWER})
    assert place_of_answer(folder) == "a layer of the image, as /app/old.json"


@pytest.mark.slow
def test_an_image_without_the_answer_has_no_place_of_it(make_task: MakeTask) -> None:
    assert place_of_answer(make_task()) == ""


@pytest.mark.slow
def test_a_command_that_made_it_is_found(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f'FROM {BASE}\nWORKDIR /app\nENV OLD="{ANSWER}"\nENV OLD=none\n')
    assert place_of_answer(folder) == "the history of the image"


@pytest.mark.slow
def test_the_pack_of_a_repository_is_found(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f"FROM {BASE}\nWORKDIR /app\nCOPY . .\n")
    repository = folder / "environment"

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        subprocess.run(["git", *identity, *words], cwd=repository, check=True, capture_output=True, env=environment)

    git("init", "-q")
    (repository / "out.json").write_text(ANSWER)
    git("add", "-A")
    git("commit", "-qm", "the fix")
    git("rm", "-q", "out.json")
    git("commit", "-qm", "the task")
    git("gc", "-q")
    assert place_of_answer(folder).startswith("a layer of the image, in the history of /app/.git/objects/pack/")
