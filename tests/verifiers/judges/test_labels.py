"""A judge is calibrated on labelled replies, and then used."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lachesis.verifiers.errors import ConfigError, DataError, InfrastructureError
from lachesis.verifiers.judges.judge import Judge
from lachesis.verifiers.judges.labels import calibrate_on, read_labels

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "judges.md"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """The judge of these tests accepts replies of two words and more; people want three."""
    path = tmp_path / "labels.jsonl"
    rows = [{"prompt": "Say it.", "completion": "so " * (1 + n % 5), "label": n % 5 >= 2} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def wordy(asked: Any) -> str:
    return str(asked.verdict(4 + len(asked.data["REPLY"].split())))


def test_a_calibrated_judge_scores_by_peoples_labels(
    server: Any, settings: Any, labels: Path, case: Any, tmp_path: Path
) -> None:
    server.script = wordy
    found = calibrate_on(labels, Judge(**settings))
    assert found.before is not None
    assert found.after is not None
    assert (found.labels, found.before.accuracy, found.before.kappa) == (40, 0.8, pytest.approx(0.5454, abs=1e-3))
    assert (found.after.accuracy, found.after.kappa) == (1.0, 1.0)
    assert len(server.asked) == 5, "equal replies are judged once"
    found.write(tmp_path / "c.json")
    calibrated = Judge(**settings, calibration=str(tmp_path / "c.json"))
    verdicts = [asyncio.run(calibrated.verify(case(reply, "Say it."))) for reply in ("so so", "so so so")]
    assert [(verdict.score, verdict.status) for verdict in verdicts] == [(0.0, "wrong"), (1.0, "ok")]
    with pytest.raises(ConfigError, match="calibrated by"):
        calibrate_on(labels, calibrated)


def test_the_code_of_the_document_runs(
    server: Any, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = wordy
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, code, _ = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    exec(code.replace("http://localhost:8000/v1", server.url), {})
    assert json.loads((tmp_path / "calibration.json").read_text())["labels"] == 40
    assert (tmp_path / "lachesis" / "judges.sqlite").exists()


def test_an_outage_calibrates_nothing(server: Any, settings: Any, labels: Path) -> None:
    server.script = lambda asked: web.Response(status=500)
    with pytest.raises(InfrastructureError, match=r"40 of 40 replies were not judged; the first: .*HTTP 500"):
        calibrate_on(labels, Judge(**settings))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"completion": 3, "label": True}, "line 1: 'completion'"),
        ({"completion": "a", "label": "yes"}, "line 1: 'label' is true or false, found 'yes'"),
        ({"completion": "a"}, "line 1: 'label'"),
        ({"completion": "a", "label": True, "prompt": 3}, "line 1: a prompt"),
    ],
)
def test_a_row_that_is_no_labelled_reply_is_named(tmp_path: Path, row: Any, message: str) -> None:
    (tmp_path / "labels.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=message):
        list(read_labels(tmp_path / "labels.jsonl"))
