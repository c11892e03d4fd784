"""Checkpoints: only what is whole is taken for one, and whatever happens there is one to go on from."""

import json
import shutil
from pathlib import Path

import pytest

from lachesis.trainer.run.storage import checkpoint
from lachesis.trainer.run.storage.checkpoint import MANIFEST
from lachesis.trainer.run.storage.run_state import FILE, HeldOutHistory, RunState
from lachesis.verifiers.errors import ConfigError


def at(step: int, best: int = -1) -> RunState:
    return RunState(step, 2 * step, 64 * step, held_out=HeldOutHistory(0.25, 0.5, 0.5, best), phases={"update": 1.5})


def save(folder: Path, step: int, keep: int = 10, best: int = -1) -> Path:
    path = checkpoint.begin(folder, at(step, best))
    (path / "model.safetensors").write_bytes(bytes([step % 256]) * 1000)
    (path / "optimizer.pt").write_bytes(b"moments" * 50)
    checkpoint.complete(path, keep)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    assert checkpoint.latest(tmp_path) == path
    assert RunState.read(path) == at(7)
    assert not checkpoint.damage(path)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    (tmp_path / "step-000001").mkdir()
    assert checkpoint.latest(tmp_path) is None


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", FILE, MANIFEST])
@pytest.mark.parametrize("harm", ["truncated", "flipped", "missing", "emptied"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, name: str, harm: str) -> None:
    before, newest = save(tmp_path, 1), save(tmp_path, 2)
    file = newest / name
    content = file.read_bytes()
    if harm == "missing":
        file.unlink()
    elif harm == "flipped":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    else:
        file.write_bytes(content[: len(content) // 2] if harm == "truncated" else b"")
    assert checkpoint.latest(tmp_path) == before


@pytest.mark.parametrize(
    "content", ["[]", "{}", "3", '{"optimizer.pt": 3}', '{"optimizer.pt": {}}', "\x00", "[" * 100_000, '{"a": null}']
)
def test_a_manifest_that_says_something_else_is_damage(tmp_path: Path, content: str) -> None:
    before, newest = save(tmp_path, 1), save(tmp_path, 2)
    (newest / MANIFEST).write_text(content)
    assert MANIFEST in checkpoint.damage(newest)
    assert checkpoint.latest(tmp_path) == before


@pytest.mark.parametrize("name", ["sub", ".", "/dev", "a\0b", "x" * 300])
def test_a_manifest_that_names_a_folder_or_an_impossible_file_is_damage(tmp_path: Path, name: str) -> None:
    before, newest = save(tmp_path, 1), save(tmp_path, 2)
    (newest / "sub").mkdir()
    manifest = json.loads((newest / MANIFEST).read_text())
    manifest[name] = {"bytes": (newest / "sub").stat().st_size, "blake2b": "0"}
    (newest / MANIFEST).write_text(json.dumps(manifest))
    assert checkpoint.damage(newest)
    assert checkpoint.latest(tmp_path) == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("step", "3", "'step': Input should be a valid integer, found '3'"),
        ("step", True, "'step': Input should be a valid integer, found True"),
        ("version", None, "'version'"),
        ("admitted", 1.5, "'admitted'"),
        ("mixture", [1], "'mixture'"),
        ("held_out", 3, "argument after"),
        ("held_out", {"best": "high"}, "'held_out.best'"),
        ("services", {"a": "1"}, "'services.a'"),
        ("phases", None, "'phases'"),
        ("seconds", "long", "'seconds'"),
    ],
)
def test_a_state_with_a_value_of_another_type_is_one_clear_error(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    path = save(tmp_path, 1)
    row = json.loads((path / FILE).read_text())
    (path / FILE).write_text(json.dumps({**row, field: value}))
    with pytest.raises(ConfigError, match=f"not a checkpoint of this version .*{message}.*or start a new run"):
        RunState.read(path)


def test_a_crash_at_any_point_leaves_nothing_that_is_taken_for_complete(tmp_path: Path) -> None:
    before = save(tmp_path / "run", 1)
    whole = save(tmp_path / "whole", 2)
    path = checkpoint.begin(tmp_path / "run", at(2))
    written = [file for file in sorted(whole.iterdir()) if file.name != MANIFEST]
    for file in [*written, None]:
        assert checkpoint.latest(tmp_path / "run") == before
        if file:
            shutil.copy(file, path)
    shutil.copy(whole / MANIFEST, path / f"{MANIFEST}.draft")
    assert checkpoint.latest(tmp_path / "run") == before
    (path / f"{MANIFEST}.draft").rename(path / MANIFEST)
    assert checkpoint.latest(tmp_path / "run") == path


def test_what_a_crash_left_is_not_in_the_next_checkpoint_of_the_step(tmp_path: Path) -> None:
    (checkpoint.begin(tmp_path, at(2)) / "half").write_text("…")
    assert not (save(tmp_path, 2) / "half").exists()


def test_the_newest_stay(tmp_path: Path) -> None:
    for step in range(1, 6):
        save(tmp_path, step, keep=2)
    assert names(tmp_path) == ["step-000004", "step-000005"]


def test_the_newest_is_the_highest_number_also_beyond_six_digits(tmp_path: Path) -> None:
    save(tmp_path, 999_999)
    newest = save(tmp_path, 1_000_000, keep=1)
    assert checkpoint.latest(tmp_path) == newest
    assert names(tmp_path) == ["step-1000000"]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_run_that_went_on_from_an_older_one_keeps_its_own_and_no_abandoned_later_one(
    tmp_path: Path, keep: int
) -> None:
    save(tmp_path, 2)
    (save(tmp_path, 4) / "optimizer.pt").write_bytes(b"damaged")
    mine = save(tmp_path, 3, keep)
    assert checkpoint.latest(tmp_path) == mine
    assert names(tmp_path) == ["step-000002", "step-000003"][-keep:]


def test_half_checkpoints_of_other_steps_are_removed(tmp_path: Path) -> None:
    (checkpoint.begin(tmp_path, at(2)) / "model.safetensors").write_bytes(b"half")
    save(tmp_path, 3)
    assert names(tmp_path) == ["step-000003"]


@pytest.mark.parametrize(
    "content", ['{"step": 3}', "[1, 2]", "{", '{"step": 1, "version": 1, "other": 2}', "null", "\xff", "[" * 100_000]
)
def test_a_state_of_another_version_is_one_clear_error(tmp_path: Path, content: str) -> None:
    path = save(tmp_path, 1)
    (path / FILE).write_text(content)
    with pytest.raises(ConfigError, match="step-000001 is not a checkpoint of this version"):
        RunState.read(path)


def test_the_best_one_stays_and_those_of_another_history_go(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step, keep=2, best=2)
    assert names(tmp_path) == ["step-000002", "step-000004", "step-000005"]
    save(tmp_path, 3, keep=2, best=3)
    assert names(tmp_path) == ["step-000002", "step-000003"]


def test_a_state_is_kept_as_it_was_when_its_checkpoint_was_begun(tmp_path: Path) -> None:
    mixture = {"streams": [1, 2]}
    path = checkpoint.begin(tmp_path, RunState(1, 2, 64, mixture))
    mixture["streams"].append(3)
    checkpoint.complete(path, 2)
    assert RunState.read(path).mixture == {"streams": [1, 2]}


def test_a_run_whose_checkpoints_are_all_damaged_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    assert checkpoint.to_resume(tmp_path) is None
    for step in (1, 2):
        (save(tmp_path, step) / FILE).write_text("{")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"no checkpoint in .* can be read: .*step-000002.*restore one of them"):
        checkpoint.to_resume(tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    good = save(tmp_path, 3)
    assert checkpoint.to_resume(tmp_path) == good
