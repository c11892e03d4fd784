"""The images of tasks: built once, within a deadline, and with a log when they fail."""

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.harbor.docker.images import LABEL, Images
from lachesis.environments.harbor.docker.requirements import ImageSource
from lachesis.environments.harbor.task_folder import read_task
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.sandbox.docker.daemon import connect

from .conftest import BASE, SESSION, build, remove_images

MakeTask = Callable[..., Path]


def get(folder: Path, **changes: Any) -> Any:
    """Docker's account of the image of a task."""
    needs = read_task(folder, in_docker=True).docker
    assert needs is not None
    return Images(connect()).get(ImageSource(**{**needs.to_json()["image"], **changes}), folder)


def test_the_end_of_the_log_of_a_build_that_fails_is_told(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f"FROM {BASE}\nRUN echo it went wrong here; exit 3\n")
    with pytest.raises(DataError, match=r"(?s)cannot be built: .*code: 3.*log ends with:.*it went wrong here"):
        get(folder)


def test_the_tests_remove_the_images_of_their_own_session_and_no_others(make_task: MakeTask) -> None:
    key, _, session = SESSION.partition("=")
    assert get(make_task())["Config"]["Labels"][key] == session, "what is built upon the base image inherits its label"
    api, (own, other) = connect(), (uuid.uuid4().hex, uuid.uuid4().hex)
    for name in (own, other):
        recipe = f"FROM {BASE}\nLABEL {key}={name} {LABEL}=x\n"
        build(api, f"lachesis-test:{name}", {"Dockerfile": recipe.encode()})
    try:
        remove_images(api, f"{key}={own}")
        assert (len(api.images(f"lachesis-test:{own}")), len(api.images(f"lachesis-test:{other}"))) == (0, 1)
        assert api.images(BASE)
    finally:
        remove_images(api, f"{key}={other}")


@pytest.mark.parametrize(
    ("dockerfile", "why"),
    [("FROM", "cannot be built"), ("", "cannot be built"), ("FROM no-such-image-anywhere:1\n", "cannot be built")],
)
@pytest.mark.slow
def test_what_docker_refuses_is_told(dockerfile: str, why: str, make_task: MakeTask) -> None:
    with pytest.raises(DataError, match=why):
        get(make_task(environment__Dockerfile=dockerfile))


@pytest.mark.slow
def test_an_image_that_is_nowhere_is_told(make_task: MakeTask) -> None:
    folder = make_task(**{"task.toml": '[environment]\ndocker_image = "no-such-image-anywhere:1"\n'})
    with pytest.raises(DataError, match="there is no image no-such-image-anywhere:1, and it cannot be pulled"):
        get(folder)


@pytest.mark.slow
def test_an_image_with_volumes_is_refused(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f"FROM {BASE}\nWORKDIR /app\nCOPY numbers.json .\nVOLUME /app/data\n")
    with pytest.raises(DataError, match="declares volumes"):
        get(folder)


@pytest.mark.slow
def test_a_build_that_takes_too_long_is_ended(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f"FROM {BASE}\nRUN echo begun; sleep 83\n")
    with pytest.raises(DataError, match=r"(?s)within 4 s \(build_timeout_sec.*begun"):
        get(folder, seconds=4.0)
    api = connect()
    for _ in range(100):
        if not [one for one in api.containers() if "sleep 83" in one["Command"]]:
            return
        threading.Event().wait(0.2)
    raise AssertionError("the container of the build goes on")


@pytest.mark.slow
def test_whoever_waits_for_an_image_gets_the_one_that_the_first_built(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f"FROM {BASE}\nRUN python3 -c 'import os; print(os.urandom(8))' > /x\n")
    needs = read_task(folder, in_docker=True).docker
    assert needs is not None
    api = connect()
    if api.images(needs.image.name):
        api.remove_image(needs.image.name, force=True)
    images = Images(api)
    found: list[str] = []
    others = [Images(connect()), images, images]  # of another process, as far as they can tell, and of this one
    threads = [
        threading.Thread(target=lambda one=one: found.append(one.get(needs.image, folder)["Id"]))
        for one in [images, *others]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.mark.slow
def test_a_folder_that_changed_after_it_was_read_is_not_built(make_task: MakeTask) -> None:
    folder = make_task(environment__numbers__txt="x")
    needs = read_task(folder, in_docker=True).docker
    assert needs is not None
    (folder / "environment" / "Dockerfile").write_text(f"FROM {BASE}\nRUN echo other\n")
    with pytest.raises(DataError, match="has changed since"):
        Images(connect()).get(needs.image, folder)
