"""What a task asks of its containers is read as Harbor reads it, and refused with a reason if it makes no sense."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.environments.harbor.docker.requirements import OWN_IMAGE, Requirements
from lachesis.environments.harbor.task_folder import read_task
from lachesis.verifiers.errors import DataError

MakeTask = Callable[..., Path]


def read(folder: Path) -> Requirements:
    found = read_task(folder, in_docker=True).docker
    assert found is not None
    return found


def test_resources_and_users_are_read(make_plain_task: MakeTask) -> None:
    toml = (
        '[environment]\ncpus = 0.5\nmemory_mb = 300\nstorage = "2G"\nbuild_timeout_sec = 7\n'
        'network_mode = "no-network"\n'
        '[agent]\nuser = "alice"\nnetwork_mode = "public"\n[verifier]\nuser = 1000\n'
    )
    found = read(make_plain_task(**{"task.toml": toml}))
    assert (found.cpus, found.memory, found.disk, found.image.seconds) == (0.5, 300, 2048, 7.0)
    assert (found.agent_user, found.verifier_user) == ("alice", "1000")
    assert (found.offline, found.verifier_offline) == (False, True)
    assert found.image == found.verifier_image
    assert Requirements.from_json(found.to_json()) == found


def test_the_name_of_an_image_is_the_digest_of_its_context(make_plain_task: MakeTask) -> None:
    names = {
        read(make_plain_task(name, **changes)).image.name
        for name, changes in {
            "a": {},
            "b": {"instruction.md": "other", "environment__ignored.txt": "x", "environment__.dockerignore": None},
            "c": {"environment__Dockerfile": "FROM other\n"},
        }.items()
    }
    assert len(names) == 3
    assert read(make_plain_task("d")).image.name == read(make_plain_task("a")).image.name
    assert all(name.startswith(f"{OWN_IMAGE}:") for name in names)


def test_what_is_ignored_does_not_change_the_name(make_plain_task: MakeTask) -> None:
    ignore = {"environment__.dockerignore": "*.txt\n# a comment\n"}
    first = read(make_plain_task("a", **ignore)).image.name
    assert read(make_plain_task("b", **ignore, environment__x="1")).image.name != first
    folder = make_plain_task("c", **ignore)
    (folder / "environment" / "x.txt").write_text("1")
    assert read(folder).image.name == first


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"environment__Dockerfile": None}, "neither environment/Dockerfile nor a docker_image"),
        ({"task.toml": "[environment]\ncpus = 0\n"}, "cpus is a number above 0, found 0"),
        ({"task.toml": "[environment]\ncpus = nan\n"}, "cpus"),
        ({"task.toml": '[environment]\nmemory = "lots"\n'}, "memory_mb is a number of MiB"),
        ({"task.toml": "[environment]\nmemory_mb = -1\n"}, "memory_mb"),
        ({"task.toml": '[environment]\nstorage = ""\n'}, "storage_mb"),
        ({"task.toml": "[environment]\nbuild_timeout_sec = true\n"}, "build_timeout_sec"),
        ({"task.toml": "[environment]\ndocker_image = 3\n"}, "docker_image is the name"),
        ({"task.toml": '[environment]\nnetwork_mode = "some"\n'}, "network_mode is public"),
        ({"task.toml": "[agent]\nuser = 1.5\n"}, "user is a name or a number"),
        ({"environment__docker-compose.yaml": "a: b"}, "docker-compose.yaml: tasks of several containers"),
        ({"task.toml": '[environment]\ngpus = 1\n[environment.healthcheck]\ncommand = "x"\n'}, "gpus, healthcheck"),
        ({"task.toml": '[[verifier.collect]]\ncommand = "x"\n'}, "verifier.collect"),
        ({"task.toml": "[verifier]\nenvironment = 3\n"}, "environment"),
    ],
)
def test_a_task_that_cannot_be_played_is_refused_with_the_reason(
    files: dict[str, str | None], why: str, make_plain_task: MakeTask
) -> None:
    with pytest.raises(DataError, match=why):
        read(make_plain_task(**files))
