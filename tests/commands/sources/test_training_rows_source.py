"""Training rows for the viewer: every kind, other people's files, and what is damaged or hostile."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.commands.sources.library import Library
from lachesis.commands.sources.training_rows_source import SHOWN, TrainingRowsSource
from lachesis.verifiers.errors import ConfigError, DataError

TALK = [
    {"role": "user", "content": "q", "train": False},
    {"role": "assistant", "content": "4", "reasoning_content": "easy", "train": True},
    {"role": "assistant", "content": "an example", "train": False},
]


def source_of(path: Path, *rows: Any) -> TrainingRowsSource:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return TrainingRowsSource("key", path)


def test_messages_are_shown_with_their_reasoning_and_a_mark_on_what_is_not_trained(tmp_path: Path) -> None:
    (row,) = source_of(tmp_path / "x.jsonl", {"messages": TALK, "mine": 1}).sample(0)["rows"]
    said = row["conversations"]["messages"]
    assert [message["content"] for message in said] == ["q", "<think>\neasy\n</think>\n\n4", "an example"]
    assert [message["untrained"] for message in said] == [False, False, True]
    assert (row["rows_are"], row["others"]) == ("messages", {"mine": "1"})


def test_texts_and_pairs_of_other_tools_are_shown(tmp_path: Path) -> None:
    rows = source_of(
        tmp_path / "x.jsonl",
        {"prompt": "q", "completion": "a"},
        {"prompt": TALK[:1], "chosen": TALK[1:2], "rejected": [{"role": "assistant", "content": None}]},
    ).sample(0)["rows"]
    assert [row["rows_are"] for row in rows] == ["completion", "preference"]
    assert rows[0]["conversations"] == {
        "prompt": [{"role": "user", "content": "q"}],
        "completion": [{"role": "assistant", "content": "a"}],
    }
    assert rows[1]["conversations"]["rejected"][0]["content"] == ""


def test_tokens_are_shown_as_segments_by_their_lengths(tmp_path: Path) -> None:
    packed = {"input_ids": [1, 2, 3], "labels": [-100, 2, -100], "seq_lengths": [2, 1]}
    (row,) = source_of(tmp_path / "x.jsonl", packed).sample(0)["rows"]
    assert [(segment["ids"], segment["trained"]) for segment in row["segments"]] == [
        ([1, 2], [False, True]),
        ([3], [False]),
    ]


def test_a_page_has_so_many_rows_and_says_whether_there_are_more(tmp_path: Path) -> None:
    source = source_of(tmp_path / "x.jsonl", *({"messages": TALK, "n": n} for n in range(SHOWN + 3)))
    first, second, beyond = source.sample(0), source.sample(SHOWN), source.sample(10**9)
    assert (len(first["rows"]), first["more"]) == (SHOWN, True)
    assert ([row["number"] for row in second["rows"]], second["more"]) == ([SHOWN, SHOWN + 1, SHOWN + 2], False)
    assert (beyond["rows"], beyond["more"]) == ([], False)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": 5},
        {"messages": ["text"]},
        {"messages": [{"content": "no role"}]},
        {"input_ids": [1], "labels": []},
        {"input_ids": [1], "labels": [1], "seq_lengths": [9]},
        {"input_ids": "x", "labels": None},
        {"input_ids": [1, "x"], "labels": [1, 2]},
    ],
)
def test_a_row_that_is_none_says_so(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="row 0 is not a training row"):
        source_of(tmp_path / "x.jsonl", row).sample(0)


def test_a_library_finds_folders_of_rows_and_named_files_but_no_other_manifests(tmp_path: Path) -> None:
    rows, other = tmp_path / "made" / "rows", tmp_path / "made" / "other"
    for folder in (rows, other):
        folder.mkdir(parents=True)
        source_of(folder / "train-00000-of-00001.jsonl", {"messages": TALK})
    (rows / "manifest.json").write_text('{"kind": "messages", "rows": 1, "left_out": {"not a success": 2}}')
    for manifest in ('{"kind": "checkpoint"}', "[]", '{"kind": ["messages"]}', "\0"):
        (other / "manifest.json").write_text(manifest)
        (found,) = Library([tmp_path]).sources()
        assert (found.kind, found.path) == ("rows", rows)
    assert found.page()["manifest"]["left_out"] == {"not a success": 2}
    (named,) = Library([other / "train-00000-of-00001.jsonl"]).sources()
    assert (named.kind, named.state()["rows"]) == ("rows", None)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1torn")
    with pytest.raises(ConfigError, match="is not an evaluation"):
        Library([tmp_path / "torn.parquet"])
