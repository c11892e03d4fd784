"""New environments: names that can be modules, nothing overwritten."""

from pathlib import Path

import pytest

from lachesis.commands.new import check_name, scaffold
from lachesis.environments.loading import describe
from lachesis.verifiers.errors import ConfigError


def test_it_writes_an_environment_its_test_and_a_readme_and_the_environment_loads(tmp_path: Path) -> None:
    paths = scaffold("word_chain", tmp_path / "new")
    assert [path.name for path in paths] == ["word_chain.py", "test_word_chain.py", "README.md"]
    assert "$" not in "".join(path.read_text() for path in paths)
    environment = describe(str(paths[0]), config={"count": 5}).build()
    assert type(environment).__name__ == "WordChain"
    task = next(iter(environment.tasks("test", 0)))
    assert environment.score(task, str(task.answer)).total == 1.0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("kept")
    for name in ("mine", "file"):
        with pytest.raises(ConfigError, match="exists already"):
            scaffold(name, tmp_path)
    assert list((tmp_path / "mine").iterdir()) == []
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Word", "lower-case"),
        ("word-chain", "lower-case"),
        ("../up", "lower-case"),
        ("", "lower-case"),
        ("w" * 65, "lower-case"),
        ("wörter", "lower-case"),
        ("class", "Python keyword"),
        ("match", "Python keyword"),
        ("random", "would hide"),
        ("lachesis", "would hide"),
        ("test_me", "would hide"),
        ("arithmetic", "already"),
    ],
)
def test_names_that_cannot_be_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_name(name)
