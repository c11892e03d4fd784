"""BuildKit: Dockerfiles that need it are built with it, within the same deadline, and with a log when they fail."""

import asyncio
import base64
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.harbor.docker.buildkit import Trace, needs_buildkit
from lachesis.environments.harbor.docker.images import LABEL, Images
from lachesis.environments.harbor.docker.layers import texts_in_image
from lachesis.environments.harbor.docker.requirements import ImageSource
from lachesis.environments.harbor.task_folder import read_task
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.sandbox.docker.daemon import connect

from .conftest import BASE, attempt, total

MakeTask = Callable[..., Path]
CACHE = "RUN --mount=type=cache,target=/cache"
SOLVE = "cp numbers.json x && python3 -c \"import json; json.dump(sorted(json.load(open('x'))), open('out.json','w'))\""


def get(folder: Path, **changes: Any) -> Any:
    """Docker's account of the image of a task."""
    needs = read_task(folder, in_docker=True).docker
    assert needs is not None
    return Images(connect()).get(ImageSource(**{**needs.to_json()["image"], **changes}), folder)


@pytest.mark.parametrize(
    "line",
    [
        "# syntax=docker/dockerfile:1",
        "#Syntax = docker/dockerfile:1.7-labs",
        "RUN --mount=type=cache,target=/root/.cache pip install x",
        "run \\\n  # why\n  --network=none true",
        "COPY --from=build --chmod=755 a /a",
        "COPY --link a /a",
        "ADD --checksum=sha256:0 https://a/b /b",
        "RUN <<EOF\necho hi\nEOF",
        "RUN cat <<-'end' > /x\nend",
        "COPY <<file.txt /x\nfile.txt",
        "ARG TARGETARCH",
        "FROM --platform=$BUILDPLATFORM b AS c",
        "ONBUILD COPY --link a /a",
        "ONBUILD RUN <<EOF\necho hi\nEOF",
        "RUN <<\\EOF\necho hi\nEOF",
        "RUN a \\\n\n  <<EOF\necho hi\nEOF",
        "ADD https://a/b.git#main /b",
        "ADD git@a:b.git /b",
    ],
)
def test_what_the_classic_builder_refuses_needs_buildkit(line: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"{line}\n" if line.lower().startswith("#") else f"FROM a\n{line}\n")
    assert needs_buildkit(tmp_path / "Dockerfile")


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install --no-cache-dir x",
        "COPY --from=build --chown=1:1 a /a",
        "RUN echo $((1<<2)) && apt-get install --yes x",
        "# RUN --mount=type=cache,target=/x",
        "RUN cp --link a b",
        "ENV A=--mount",
        "ADD https://a/b.github /b",
        "ARG TARGET=x",
        "",
        "\ud7ff\x00é",
    ],
)
def test_other_dockerfiles_do_not(line: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM a\n{line}\n")
    assert not needs_buildkit(tmp_path / "Dockerfile")


@pytest.mark.parametrize("aux", ["", "!", 7, None, base64.b64encode(b"\x0a\xff").decode(), "AAAA", "//////8="])
def test_events_that_cannot_be_read_have_no_text(aux: Any) -> None:
    assert Trace().text({"id": "moby.buildkit.trace", "aux": aux}) == ""


def test_the_end_of_buildkits_log_is_told_with_the_step_that_failed(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f"FROM {BASE}\n{CACHE} echo it wént wrong here; exit 3\n")
    with pytest.raises(DataError, match=r"(?s)cannot be built: .*code: 3.*log ends with:.*--mount.*\nit wént wrong"):
        get(folder)


@pytest.mark.slow
def test_a_task_is_played_in_an_image_that_buildkit_built(make_task: MakeTask) -> None:
    lines = f"FROM {BASE}\nARG TARGETARCH\nWORKDIR /app\nCOPY --chmod=644 numbers.json ./\n"
    lines += f"{CACHE} echo $TARGETARCH > /built\n"
    folder = make_task(environment__Dockerfile=lines)
    found = get(folder)
    assert LABEL in found["Config"]["Labels"]
    assert total(asyncio.run(attempt(folder, SOLVE))) == 1.0
    assert total(asyncio.run(attempt(folder, "test -s /built && touch out.json"))) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RUN --mount=type=secret,id=x,required=true true", "Secrets, SSH keys and logins"),
        ("COPY --no-such-option a /a", "(?i)unknown flag.*Docker 23 or later"),
        ("# syntax=no-such-frontend.invalid/x:1", "cannot be built: .*no-such-frontend.invalid"),
        ("RUN --mount=type=cache true\nFROM no-such-image-anywhere:1", "cannot be built"),
    ],
)
def test_what_buildkit_refuses_is_told_with_the_cure(line: str, why: str, make_task: MakeTask) -> None:
    first, second = (line, f"FROM {BASE}") if line.startswith("#") else (f"FROM {BASE}", line)
    with pytest.raises(DataError, match=why):
        get(make_task(environment__Dockerfile=f"{first}\n{second}\n"))


@pytest.mark.slow
def test_a_build_with_buildkit_that_takes_too_long_is_ended(make_task: MakeTask) -> None:
    folder = make_task(environment__Dockerfile=f"FROM {BASE}\n{CACHE} echo begun; sleep 89\n")
    with pytest.raises(DataError, match=r"(?s)within 6 s \(build_timeout_sec.*begun"):
        get(folder, seconds=6.0)
    for _ in range(100):
        if not subprocess.run(["pgrep", "-fx", "sleep 89"], capture_output=True, check=False).stdout:
            return
        threading.Event().wait(0.2)
    raise AssertionError("the build goes on")


@pytest.mark.slow
def test_the_audit_sees_what_a_build_with_buildkit_hides(make_task: MakeTask) -> None:
    lines = f"FROM {BASE}\n{CACHE} echo in-a-command > /a\nCOPY --chmod=644 numbers.json /secret\nRUN rm /secret\n"
    found = list(texts_in_image(connect(), get(make_task(environment__Dockerfile=lines))["Id"]))
    assert any("history of the image" in place and b"echo in-a-command" in text for place, text in found)
    assert any(place.endswith("/secret") and b"1000000" in text for place, text in found)
