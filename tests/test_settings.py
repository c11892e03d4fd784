"""The settings page says what the typed config says."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "settings.py"))


def test_the_page_is_what_the_config_says(script: dict[str, Any]) -> None:
    assert script["PAGE"].read_text() == script["page"](), "docs/settings.md is stale; run `make settings`"


def test_every_setting_has_a_row_with_a_meaning(script: dict[str, Any]) -> None:
    sections = script["page"]().split("\n## ")[1:]
    tables = list(script["tables"]())
    assert len(sections) == len(tables) > 10
    for section, (place, model) in zip(sections, tables, strict=True):
        rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
        assert [row[0].strip("`") for row in rows] == list(model.model_fields), place
        assert all(len(row) == 4 and row[1] and row[3] for row in rows), place
