"""Harbor tasks: an agent's artifacts, and nothing else, reach the tests, whose reward is read as the format says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.harbor.environment import Harbor, read_reward
from lachesis.environments.play import play
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.trajectory import Trajectory

SORT = "import json; json.dump(sorted(json.load(open('numbers.json'))), open('out.json', 'w'))"


def played(folder: Path, source: str, **settings: Any) -> Trajectory:
    """The scored attempt of a Python program at the task."""
    command = ["{python}", "-c", source, "{task}"]
    environment = Harbor(path=folder, command=command, network="off", held_out=0.0, **settings)
    (task,) = environment.tasks("train", 0)

    async def run() -> Trajectory:
        return await environment.score_trajectory(await play(environment, task, {}, (0,)))

    return asyncio.run(run())


def total(trajectory: Trajectory) -> float:
    assert trajectory.rewards, trajectory.error
    return float(trajectory.rewards["policy"].total)


def test_work_in_the_tasks_folder_passes_its_tests_and_idleness_does_not(make_task: Any) -> None:
    folder = make_task()
    assert total(played(folder, SORT)) == 1.0
    assert total(played(folder, "")) == 0.0


def test_neither_tests_nor_solution_are_where_the_agent_runs(make_task: Any) -> None:
    look = "import os; print([n for top in ('/tests', '/solution', '/app') for _, _, ns in os.walk(top) for n in ns])"
    done = played(make_task(), f"{look}; print(os.getcwd(), os.environ['A'])")
    assert done.artifacts["program"]["stdout"] == "['numbers.json']\n/app b\n"


def test_what_is_no_artifact_does_not_reach_the_tests(make_task: Any) -> None:
    spy = "#!/bin/bash\n[ -e /app/extra ] || echo 1 > /logs/verifier/reward.txt\n"
    folder = make_task(**{"tests__test.sh": spy})
    assert total(played(folder, "open('extra', 'w').write('1')")) == 1.0


def test_a_task_that_shares_its_container_gets_the_whole_working_folder(make_task: Any) -> None:
    shared = make_task(**{"task.toml": 'version = "1.0"\n'})
    assert total(played(shared, SORT)) == 1.0


@pytest.mark.parametrize(
    ("writes", "score"),
    [
        ("echo 0.5 > /logs/verifier/reward.txt", 0.5),
        ('echo \'{"reward": 1, "style": 0}\' > /logs/verifier/reward.json; echo 0 > /logs/verifier/reward.txt', 1.0),
        ('echo \'{"a": 1, "b": 0}\' > /logs/verifier/reward.json', 0.5),
        ("echo nan > /logs/verifier/reward.txt", 0.0),
        ("echo '[1]' > /logs/verifier/reward.json", 0.0),
        ("echo '{}' > /logs/verifier/reward.json", 0.0),
        ("true", 0.0),
        ("mkdir /logs/verifier/reward.txt", 0.0),
    ],
)
def test_the_reward_is_read_as_the_format_says(writes: str, score: float, make_task: Any) -> None:
    assert total(played(make_task(**{"tests__test.sh": f"#!/bin/bash\n{writes}\n"}), "")) == score


def test_a_reward_that_is_no_float_is_no_reward() -> None:
    for text in ('{"a": 1' + "0" * 400 + "}", "[" * 100_000, '"1"', "\xff"):
        assert not read_reward({"/logs/verifier/reward.json": text.encode("latin-1")}, "").passed


def test_an_agent_that_writes_the_reward_file_earns_nothing(make_task: Any) -> None:
    source = (
        "import os; os.makedirs('/logs/verifier', exist_ok=True); open('/logs/verifier/reward.txt', 'w').write('1')"
    )
    folder = make_task(
        **{"tests__test.sh": "#!/bin/bash\ntrue\n", "task.toml": 'artifacts = ["/logs/verifier/reward.txt"]\n'}
    )
    assert total(played(folder, source)) == 0.0


def test_a_folder_of_tasks_is_divided_into_splits_by_their_instructions(make_task: Any) -> None:
    for number in range(12):
        folder = make_task(f"t{number:02}", **{"instruction.md": f"task {number}\n"})
    environment = Harbor(path=folder.parent, command=["x"], held_out=0.4)
    splits = [{task.id for task in environment.tasks(split, 0)} for split in ("train", "test")]  # type: ignore[arg-type]
    assert len(splits[0] | splits[1]) == 12
    assert not splits[0] & splits[1]
    assert all(splits)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"instruction.md": None}, "instruction.md"),
        ({"task.toml": "a = "}, "no Harbor task"),
        ({"tests__test.sh": None}, "no tests/test.sh"),
        ({"task.toml": '[[steps]]\nname = "a"\n'}, "several steps"),
        ({"task.toml": '[environment]\nos = "windows"\n'}, "only for Linux"),
        ({"task.toml": 'artifacts = ["../x"]\n'}, "absolute path"),
        ({"task.toml": "[agent]\ntimeout_sec = -1\n"}, "timeout_sec"),
        ({"task.toml": "agent = 3\n"}, "is a table"),
        ({"environment__Dockerfile": "FROM x\nRUN apt-get update\n"}, "skip_run = true"),
        ({"environment__Dockerfile": "FROM x\nCOPY --from=y /a /b\n"}, "needs Docker"),
        ({"environment__Dockerfile": "FROM x\nCOPY ../secret /b\n"}, "in the folder of the Dockerfile"),
        ({"environment__Dockerfile": "FROM x\nVOLUME /b\n"}, "VOLUME"),
        ({"environment__docker-compose.yaml": "a: b"}, "several containers"),
    ],
)
def test_tasks_that_cannot_be_played_are_refused_with_the_reason(
    files: dict[str, str | None], why: str, make_task: Any
) -> None:
    folder = make_task(**files)
    with pytest.raises(DataError, match=why):
        list(Harbor(path=folder, command=["x"], held_out=0.0).tasks("train", 0))


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no Harbor task"):
        list(Harbor(path=tmp_path, command=["x"], held_out=0.0).tasks("train", 0))
