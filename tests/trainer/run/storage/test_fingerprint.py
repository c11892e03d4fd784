"""What a run's environments are: every change is seen and named, and nothing else is one."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.environment import Environment, EnvironmentConfig
from lachesis.environments.loading import describe
from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.trainer import train as main_job
from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.fingerprint import Fingerprint, differences, fingerprint
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.verifiers.errors import ConfigError, DataError

SOURCE = """
from lachesis import Environment, EnvironmentConfig, Rubric, Task, read_jsonl, reward, use
from pathlib import Path

class Rows(Environment):
    class Config(EnvironmentConfig):
        path: Path

    rubric = Rubric(use("exact", weight=WEIGHT))

    @reward(weight=0.5)
    def short(self, case):
        return float(len(case.completion) < 9)

    def tasks(self, split, seed):
        for row in read_jsonl(self.config.path):
            yield Task(row["q"], answer=row["a"])
"""


def made(
    folder: Path, weight: str = "1.0", rows: int = 3, words: tuple[str, ...] = (), **weights: float
) -> Fingerprint:
    folder.mkdir(exist_ok=True)
    (folder / "rows.py").write_text(SOURCE.replace("WEIGHT", weight))
    (folder / "rows.jsonl").write_text("".join(f'{{"q": "{n}+1", "a": "{n + 1}"}}\n' for n in range(rows)))
    spec = describe(f"{folder}/rows.py", label="rows", config={"path": f"{folder}/rows.jsonl"}, weights=weights)
    return fingerprint([spec.build()], 0, build_tiny_tokenizer(words=words))


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({}, []),
        ({"weight": "2.0"}, ["rewards.parts.exact.weight: 1.0 → 2.0", "code.rows.py"]),
        ({"short": 0.25}, ["rewards.parts.short.weight: 0.5 → 0.25"]),
        ({"rows": 4}, ["data.train", "data.test", "data.path"]),
        ({"rows": 100}, ["data.train", "data.test", "data.path"]),
        ({"words": ("word",)}, ["template"]),
    ],
)
def test_each_change_is_named(tmp_path: Path, change: dict[str, Any], places: list[str]) -> None:
    found = differences(made(tmp_path), made(tmp_path, **change))
    assert len(found) == len(places), found
    for line, place in zip(found, places, strict=True):
        assert place in line


def test_rows_beyond_those_that_are_drawn_are_seen_in_the_files_digest(tmp_path: Path) -> None:
    (found,) = differences(made(tmp_path, rows=100), made(tmp_path, rows=101))
    assert "data.path" in found


@pytest.mark.parametrize("name", ["arithmetic", "calculator", "answer_format", "tic_tac_toe", "sql"])
def test_shipped_environments_have_equal_ones_when_nothing_changed(name: str) -> None:
    tokenizer = build_tiny_tokenizer()
    environments: list[list[Environment]] = [[describe(name, label=name).build()] for _ in range(2)]
    first, second = (fingerprint(one, 0, tokenizer) for one in environments)
    assert differences(first, second) == []
    assert any(
        module.startswith(f"lachesis.environments.shipped.{name}") for module in first["environments"][name]["code"]
    )
    (other,) = differences(first, fingerprint(environments[0], 1, tokenizer))[:1]
    assert "data.train" in other


def test_secrets_are_not_in_it() -> None:
    class Config(EnvironmentConfig):
        api_key: str = "hunter2"

    class Secretive(Arithmetic):
        """Sums that need a key."""

    Secretive.Config = type("Config", (Arithmetic.Config, Config), {})
    assert "hunter2" not in json.dumps(fingerprint([Secretive()], 0, build_tiny_tokenizer()))


def configured(out: Path, **entry: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "out": str(out),
            "environments": [{"use": "arithmetic", "group_size": 2, **entry}],
            "model": {"path": "tiny", "context": 64, "tiny": {"hidden": 32, "layers": 1}},
            "rollout": {"inline": True, "slots": 8, "sampling": {"max_tokens": 4}},
            "trainer": {"steps": 1, "prompts": 2},
            "eval": {"tasks": 2},
        }
    )


def test_a_resume_with_another_environment_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    config = configured(tmp_path)
    folder = RunFolder.create(config)
    asyncio.run(main_job.train(config, config.build_environments(), folder, Progress(1, quiet=True)))
    folder.close()

    def resume(changed: bool = False, **entry: Any) -> None:
        again = RunFolder.open(folder.path)
        try:
            config = configured(tmp_path, **entry)
            asyncio.run(
                main_job.train(
                    config, config.build_environments(), again, Progress(1, quiet=True), resume=True, changed=changed
                )
            )
        finally:
            again.close()

    resume()
    before = (folder.path / "config.toml").read_text()
    with pytest.raises(ConfigError, match=r"arithmetic\.rewards\.parts\.digits\.weight: 0\.0 → 0\.5.*--changed"):
        resume(rubric={"digits": 0.5})
    assert (folder.path / "config.toml").read_text() == before
    with pytest.raises(ConfigError, match=r"settings\.digits: 2 → 3"):
        resume(config={"digits": 3})
    resume(changed=True, rubric={"digits": 0.5})
    assert "resumed with a changed environment" in (folder.path / "log").read_text()
    resume(rubric={"digits": 0.5})


def test_a_file_with_the_name_of_one_of_ours_hides_nothing(tmp_path: Path) -> None:
    source = "from lachesis import Environment, Rubric, Task, use\nclass A(Environment):\n"
    source += "    rubric = Rubric(use('math'))\n"
    source += "    def tasks(self, split, seed):\n        yield Task('6*7', answer='42')\n"
    tokenizer = build_tiny_tokenizer()
    found = []
    for note in ("", "# another\n"):
        (tmp_path / "answer.py").write_text(source + note)  # as verifiers/math/answer.py is called
        found.append(fingerprint([describe(f"{tmp_path}/answer.py", label="a").build()], 0, tokenizer))
    (difference,) = differences(*found)
    assert "code.answer.py" in difference


@pytest.mark.parametrize("content", [b"null", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_fingerprint_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder.create(RunConfig.model_validate({"out": tmp_path, "environments": [{"use": "arithmetic"}]}))
    (folder.path / "fingerprint.json").write_bytes(content)
    with pytest.raises(DataError, match=r"fingerprint.json: .*delete it; then nothing is compared"):
        folder.write_fingerprint({"environments": {}, "template": ""})
    folder.close()
