"""``lachesis generate`` as a user meets it: two-turn tool runs are played, selected, and written in every form."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.trajectory import Trajectory

Generate = Callable[..., Any]
Rows = Callable[[Path], list[dict[str, Any]]]


def attempts_in(folder: Path) -> list[Trajectory]:
    lines = (folder / "attempts.jsonl").read_text().splitlines()[1:]
    return [Trajectory.from_json(json.loads(line)) for line in lines]


def test_the_tokens_of_a_two_turn_tool_run_are_those_that_were_sampled(
    folder: Path, generate: Generate, rows: Rows
) -> None:
    done = generate("--out", "tokens", "--rows", "tokens", "--deduplicate", "none")
    assert done.returncode == 0, done.stderr
    made, found = attempts_in(folder / "tokens"), rows(folder / "tokens")
    assert len(made) == len(found) == 24
    by_place = {(one["metadata"]["task"], one["metadata"]["attempt"]): one for one in found}
    lines = [json.loads(line) for line in (folder / "tokens" / "attempts.jsonl").read_text().splitlines()[1:]]
    for line, one in zip(lines, made, strict=True):
        (segment,) = one.segments
        row = by_place[one.task.id, line["attempt"]]
        assert row["input_ids"] == segment.tokens.tolist()
        assert [label != -100 for label in row["labels"]] == segment.mask.tolist()
        assert [label for label in row["labels"] if label != -100] == segment.tokens[segment.mask].tolist()
        turns = sum(label != -100 and before == -100 for before, label in pairwise(row["labels"]))
        assert turns == 2  # the call and the answer; the tool's result between them is not trained
        assert row["metadata"]["reward"] == one.rewards["policy"].total
        assert row["metadata"]["components"] == {"correct": row["metadata"]["reward"], "called": 1.0}
    told = json.loads((folder / "tokens" / "manifest.json").read_text())
    assert told["tokens"] == sum(len(row["input_ids"]) for row in found)
    assert told["trained_tokens"] == sum(label >= 0 for row in found for label in row["labels"])


def test_it_goes_on_from_its_attempts_and_selects_again(folder: Path, generate: Generate, rows: Rows) -> None:
    shutil.copytree(folder / "tokens", folder / "again")
    lines = (folder / "again" / "attempts.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "again" / "attempts.jsonl").write_bytes(b"".join(lines[:9]) + lines[9][:100])  # as kill -9 leaves it
    before = (folder / "asked").stat().st_size
    done = generate("--out", "again", "--rows", "tokens", "--deduplicate", "none")
    assert done.returncode == 0, done.stderr
    assert (folder / "asked").stat().st_size - before == 2 * 16  # two tasks were whole
    assert rows(folder / "again") == rows(folder / "tokens")
    before = (folder / "asked").stat().st_size
    generate("--out", "again", "--rows", "completion", "--success", "--per-task", "1")
    assert (folder / "asked").stat().st_size == before
    kept = rows(folder / "again")
    assert len(kept) == 12
    assert all(row["metadata"]["success"] for row in kept)
    assert {len(row["completion"]) for row in kept} == {1}


def test_messages_have_tools_calls_and_reasoning_and_train_the_replies(
    folder: Path, generate: Generate, rows: Rows
) -> None:
    done = generate("tokens", "--out", "talk", "--success", "--per-task", "2", played=False)
    assert done.returncode == 0, done.stderr
    found = rows(folder / "talk")
    for row in found:
        asked, called, result, said = row["messages"]
        assert [message["train"] for message in row["messages"]] == [False, True, False, True]
        (call,) = called["tool_calls"]
        assert call["function"]["arguments"]["expression"] + "=" == asked["content"]
        assert call["id"] == result["tool_call_id"]
        assert called["reasoning_content"].startswith("Let me see.")
        assert result["content"] == said["content"]
        assert row["tools"][0]["function"]["name"] == "calculate"
    counts: dict[str, int] = {}
    for row in found:
        counts[row["metadata"]["task"]] = counts.get(row["metadata"]["task"], 0) + 1
    assert max(counts.values()) <= 2
    told = json.loads((folder / "talk" / "manifest.json").read_text())
    assert told["rows"] == len(found)
    assert sum(told["left_out"].values()) + len(found) == told["conversations"] == 24
    assert all(reason in done.stdout for reason in told["left_out"])


def test_pairs_prefer_the_better_reply_after_the_same_call(folder: Path, generate: Generate, rows: Rows) -> None:
    words = ["--rows", "preference", "--pairs", "all", "--margin", "0.5", "--replies", "text"]
    done = generate("tokens", "--out", "pairs", *words, played=False)
    assert done.returncode == 0, done.stderr
    found = rows(folder / "pairs")
    assert found
    for row in found:
        chosen, rejected = row["metadata"]["chosen"], row["metadata"]["rejected"]
        assert chosen["reward"] - rejected["reward"] >= 0.5
        assert chosen["task"] == rejected["task"]
        assert row["prompt"][-1]["role"] in ("tool", "user")
        assert {message["role"] for side in ("chosen", "rejected") for message in row[side]} == {"assistant"}


def test_reasoning_is_closed_at_a_budget_of_tokens(folder: Path, generate: Generate, rows: Rows) -> None:
    words = ["--reasoning", "close", "--budget", "4", "--tokenizer", "m"]
    done = generate("tokens", "--out", "short", *words, played=False)
    assert done.returncode == 0, done.stderr
    thoughts = {row["messages"][1]["reasoning_content"] for row in rows(folder / "short")}
    assert all("Let me see.".startswith(thought) and len(thought) < 11 for thought in thoughts)


def test_the_same_seed_gives_the_same_bytes_and_another_another_order(folder: Path, generate: Generate) -> None:
    texts = []
    for out, seed in (("one", "5"), ("two", "5"), ("three", "6")):
        done = generate("tokens", "--out", out, "--choose", "random", "--per-task", "1", "--seed", seed, played=False)
        assert done.returncode == 0, done.stderr
        texts.append((folder / out / "train-00000-of-00001.jsonl").read_bytes())
    assert texts[0] == texts[1] != texts[2]


def test_tokens_are_packed_into_shards_of_parquet(folder: Path, generate: Generate) -> None:
    words = ["--rows", "tokens", "--pack", "1000", "--files", "parquet", "--shard-rows", "2"]
    done = generate("tokens", "--out", "packed", *words, played=False)
    assert done.returncode == 0, done.stderr
    datasets = pytest.importorskip("datasets", reason="the test reads the files with datasets (pip install datasets)")
    found = datasets.load_dataset(str(folder / "packed"), split="train", cache_dir=str(folder / "cache"))
    assert len(list((folder / "packed").glob("*.parquet"))) == -(-len(found) // 2) > 1
    told = json.loads((folder / "packed" / "manifest.json").read_text())
    assert sum(len(row["input_ids"]) for row in found) == told["tokens"]
    assert all(sum(row["seq_lengths"]) == len(row["input_ids"]) <= 1000 for row in found)
    assert sum(len(row["metadata"]) for row in found) == sum(len(row["seq_lengths"]) for row in found)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["needs an environment"]),
        ([""], ["needs an environment"]),
        (["rows_alone"], ["rows_alone holds rows, but no run and no evaluation"]),
        (["calculator"], ["no trajectories are stored at calculator", "--model"]),
        (["nothing"], ["nothing"]),
        (["tokens", "calculator"], ["tokens is read and calculator is played"]),
        (["tokens", "--model", "m"], ["--model is for playing"]),
        (["tokens", "--config.digits", "3"], ["--config.digits is for playing"]),
        (["m/config.json"], ["not an evaluation"]),
        (["tokens", "--pack", "10"], ["--pack", "--rows tokens"]),
        (["tokens", "--rows", "tokens", "--reasoning", "strip"], ["very tokens", "thinking.budget"]),
        (["tokens", "--rows", "tokens", "--replies", "text"], ["--replies is about text"]),
        (["tokens", "--margin", "1"], ["--margin is about pairs"]),
        (["tokens", "--rows", "preference", "--choose", "diverse", "--per-task", "1"], ["not for pairs"]),
        (["tokens", "--choose", "diverse"], ["needs --per-task"]),
        (["tokens", "--component", "correct"], ["LABEL=NUMBER"]),
        (["tokens", "--component", "correct=nan"], ["LABEL=NUMBER"]),
        (["tokens", "--least", "nan"], ["--least is a finite number"]),
        (["tokens", "--rows", "preference", "--margin", "inf"], ["--margin is a finite number"]),
        (["tokens", "--pass-rate", "nan", "1"], ["two shares"]),
        (["tokens", "--pass-rate", "0.9", "0.1"], ["lowest and then the highest"]),
        (["tokens", "--reasoning", "close"], ["go together"]),
        (["tokens", "--budget", "3"], ["go together"]),
        (["tokens", "--reasoning", "close", "--budget", "3"], ["--tokenizer"]),
        (["tokens", "--tokenizer", "m"], ["leave it out"]),
        (["tokens", "--unknown", "m"], ["no option --unknown"]),
        (["tokens", "--out", "m"], ["m holds files that generate did not write"]),
        (["tokens", "--out", "asked"], ["cannot use asked"]),
        (["tokens", "--agent", "guide"], ["no row was made"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_cure(
    folder: Path, generate: Generate, refused: Callable[..., None], words: list[str], parts: list[str]
) -> None:
    out = [] if "--out" in words else ["--out", "refused"]
    done = generate(*words, *out, played=False)
    refused(done, *parts)


def test_labels_of_rewards_cannot_draw_on_the_terminal(folder: Path, generate: Generate) -> None:
    done = generate("tokens", "--out", "drawn", "--component", "[red]\x1b[2J=1", played=False)
    assert done.returncode == 2
    assert "component [red]\\x1b[2J below its minimum" in done.stdout
    assert "\x1b" not in done.stdout
