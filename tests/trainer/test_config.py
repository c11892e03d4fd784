"""A run's configuration: the shipped files, overrides, and what is refused with which words."""

from pathlib import Path

import pytest
import tomli_w

from lachesis.trainer.config import RunConfig, load_config, load_config_of
from lachesis.trainer.tune_config import DpoConfig, SftConfig
from lachesis.verifiers.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
LEAST = '[[environments]]\nuse = "arithmetic"\n'


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(LEAST + "[trainer]\nsteps = 3\n")
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_shipped_configs_are_valid_and_survive_being_written(path: Path, tmp_path: Path) -> None:
    kind = {"sft": SftConfig, "dpo": DpoConfig}.get(path.stem, RunConfig)
    config = load_config_of(kind, path)
    (tmp_path / "again.toml").write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    assert load_config_of(kind, tmp_path / "again.toml") == config


def test_every_field_can_be_overridden_also_in_a_list_and_in_a_table_that_the_file_lacks(toml: Path) -> None:
    words = ["--trainer.steps", "7", "--environments.0.group_size=4", "--model.tiny.hidden", "64", "--seed", "3"]
    config = load_config(toml, words)
    assert (config.trainer.steps, config.environments[0].group_size) == (7, 4)
    assert (config.model.tiny.hidden, config.seed) == (64, 3)
    assert load_config(toml).trainer.steps == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer.stepz", "3"], "trainer.stepz.*did you mean 'steps'"),
        (["--trainr.steps", "3"], "did you mean 'trainer'"),
        (["--trainer.steps", "many"], "trainer.steps.*many"),
        (["--trainer.steps", "-1"], "trainer.steps.*greater than or equal to 0"),
        (["--trainer.lr", "inf"], "trainer.lr.*finite"),
        (["--environments.0.weight", "inf"], "weight.*finite"),
        (["--environments.0.group_size", "1"], "group_size.*greater than or equal to 2"),
        (["--trainer.betas", "[2.0, 0.9]"], "trainer.betas.0.*less than 1"),
        (["--trainer.device", "gpu"], "trainer.device"),
        (["--trainer.offload", "true", "--trainer.ranks", "2"], "trainer.offload works with one rank, and .*ranks = 2"),
        (["--trainer.parts", "0"], "trainer.parts.*greater than or equal to 1"),
        (["--trainer.parts", "5", "--trainer.prompts", "4"], "parts = 5 is above trainer.prompts = 4; lower it"),
        (["--trainer.parts", "2", "--rollout.engine", "vllm", "--rollout.sleep", "1"], "parts = 2.* and rollout.sleep"),
        (["--trainer.parts", "2", "--trainer.offload", "true"], "parts = 2 .* and trainer.offload gives"),
        (["--seed", str(2**63)], "seed.*less than"),
        (["--environments.1.use", "x"], "'1' is not one of the 1 entries"),
        (["--environments.x.use", "x"], "'x' is not one of the 1 entries"),
        (["--trainer.steps.more", "x"], "'steps' is a value, not a table"),
        (["--seed"], "--seed needs a value"),
        (["seed", "3"], "expected --part.key value, found 'seed'"),
        (["--rollout.sampling.top_p", "0.9"], "top_p = 1"),
        (["--rollout.sampling.top_k", "5"], "top_k = 0"),
        (["--rollout.sampling.min_p", "0.1"], "min_p = 0, found 1.0, 0 and 0.1"),
        (["--rollout.sampling.min_p", "2"], "rollout.sampling.min_p"),
        (["--rollout.sampling.stop", '[""]'], "rollout.sampling.stop.*1 to 1000 characters"),
        (["--rollout.slots", "1"], "rollout.slots"),
        (["--environments", "[]"], "environments"),
        (["--environments.².use", "x"], "'²' is not one of the 1 entries"),
        (["--environments.-1.use", "x"], "'-1' is not one of the 1 entries"),
        (["--environments." + "9" * 5000, "3"], "'9999.* is not one of the 1 entries"),
        (["--environments", "['x']", "--environments.0.use", "y"], "'0' is a value, not a table"),
        (["--environments.0", "3"], "environments.0.*found 3"),
        (["--trainer..lr", "1"], "unknown key 'trainer.'"),
        (["--seed", "9" * 5000], "--seed: a number is needed.*found '9999"),
        (["--seed", "true"], "--seed: a number is needed, without quotation marks, found True"),
        (["--eval.stop_at", "true"], "--eval.stop_at: a number is needed, without quotation marks, found True"),
        (["--eval.stop_at", "'0.5'"], "--eval.stop_at: a number is needed, without quotation marks, found '0.5'"),
        (["--warm_start.target", "'1'"], "--warm_start.target: a number is needed"),
        (["--environments.0.agents.policy.max_tokens", "'9'"], "max_tokens: a number is needed"),
        (["--trainer.betas", "[true, 0.9]"], "trainer.betas.0.*valid number"),
        (["--name", '"\\u0000"'], "--name: a character cannot be stored"),
        (["--name", "a/b"], "--name: a run's name is 1 to 200 bytes of printable text without /.*found 'a/b'"),
        (["--name", "a\tb"], "--name: a run's name"),
        (["--name", "ä" * 101], "--name: a run's name"),
        (["--name", ""], "--name: a run's name"),
        (["--name", "\udcff"], "--name: a character cannot be stored"),
        (["--model.path", '"a\\u0000b"'], "--model.path: a character cannot be stored"),
        (["--rollout.engine_options", '{"a\\u0000" = 1}'], "--rollout.engine_options: a character cannot be stored"),
        (["--rollout.engine_options." + "a." * 400 + "a", "1"], "nested at most 50 levels"),
        (["--rollout.engine_options.a", "[" * 100 + "]" * 100], "nested at most 50 levels"),
        (["--rollout.slots", "[" * 10_000], "--rollout.slots: a number is needed"),
        (["--environments", "[{use='arithmetic'}, {use='arithmetic'}]"], "two environments are labelled 'arithmetic'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(toml: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(toml, words)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[trainer\n", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"", "environments"),
        (b"seed = 1.5\n", "seed"),
        (b"seed = " + b"[" * 100_000, "is not TOML: maximum recursion depth"),
        (b"seed = " + b"9" * 5000, "is not TOML"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config .*none\.toml: No such file"):
        load_config(tmp_path / "none.toml")


def test_a_byte_order_mark_at_the_beginning_is_no_part_of_the_file(toml: Path) -> None:
    toml.write_bytes(b"\xef\xbb\xbf" + toml.read_bytes())
    assert load_config(toml).trainer.steps == 3


def test_numbers_are_taken_in_every_form_that_toml_has(toml: Path) -> None:
    config = load_config(toml, ["--eval.stop_at", "1", "--trainer.lr", "1e-3", "--seed", "0x10"])
    assert (config.eval.stop_at, config.trainer.lr, config.seed) == (1.0, 1e-3, 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer.parts", "0"], "--trainer.parts: Input should be"),
        (["--trainer.stepz=3"], "--trainer.stepz: unknown key 'trainer.stepz'; did you mean"),
        (["--trainr.steps", "3"], "--trainr.steps: unknown key 'trainr'; did you mean 'trainer'"),
        (["--trainer", "{parts = 0}"], "--trainer: 'trainer.parts': Input"),
        (["--trainer", "{parts = 1}", "--trainer.parts", "0"], "--trainer.parts: Input"),
        (["--trainer.parts", "1", "--trainer", "{parts = 0}"], "--trainer: 'trainer.parts': Input"),
        (["--trainer", "{partz = 1}"], "--trainer: unknown key 'trainer.partz'; did you mean 'parts'"),
        (["--environments", "[{}]"], "--environments: 'environments.0.use' is missing"),
        (["--trainer.parts", "999"], "{path} with --trainer.parts: trainer.parts = 999 is above trainer.prompts"),
        (["--trainer.lr", "1", "--trainer.parts=999"], "{path} with --trainer.parts: trainer.parts = 999"),
        (["--rollout.sleep", "1", "--rollout.slots", "8"], "{path} with --rollout.sleep: 'rollout': sleep is vLLM's"),
        (
            ["--rollout.sleep", "1", "--rollout.engine", "torch"],
            "{path} with --rollout.sleep and --rollout.engine: 'rollout': sleep is vLLM's",
        ),
        (["--trainer.ranks", "2", "--rollout.inline=true"], "{path} with --trainer.ranks and --rollout.inline: "),
        (["--environments.0.label", "a\0"], "--environments.0.label: a character cannot be stored"),
    ],
)
def test_an_error_for_a_value_of_the_command_line_begins_with_the_option(
    toml: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(toml, words)
    assert str(refused.value).startswith(message.format(path=toml))


def test_a_fault_of_the_file_is_told_of_the_file_whatever_the_options_are(toml: Path) -> None:
    toml.write_text(toml.read_text() + "\n[control]\nenable = true\n")
    with pytest.raises(ConfigError) as refused:
        load_config(toml, ["--trainer.lr", "1", "--control.bounds", "{}"])
    assert str(refused.value).startswith(f"{toml}: unknown key 'control.enable'")
