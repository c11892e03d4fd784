"""Paths in a run's TOML: relative to the TOML, or to the working directory if nothing is beside the TOML."""

from pathlib import Path

import pytest

from lachesis.trainer.config import load_config
from lachesis.verifiers.errors import ConfigError

TOML = '[[environments]]\nuse = "math"\n[environments.config]\npath = "data/rows.jsonl"\n'


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which is not that of the config."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def rows(folder: Path) -> Path:
    path = folder / "data/rows.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    return path


def path_of(folder: Path, text: str = TOML, *words: str) -> str:
    (folder / "run.toml").write_text(text)
    return str(load_config(folder / "run.toml", words, beside=folder).environments[0].config["path"])


def test_a_file_beside_the_config_is_found_from_everywhere(tmp_path: Path, elsewhere: Path) -> None:
    path = rows(tmp_path)
    assert path_of(tmp_path) == str(path)


def test_a_file_in_the_working_directory_keeps_working(tmp_path: Path, elsewhere: Path) -> None:
    rows(elsewhere)
    assert path_of(tmp_path) == "data/rows.jsonl"


def test_a_file_in_both_places_is_refused_unless_it_is_one(tmp_path: Path, elsewhere: Path) -> None:
    rows(tmp_path)
    rows(elsewhere)
    with pytest.raises(ConfigError, match=r"beside the config, but also .*write the absolute path"):
        path_of(tmp_path)
    assert path_of(elsewhere) == str(elsewhere / "data/rows.jsonl")


def test_absolute_paths_and_overrides_stay_as_they_are(tmp_path: Path, elsewhere: Path) -> None:
    path = rows(tmp_path)
    assert path_of(tmp_path, TOML.replace("data/rows.jsonl", str(path))) == str(path)
    assert path_of(tmp_path, TOML, "--environments.0.config.path", "data/own.jsonl") == "data/own.jsonl"


def test_an_environment_of_an_own_file_is_found_beside_the_config_with_its_paths(
    tmp_path: Path, elsewhere: Path
) -> None:
    (tmp_path / "own.py").write_text(
        "from lachesis.environments.dataset import DatasetEnvironment\nclass Own(DatasetEnvironment): pass\n"
    )
    path = rows(tmp_path)
    (tmp_path / "run.toml").write_text(TOML.replace("math", "own.py:Own"))
    entry = load_config(tmp_path / "run.toml", beside=tmp_path).environments[0]
    assert (entry.use, entry.config["path"]) == (f"{tmp_path / 'own.py'}:Own", str(path))


def test_an_environment_that_is_unknown_is_left_to_the_check_of_the_config(tmp_path: Path) -> None:
    assert path_of(tmp_path, TOML.replace("math", "no_such_one")) == "data/rows.jsonl"
