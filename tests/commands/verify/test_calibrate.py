"""``lachesis calibrate``: the figures of a judge and of a reward model, the file that is written, and bad input."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

Run = Callable[..., Any]


@pytest.fixture
def url(serve_forever: Run) -> Any:
    """An endpoint whose judge and whose reward model count the words of the reply."""

    async def judge(request: web.Request) -> web.Response:
        body = await request.json()
        nonce = re.findall(r"^VERDICT ([0-9a-f]{16}): X$", body["messages"][0]["content"], re.MULTILINE)[-1]
        reply = body["messages"][1]["content"].partition(" REPLY\n")[2].partition("\n")[0]
        choice = {"message": {"content": f"VERDICT {nonce}: {4 + len(reply.split())}"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice]})

    async def classify(request: web.Request) -> web.Response:
        words = (await request.json())["messages"][-1]["content"].split()
        return web.json_response({"data": [{"probs": [len(words) - 1.5]}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", judge)
    app.router.add_post("/classify", classify)
    with serve_forever(web.AppRunner(app)) as address:
        yield f"{address}/v1"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """People accept replies of three words and more; the models accept two. One reply is empty."""
    rows = [{"prompt": "Say it.", "completion": "so " * (1 + n % 5), "label": n % 5 >= 2} for n in range(40)]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"completion": "", "label": False}]))
    return path


def test_a_judge_is_measured_and_its_calibration_written(
    url: str, labels: Path, tmp_path: Path, lachesis_here: Run
) -> None:
    (tmp_path / "judge.toml").write_text(
        f'url = "{url}"\nmodel = "m"\ncache = "judges.sqlite"\nrubric = """The reply is kind.\nIt is long."""\n'
    )
    done = lachesis_here("calibrate", "labels.jsonl", "judge.toml", "-o", "c.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "40 replies, of which people accept 24; 1 got no score" in done.stdout
    rows = {line.split("  ")[0].strip(): line.split()[-2:] for line in done.stdout.splitlines() if "  " in line}
    assert rows["at the threshold"] == ["0.800", "0.545"]
    assert rows["calibrated, in cross-validation"] == ["1.000", "1.000"]
    assert "area under the ROC curve 1.000" in done.stdout
    assert "expected calibration error 0.000" in done.stdout
    assert "0.9 to 1.0" in done.stdout
    found = json.loads((tmp_path / "c.json").read_text())
    assert (found["labels"], found["judge"]["rubric"]) == (40, "The reply is kind.\nIt is long.")


def test_a_reward_model_is_measured_the_same_way(url: str, labels: Path, tmp_path: Path, lachesis_here: Run) -> None:
    words = ("--judge.verifier", "reward_model", "--judge.url", url, "--judge.model", "m", "--method", "platt")
    done = lachesis_here("calibrate", "labels.jsonl", *words, "-o", "c.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "area under the ROC curve 1.000" in done.stdout
    found = json.loads((tmp_path / "c.json").read_text())
    assert (found["method"], found["judge"]["verifier"]) == ("platt", "reward_model")


DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "judges.md"


def test_the_commands_of_the_document_run(url: str, labels: Path, tmp_path: Path, lachesis_here: Run) -> None:
    text = DOCUMENT.read_text()
    (toml,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "judge.toml").write_text(toml.replace("http://localhost:8000/v1", url) + 'cache = "judges.sqlite"\n')
    commands = re.findall(r"^(?:    )?lachesis (calibrate .*)$", text, re.MULTILINE)
    assert len(commands) == 3
    for line in commands:
        words = shlex.split(line.replace("http://localhost:8760", url))
        done = lachesis_here(*words, cwd=tmp_path)
        assert done.returncode == 0, (line, done.stderr)
    assert {"calibration.json", "rewards.json"} <= {path.name for path in tmp_path.iterdir()}


def test_bad_input_is_refused_in_one_line(labels: Path, tmp_path: Path, lachesis_here: Run, refused: Run) -> None:
    (tmp_path / "broken.toml").write_text("url =")
    (tmp_path / "alike.jsonl").write_text('{"completion": "a", "label": true}\n')
    judge = ("--judge.url", "http://127.0.0.1:9", "--judge.model", "m", "--judge.rubric", "r")
    for words, message in (
        ([], "calibrate takes LABELS and maybe JUDGE, found nothing"),
        (["labels.jsonl", "gone.toml"], "cannot read gone.toml"),
        (["labels.jsonl", "broken.toml"], "broken.toml is no TOML file"),
        (["labels.jsonl", *judge, "--judge.rubrik", "x"], "did you mean 'rubric'"),
        (["labels.jsonl", *judge, "--judg.x", "1"], "there are no settings 'judg' here"),
        (["labels.jsonl", "--judge.verifier", "exact"], "verifier 'exact' is no judge"),
        (["labels.jsonl", "--judge.verifier", "judgge", *judge], "did you mean 'judge'"),
        (["labels.jsonl", "--judge.model", "m"], "cannot be made with"),
        (["labels.jsonl", *judge, "-o", "gone/c.json"], "there is no folder gone; make it first"),
        (["gone.jsonl", *judge], "cannot read gone.jsonl"),
        (["broken.toml", *judge], "line 1"),
    ):
        refused(lachesis_here("calibrate", *words, cwd=tmp_path), message)


def test_an_outage_writes_no_file(labels: Path, tmp_path: Path, lachesis_here: Run) -> None:
    words = ("--judge.verifier", "reward_model", "--judge.url", "http://127.0.0.1:9", "--judge.model", "m")
    done = lachesis_here("calibrate", "labels.jsonl", *words, "--judge.tries", "1", "-o", "c.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "40 of 41 replies were not judged" in done.stderr
    assert not (tmp_path / "c.json").exists()
