"""Names of models: folders and Hub names are accepted; others are refused with the cure, without a long wait."""

import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from lachesis.rollout.models.source import check_source
from lachesis.verifiers.errors import ConfigError

ANSWERS = {"here": (200, ""), "none": (404, "RepoNotFound"), "bare": (404, "EntryNotFound"), "ill": (503, "")}


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does for the file of a model whose name says how."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        status, code = ANSWERS[self.path.split("/")[2]]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and an empty cache; the network is allowed, but leads nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / ".cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point(monkeypatch, 9)
    return tmp_path


def point(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Take what listens on ``port`` for the Hub."""
    hub = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server in the Hub's place; the paths that it was asked for."""
    Hub.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        point(monkeypatch, server.server_address[1])
        yield Hub.asked
        server.shutdown()


def cache(place: Path, name: str) -> None:
    folder = place / ".cache" / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (folder / "snapshots" / ("0" * 40) / "config.json").write_text("{}")


def test_a_folder_is_accepted_without_a_question_to_the_hub(place: Path, hub: list[str]) -> None:
    (place / "org" / "none").mkdir(parents=True)
    check_source("org/none")
    check_source(str(place))
    assert hub == []


@pytest.mark.parametrize("name", ["./mine", "../mine", "/mine", "~/mine", "a/b/c", "mine/", "runs/my model", "x" * 200])
def test_what_cannot_be_a_hub_name_is_refused_without_a_question_to_the_hub(name: str, hub: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"^there is no model folder {name}; "):
        check_source(name)
    assert hub == []


def test_the_cure_names_the_folder_that_was_probably_meant(place: Path) -> None:
    step = place / "runs" / "words-1" / "checkpoints" / "step-000030"
    step.mkdir(parents=True)
    for wrong, meant in (
        ("runs/words-1/checkpoints/step-30", "runs/words-1/checkpoints/step-000030"),
        ("runs/word-1/checkpoints/step-000030", "runs/words-1"),
        (f"{step}1", str(step)),
    ):
        with pytest.raises(ConfigError, match=rf"; did you mean {meant}\?$"):
            check_source(wrong)


def test_a_file_is_refused_as_one(place: Path) -> None:
    (place / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"the model \S+config.json is a file, not a folder"):
        check_source(str(place / "config.json"))


def test_a_hub_name_is_asked_for_once_and_a_download_is_announced(
    hub: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    check_source("org/here")
    assert hub == ["/org/here/resolve/main/config.json"]
    assert "org/here is downloaded from the Hugging Face Hub first" in caplog.text


@pytest.mark.parametrize(
    ("name", "reason"),
    [("org/none", "gives no such model"), ("org/bare", "gives no such model"), ("org/ill", "HTTP status 503")],
)
def test_the_hubs_refusal_ends_it_unless_the_cache_has_the_model(
    name: str, reason: str, place: Path, hub: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=f"^there is no model folder {name}, and the Hugging Face Hub .*{reason}"):
        check_source(name)
    cache(place, name)
    check_source(name)
    assert f"{name} is loaded from the local cache, because the Hugging Face Hub" in caplog.text
    assert len(hub) == 2


def test_a_hub_that_does_not_answer_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts connections and says nothing
        point(monkeypatch, silent.getsockname()[1])
        with pytest.raises(ConfigError, match=r"Hub could not be reached within 1 s \(ReadTimeout\)"):
            check_source("org/here")


def test_offline_only_the_cache_is_asked(
    place: Path, hub: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="not asked because HF_HUB_OFFLINE is set"):
        check_source("org/here")
    cache(place, "org/here")
    check_source("org/here")
    assert hub == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
