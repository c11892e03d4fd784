"""The viewer's server answers over real sockets: every route, what it refuses, and the headers of each answer."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp import web

from lachesis.commands.sources.library import Library
from lachesis.commands.view.answers import Answers
from lachesis.commands.view.export import export
from lachesis.commands.view.server import make_app
from lachesis.verifiers.trajectory import Trajectory

Make = Callable[..., Trajectory]
Write = Callable[..., Path]
T = TypeVar("T")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make: Make, write_run: Write, write_eval: Write) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    steps = {
        1: [[make("2+2", "4"), make("2+2", "<script>alert(1)</script>", 0.0)]],
        2: [[make("3+3", "6"), make("3+3", "7", 0.0)]],
    }
    metrics = [
        {"step": -1, "warm_start/loss": 2.0},
        {"step": 1, "loss": None, "reward/total": 0.5},
        {"step": 2, "loss": 0.25},
    ]
    write_run(folder / "runs" / "toy-1", steps, metrics)
    write_eval(folder / "a.jsonl", [(0, make("x", "1")), (1, make("x", "2", 0.0))], "model-a")
    write_eval(folder / "b.jsonl", [(0, make("x", "1", 0.0))], "model-b")
    (folder / "data.jsonl").write_text('{"question": "no header"}\n')
    return folder


def visit(folder: Path, ask: Callable[[aiohttp.ClientSession, str], Awaitable[T]], token: str = "") -> T:
    """What ``ask`` returns, which talks to a server that runs meanwhile."""

    async def main() -> T:
        runner = web.AppRunner(make_app(Answers(Library([folder])), token))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
                return await ask(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def get(folder: Path, *paths: str, **headers: str) -> list[tuple[int, Any]]:
    """Status and JSON of each path."""

    async def ask(session: aiohttp.ClientSession, base: str) -> list[tuple[int, Any]]:
        found = []
        for path in paths:
            async with session.get(f"{base}{path}", headers=headers) as response:
                found.append((response.status, json.loads(await response.text())))
        return found

    return visit(folder, ask)


def keys(folder: Path) -> dict[str, str]:
    ((_, home),) = get(folder, "/api/home")
    return {source["name"]: source["key"] for source in home["sources"]}


def test_everything_in_a_folder_is_found_and_nothing_else(folder: Path) -> None:
    ((status, home),) = get(folder, "/api/home")
    found = {source["name"]: source for source in home["sources"]}
    assert status == 200
    assert set(found) == {"toy-1", "a.jsonl", "b.jsonl"}
    assert (found["toy-1"]["state"], found["toy-1"]["steps"], found["toy-1"]["planned"]) == ("stopped", 2, 2)
    assert found["a.jsonl"]["model"] == "model-a"


def test_a_run_answers_with_curves_rows_groups_and_trajectories(folder: Path) -> None:
    key = keys(folder)["toy-1"]
    answers = get(
        folder,
        f"/api/{key}",
        f"/api/{key}/curves?names=loss,reward/total",
        f"/api/{key}/curves?names=loss&since=2",
        f"/api/{key}/rows?success=no",
        f"/api/{key}/groups/0",
        f"/api/{key}/trajectories/1/0",
    )
    assert [status for status, _ in answers] == [200] * 6
    page, curves, news, rows, group, trajectory = (answer for _, answer in answers)
    assert page["names"] == ["loss", "reward/total", "warm_start/loss"]
    assert page["trajectory_steps"] == [1, 2]
    assert curves["steps"] == [-1, 1, 2]
    assert curves["columns"] == {"loss": [None, None, 0.25], "reward/total": [None, 0.5, None]}
    assert (news["steps"], news["columns"], news["rows"]) == ([2], {"loss": [0.25]}, 3)
    assert [(row["group"], row["attempt"]) for row in rows["rows"]] == [(0, 1), (1, 1)]
    assert [made["messages"]["policy"][1]["content"] for made in group["attempts"]] == [
        "4",
        "<script>alert(1)</script>",
    ]
    assert trajectory["messages"]["policy"][0]["content"] == "3+3"
    assert [row["attempt"] for row in trajectory["siblings"]] == [0, 1]


def test_training_rows_answer_with_their_manifest_and_a_sample(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "<script>"}], "metadata": {"reward": 1.0}}
    (tmp_path / "train-00000-of-00001.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "manifest.json").write_text('{"kind": "messages", "rows": 1}')
    (key,) = keys(tmp_path).values()
    answers = get(tmp_path, f"/api/{key}", f"/api/{key}/sample", f"/api/{key}/sample?first=-9", f"/api/{key}/rows")
    assert [status for status, _ in answers] == [200, 200, 200, 404]
    assert answers[0][1]["manifest"] == {"kind": "messages", "rows": 1}
    assert answers[1] == answers[2]
    assert answers[1][1]["rows"][0]["conversations"]["messages"][0]["content"] == "<script>"
    assert export(Answers(Library([tmp_path])), tmp_path / "shared.html", 10) > 0
    assert f'"{key}/sample"' in (tmp_path / "shared.html").read_text()


def test_two_evaluations_are_compared(folder: Path) -> None:
    named = keys(folder)
    ((status, found),) = get(folder, f"/api/compare/{named['a.jsonl']}/{named['b.jsonl']}")
    assert status == 200
    assert (found["lost"], found["tasks"][0]["difference"]) == (1, -0.5)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/nothing", 404, "there is no run or evaluation nothing"),
        ("/api/RUN/trajectories/9/9", 404, "has no trajectory 9/9"),
        ("/api/RUN/trajectories/9/x", 404, "Not Found"),
        ("/api/RUN/groups/99", 404, "has no group 99"),
        ("/api/RUN/rows?step=x", 400, "step is a number, found 'x'"),
        ("/api/RUN/rows?least=nan", 400, "least is a number"),
        ("/api/RUN/rows?first=1e300", 400, "first is a number below 1e18"),
        ("/api/EVAL/curves?names=loss", 404, "is an evaluation and has no curves"),
        ("/api/compare/RUN/EVAL", 404, "only two evaluations"),
        ("/static/../server.py", 404, ""),
        ("/static/%2e%2e/server.py", 404, ""),
        ("/static/..%2f..%2fserver.py", 404, ""),
        ("/static//etc/passwd", 404, ""),
        ("/static/vendor/LICENSES.txt", 404, ""),
        ("/api/RUN/rows/..%2f..", 404, ""),
    ],
)
def test_what_is_not_there_gets_an_error_as_json(folder: Path, path: str, status: int, says: str) -> None:
    named = keys(folder)
    path = path.replace("RUN", named["toy-1"]).replace("EVAL", named["a.jsonl"])
    ((found, answer),) = get(folder, path)
    assert found == status, answer
    assert says in answer["error"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.evil.example", "localhost.evil.example"]
)
def test_a_page_of_another_site_that_points_its_name_here_is_refused(folder: Path, host: str) -> None:
    ((status, answer),) = get(folder, "/api/home", Host=f"{host}:80")
    assert status == 403
    assert f"{host!r} is not this machine" in answer["error"]


def test_a_list_has_means_and_a_trajectory_has_the_groups_beside_it(
    tmp_path: Path, make: Make, write_run: Write
) -> None:
    groups = [[make(f"{n}+1", "x", 1.0), make(f"{n}+1", "y", 0.0)] for n in range(3)]
    write_run(tmp_path / "run", {1: groups}, [])
    (key,) = keys(tmp_path).values()
    answers = get(
        tmp_path, f"/api/{key}/rows?group=1", *(f"/api/{key}/trajectories/{n}/0" for n in range(3)), f"/api/{key}"
    )
    rows, first, middle, last, page = (answer for _, answer in answers)
    assert [row["asked"] for row in rows["rows"]] == ["1+1", "1+1"]
    assert rows["means"] == {"total": 0.5, "parts": {"exact": 0.5, "length": 1.0}, "success": 0.5, "turns": 1}
    assert [first["groups"], middle["groups"], last["groups"]] == [[None, 1], [0, 2], [1, None]]
    assert (page["settings"]["environments.0.config.digits"], page["settings"]["trainer.steps"]) == (1, 2)


def test_what_is_no_file_is_never_read_and_hides_no_other_run(tmp_path: Path, make: Make, write_run: Write) -> None:
    names = (
        "metrics.jsonl",
        "summary.json",
        "lock",
        "errors.json",
        "trajectories.jsonl.zst",
        "trajectories.jsonl.zst.index",
    )
    kinds = {"pipe": os.mkfifo, "folder": Path.mkdir, "device": lambda path: path.symlink_to("/dev/zero")}
    for kind, put in {**kinds, "loop": lambda path: path.symlink_to(path.name)}.items():
        for name in names:
            folder = write_run(tmp_path / f"{kind} {name}", {1: [[make("2+2", "4")]]}, [{"step": 1, "loss": 0.5}])
            (folder / name).unlink(missing_ok=True)
            put(folder / name)
    write_run(tmp_path / "good", {}, [{"step": 1, "loss": 0.5}])
    os.mkfifo(tmp_path / "pipe.jsonl")
    ((status, home),) = get(tmp_path, "/api/home")
    found = {source["name"]: source for source in home["sources"]}
    assert (status, len(found)) == (200, 4 * len(names) + 1)
    assert "error" not in found["good"]
    for name, source in found.items():
        answers = get(tmp_path, *(f"/api/{source['key']}{path}" for path in ("", "/curves", "/rows")))
        statuses = [status for status, _ in answers]
        assert statuses == [200] * 3 if name == "good" else 400 in statuses, name
        assert all("remove it" in answer["error"] for status, answer in answers if status == 400)
    assert export(Answers(Library([tmp_path])), tmp_path / "shared.html", 10) > 0
    assert f'"{found["good"]["key"]}/curves"' in (tmp_path / "shared.html").read_text()


def test_a_token_is_needed_once_and_stays_out_of_the_address(folder: Path) -> None:
    async def ask(session: aiohttp.ClientSession, base: str) -> list[tuple[int, str]]:
        found = []
        for path in ("/", "/api/home", "/?token=wrong", "/?token=secret", "/api/home"):
            async with session.get(f"{base}{path}", headers={"Host": "node7:80"}) as response:
                found.append((response.status, response.url.path))
        return found

    shown = visit(folder, ask, "secret")
    assert [status for status, _ in shown] == [401, 401, 401, 200, 200]
    assert shown[3][1] == "/"


def test_every_answer_forbids_foreign_scripts_and_guessing(folder: Path) -> None:
    async def ask(session: aiohttp.ClientSession, base: str) -> list[Any]:
        found = []
        for path in ("/", "/static/style.css", "/static/js/main.js", "/api/home", "/api/nothing", "/nothing"):
            async with session.get(f"{base}{path}") as response:
                found.append(response.headers)
        return found

    for headers in visit(folder, ask):
        assert "script-src 'self';" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


def test_a_path_that_is_nothing_is_refused_when_it_starts(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"question": 1}\n')
    for path, says in ((tmp_path / "gone", "does not exist"), (tmp_path / "x.jsonl", "is not an evaluation")):
        with pytest.raises(Exception, match=says):
            Library([path])
