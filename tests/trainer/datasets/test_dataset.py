"""Files of rows: every format, shards and manifests, what is left out and counted, and errors with file and row."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.datasets.config import DataConfig
from lachesis.trainer.datasets.dataset import digest, read_rows, read_splits
from lachesis.trainer.datasets.demonstration import read_demonstration
from lachesis.trainer.datasets.preference import read_pair
from lachesis.trainer.datasets.row_files import has_padded_objects
from lachesis.verifiers.errors import ConfigError, DataError

ROWS: list[dict[str, Any]] = [{"prompt": f"{number}+1=", "completion": str(number + 1)} for number in range(20)]


NESTED = '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "tools": [%s]}' % (
    '{"a": ' * 600 + "1" + "}" * 600
)


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer.load(str(build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=16, layers=1)))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_each_format_and_a_folder_of_shards_hold_the_same_rows(tmp_path: Path, renderer: Renderer) -> None:
    called = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}
    other = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"b": 2}}}]}
    rows = [{"messages": [{"role": "user", "content": "✓"}, one]} for one in (called, other, called)]
    paths = [write(tmp_path / "rows.jsonl", rows), tmp_path / "rows.parquet"]
    pq.write_table(pa.Table.from_pylist(rows), paths[1])
    for number, row in enumerate(rows):
        write(tmp_path / "shards" / f"train-{number}.jsonl", [row])
    paths.append(tmp_path / "shards")
    texts = pa.array([json.dumps(row["messages"]) for row in rows])
    assert [has_padded_objects(path) for path in paths[:2]] == [False, True]
    pq.write_table(pa.table({"messages": texts.cast(pa.json_(pa.string()))}), tmp_path / "json.parquet")
    assert not has_padded_objects(tmp_path / "json.parquet")
    found = [read_rows(path, 64, "drop", renderer, read_demonstration) for path in paths]
    assert [rows.counts["read"] for rows in found] == [3, 3, 3]
    assert len({digest(rows.examples) for rows in found}) == 1


def test_only_the_files_that_a_manifest_names_are_read(tmp_path: Path, renderer: Renderer) -> None:
    write(tmp_path / "train-00000-of-00001.jsonl", ROWS[:3])
    write(tmp_path / "attempts.jsonl", [{"no": "row"}])
    (tmp_path / "manifest.json").write_text(json.dumps({"files": ["train-00000-of-00001.jsonl"]}))
    assert len(read_rows(tmp_path, 64, "drop", renderer, read_demonstration).examples) == 3
    for names, message in (([], "names no files"), (["../../x.jsonl"], "x.jsonl is missing")):
        (tmp_path / "manifest.json").write_text(json.dumps({"files": names}))
        with pytest.raises(DataError, match=message):
            read_rows(tmp_path, 64, "drop", renderer, read_demonstration)


def test_what_is_left_out_is_counted(tmp_path: Path, renderer: Renderer) -> None:
    long = {"prompt": "x", "completion": "y" * 100}
    rows = [*ROWS[:2], long, {"messages": [{"role": "user", "content": "x"}]}, {"input_ids": [], "labels": []}]
    path = write(tmp_path / "rows.jsonl", rows)
    dropped, cut = (read_rows(path, 32, policy, renderer, read_demonstration) for policy in ("drop", "cut"))  # type: ignore[arg-type]
    assert (len(dropped.examples), dropped.counts["long"], dropped.counts["untrained"]) == (2, 1, 2)
    assert (len(cut.examples), cut.counts["long"], cut.counts["cut"]) == (3, 0, 1)
    assert cut.examples[2].samples[0].tokens.size == 32
    assert str(dropped) == "2 of 5 rows (1 too long, 2 without a trained token)"
    prompt_alone_is_long = write(tmp_path / "long.jsonl", [{"prompt": "x" * 100, "completion": "y"}, ROWS[0]])
    assert read_rows(prompt_alone_is_long, 32, "cut", renderer, read_demonstration).counts["long"] == 1
    pairs = [{"prompt": "x", "chosen": "y", "rejected": "y"}, {"prompt": "x", "chosen": "y", "rejected": "z"}]
    found = read_rows(write(tmp_path / "pairs.jsonl", pairs), 32, "drop", renderer, read_pair)
    assert (len(found.examples), found.counts["equal"]) == (1, 1)


def test_the_seed_chooses_the_rows_that_are_held_back(tmp_path: Path, renderer: Renderer) -> None:
    config = DataConfig(path=write(tmp_path / "rows.jsonl", ROWS), validation_share=0.2)

    def held_back(seed: int) -> tuple[set[str], set[str]]:
        train, validation = read_splits(config, 64, seed, renderer, read_demonstration)
        return tuple({renderer.decode(one.samples[0].tokens) for one in rows.examples} for rows in (train, validation))  # type: ignore[return-value]

    train, validation = held_back(0)
    assert (len(train), len(validation), len(train | validation)) == (16, 4, 20)
    assert held_back(0) == (train, validation) != held_back(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "a", "completion": "b"}\n{"prompt": 1, "completion": "b"}', "rows.jsonl, line 2: column 'prompt'"),
        ('{"prompt": "a", "completion": "b"}\nnot json', "rows.jsonl, line 2: not JSON"),
        ('["a"]', "rows.jsonl, line 1: expected a JSON object"),
        (NESTED, "rows.jsonl, line 1: a value is nested too deeply"),
    ],
)
def test_an_error_names_file_row_and_column(tmp_path: Path, renderer: Renderer, text: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / "rows.jsonl", 64, "drop", renderer, read_demonstration)
    assert message in str(caught.value)


def test_nothing_to_train_on_is_refused_with_the_cure(tmp_path: Path, renderer: Renderer) -> None:
    config = DataConfig(path=write(tmp_path / "rows.jsonl", [{"prompt": "x", "completion": "y" * 100}]))
    with pytest.raises(ConfigError, match=r"no row of data.path is left .*1 too long.*raise model.context"):
        read_splits(config, 32, 0, renderer, read_demonstration)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ConfigError, match=r"no row of data\.path is left"):
        read_splits(DataConfig(path=tmp_path / "empty.jsonl"), 32, 0, renderer, read_demonstration)
    for name in ("a.jsonl", "b.parquet"):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        (tmp_path / "mixed" / name).write_text("")
    with pytest.raises(ConfigError, match="may be copies of each other"):
        read_splits(DataConfig(path=tmp_path / "mixed"), 32, 0, renderer, read_demonstration)
