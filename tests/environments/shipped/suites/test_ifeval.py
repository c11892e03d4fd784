"""IFEval on rows made by hand, as JSONL and as the Hub's Parquet, where parameters of other kinds are null."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lachesis.environments.environment import tasks_of
from lachesis.environments.loading import describe
from lachesis.verifiers.errors import DataError

ROW: dict[str, Any] = {
    "key": 1000,
    "prompt": "Write about rain without commas, in fewer than 5 words.",
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [{}, {"relation": "less than", "num_words": 5}],
}


@pytest.mark.parametrize("name", ["rows.jsonl", "train-00000-of-00001.parquet"])
def test_all_instructions_have_to_be_followed(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / name)
    else:
        (tmp_path / name).write_text(json.dumps(ROW))
    environment = describe("ifeval", config={"path": str(tmp_path)}).build()
    (task,) = environment.tasks("test", 0)
    assert (task.prompt, task.id) == (ROW["prompt"], "1000")

    def figures(reply: str) -> dict[str, float]:
        return {part.label: part.verdict.score for part in environment.score(task, reply).components}

    assert figures("Rain falls softly.") == {"instruction": 1.0, "loose": 1.0, "share": 1.0}
    assert figures("Rain, rain.") == {"instruction": 0.0, "loose": 0.0, "share": 0.5}
    assert figures("Sure, here it is:\nRain falls.") == {"instruction": 0.0, "loose": 1.0, "share": 0.0}
    assert environment.score(task, "Sure, here it is:\nRain falls.").total == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction_id_list": ["no:such"], "kwargs": [{}]}, "there is no instruction 'no:such'"),
        ({"kwargs": [{}]}, "2 instructions have 1 kwargs"),
        ({"kwargs": "x"}, "'kwargs' must be a list of objects"),
        ({"prompt": ""}, "'prompt' must be a text"),
    ],
)
def test_a_broken_row_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({**ROW, **change}))
    environment = describe("ifeval", config={"path": str(tmp_path)}).build()
    with pytest.raises(DataError) as raised:
        list(tasks_of(environment, "test", 0))
    assert said in str(raised.value)
