"""What the documents show is so: commands run, links lead somewhere, settings and files that they name are there."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import GenericAlias
from typing import Any, get_args, get_origin

import numpy as np
import pytest
from aiohttp import ClientSession
from pydantic import BaseModel

from lachesis.commands.cli import cli
from lachesis.commands.verify.line import Line
from lachesis.environments import loading
from lachesis.environments.loading import describe, find_environment
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.token_chat import TokenPolicy
from lachesis.rollout.config import ModelConfig, RolloutConfig, SamplingConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_model, build_tiny_tokenizer
from lachesis.rollout.orders import Order
from lachesis.rollout.tasks.mixture import Mixture
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.trainer.advantages.estimator import ESTIMATORS
from lachesis.trainer.config import RunConfig, TrainerConfig, load_config, load_config_of
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.losses.config import LOSSES
from lachesis.trainer.run.alerts import RULES
from lachesis.trainer.tune_config import DpoConfig, SftConfig
from lachesis.verifiers.judges.judge import Judge
from lachesis.verifiers.registry import ENTRY_POINTS
from lachesis.verifiers.rows.example import examples_of

from .command_line import run_lachesis

ROOT = Path(__file__).resolve().parent.parent
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FLOORS = ("commands", "trainer", "rollout", "environments", "verifiers")
CONFIGS: dict[str, type[RunConfig]] = {"train": RunConfig, "sft": SftConfig, "dpo": DpoConfig}
ENDLESS = {
    "gateway",
    "serve",
    "serve-reward",
    "serve-sandbox",
    "view",
    "work",
}  # run until they are stopped, in their own tests
ELSEWHERE = ("Qwen/", "http://")  # commands with these need what a test does not have, and are read only


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of ``language``."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def spans(path: Path) -> list[str]:
    """What stands in single backticks."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", prose)


def shown(path: Path) -> list[str]:
    """Lines of shell: of fenced blocks, of indented ones, and in backticks."""
    lines = [line for block in blocks(path, "bash") for line in block.splitlines()]
    lines += re.findall(r"^    (\S.*)$", path.read_text(), re.MULTILINE)
    return lines + spans(path)


LACHESIS = sorted({(path.name, line) for path in DOCS for line in shown(path) if line.startswith("lachesis ")})


def test_the_documents_were_found() -> None:
    assert {"README.md", "architecture.md", "environments.md", "main-job.md"} <= {path.name for path in DOCS}
    assert {shlex.split(line)[1] for _, line in LACHESIS} == set(cli.commands)


def has_key(model: Any, parts: list[str]) -> bool:
    """Whether the settings ``model`` have the dotted key; below a free table everything goes."""
    if not parts or get_origin(model) is dict:
        return True
    if isinstance(model, GenericAlias) and get_origin(model) is list:
        return has_key(get_args(model)[0], parts[1:] if parts[0].isdigit() else parts)
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or parts[0] not in model.model_fields:
        return False
    return has_key(model.model_fields[parts[0]].annotation, parts[1:])


def test_a_key_that_is_not_there_is_noticed() -> None:
    assert has_key(RunConfig, ["environments", "0", "config", "path"])
    assert not has_key(RunConfig, ["trainer", "learning_rate"])
    assert not has_key(RunConfig, ["trainer", "lr", "max"])


@pytest.mark.parametrize(("document", "line"), LACHESIS)
def test_every_command_and_option_exists(document: str, line: str) -> None:
    name, *words = shlex.split(line)[1:]
    command = cli.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    for key in [word.partition("=")[0] for word in words if word.startswith("--")]:
        parts = key.removeprefix("--").split(".")
        if name in ("eval", "generate", "check", "work") and parts[0] == "config":
            environment = words[words.index("--environment") + 1] if name == "work" else words[0]
            assert has_key(find_environment(environment).Config, parts[1:]), key
        elif name == "eval" and parts[0] == "sampling":
            assert has_key(SamplingConfig, parts[1:]), key
        elif name == "calibrate" and parts[0] == "judge":
            assert parts[1] == "verifier" or parts[1] in {field.name for field in fields(Judge)}, key
        elif len(parts) > 1 or (name in CONFIGS and key not in options):
            assert has_key(CONFIGS.get(name, RunConfig), parts), key
        else:
            assert key in options, key
    if name in CONFIGS and words and (ROOT / words[0]).is_file():
        load_config_of(CONFIGS[name], ROOT / words[0], [word for word in words[1:] if word not in options])


TARGETS = {
    target
    for path in DOCS
    for line in shown(path)
    for target in re.findall(r"(?:^|[\s;&(])make(?: [A-Z]+=\S+)* ([a-z-]+)", line)
}


def test_every_make_target_exists() -> None:
    assert {"train", "test", "setup"} <= TARGETS
    command = ["make", "-n", "INSTALLED=", "GPU=", *sorted(TARGETS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    makefile = (ROOT / "Makefile").read_text()
    for name in {name for path in DOCS for line in shown(path) for name in re.findall(r"\bmake.* ([A-Z]+)=", line)}:
        assert re.search(rf"\b{name}\b", makefile), name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, link


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_setting_and_file_that_is_named_exists(path: Path) -> None:
    for span in spans(path):
        key = re.fullmatch(r"([a-z_]+(?:\.[a-z_0-9]+)+)(?: = .*)?", span)
        if key and not span.endswith((".py", ".toml")) and key[1].split(".")[0] in DpoConfig.model_fields:
            assert has_key(DpoConfig, key[1].split(".")), span
        if re.fullmatch(r"[\w-]+(/[\w-]+)*/[\w.-]+\.(py|toml|md)", span):
            assert any((ROOT / folder / span).exists() for folder in ("", *FLOORS)), span


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for floor in FLOORS:
        paragraph = text.partition(f"\n**`{floor}/`**")[2].partition("\n\n")[0]
        assert paragraph, floor
        rooms = {path.name for path in (ROOT / floor).iterdir() if path.is_dir() and any(path.glob("*.py"))}
        listed = set(re.findall(r"`(\w+)/`", paragraph))
        assert floor == "commands" or rooms <= listed, (floor, rooms - listed)


def lachesis(line: str, cwd: Path) -> str:
    done = run_lachesis(*shlex.split(line)[1:], cwd=cwd)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout


SMALL = " --warm_start.steps 4 --warm_start.batch 8 --trainer.prompts 2 --eval.tasks 8"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("training", "least"),
    [pytest.param("", 0.9, id="as it stands", marks=pytest.mark.slow), pytest.param(SMALL, 0.0, id="small")],
)
def test_every_command_of_the_readme_runs(tmp_path: Path, training: str, least: float) -> None:
    readme = ROOT / "README.md"
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    problems = tmp_path / "data" / "gsm8k"
    problems.mkdir(parents=True)
    for split in ("train", "test"):
        (problems / f"{split}.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n' * 4)
    mine, test = blocks(readme, "python")
    (tmp_path / "mine.py").write_text(mine)
    (tmp_path / "test_mine.py").write_text(test)
    pytest_word = [str(Path(sys.executable).with_name("pytest")), "test_mine.py"]
    tested = subprocess.run(pytest_word, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert tested.returncode == 0, tested.stdout

    lines = [line for block in blocks(readme, "bash") for line in block.splitlines()]
    rows = [{"prompt": "Hi", "completion": f"Hello {number}", "label": number % 2 == 0} for number in range(8)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with endpoint() as url:
        (tmp_path / "judge.toml").write_text(f'url = "{url}"\nmodel = "m"\nrubric = "r"\ncache = "judges.sqlite"\n')
        said = run_all(lines, training, tmp_path)
    assert {name for name, _ in said} == set(cli.commands) - ENDLESS
    (rate,) = re.findall(r"(?m)^ accuracy +(\d\.\d+)", said["eval", True])
    assert float(rate) >= least
    assert "0 verdicts changed" in said["verify", False]
    assert json.loads(said["sandbox", False])["stdout"] == "42\n"

    files = {name.strip("/").replace("step-N", "step-000030") for name in folder_table(readme)}
    assert len(files) > 8
    assert [name for name in files if not (tmp_path / "runs" / "backwards-1" / name).exists()] == []


def run_all(lines: list[str], training: str, folder: Path) -> dict[tuple[str, bool], str]:
    """What each command printed, by its name and whether the line names the example's file; some are made small."""
    said: dict[tuple[str, bool], str] = {}
    for line in lines:
        if line.startswith("echo "):
            subprocess.run(line, shell=True, cwd=folder, check=True)
        ours = line.startswith("lachesis ") and shlex.split(line)[1] not in ENDLESS
        if ours and not any(word in line for word in ELSEWHERE):
            small = " --trainer.steps 1 --trainer.prompts 2" if "gsm8k.toml" in line else ""
            small += training if line.startswith("lachesis train") and "mine.py" in line else ""
            said.setdefault((shlex.split(line)[1], "mine" in line), lachesis(line + small, folder))
    return said


def folder_table(readme: Path) -> list[str]:
    """What the README says is in a run's folder."""
    section = readme.read_text().partition("## A run's folder")[2].partition("\n\n**Resume")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_row_that_the_readme_shows_is_judged_right(tmp_path: Path) -> None:
    (row,) = blocks(ROOT / "README.md", "json")
    (tmp_path / "rows.jsonl").write_text(row)
    verdict = json.loads(lachesis("lachesis verify rows.jsonl", tmp_path))
    assert (verdict["score"], verdict["status"]) == (1.0, "ok")


def test_the_snippets_about_environments_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "docs" / "environments.md"
    made: dict[str, Any] = {}
    exec("\n".join(blocks(path, "python")), made)
    monkeypatch.chdir(tmp_path)
    Path("questions.jsonl").write_text('{"question": "2 + 2?", "answer": "4"}\n')
    short = made["Short"](path="questions.jsonl")
    (task,) = short.tasks("test", 0)
    assert short.score(task, "<think>two and two</think>4").total == pytest.approx(1.3)
    guess = made["Guess"]()
    rewards = [asyncio.run(guess.attempt(task, ["5"])).rewards for task in guess.tasks("test", 0)]
    assert [reward["seeker"].total for reward in rewards] == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    Path("questions.py").write_text(blocks(path, "python")[0])
    run, package = blocks(path, "toml")
    Path("run.toml").write_text(run)
    (entry,) = load_config("run.toml").environments
    assert entry.spec().build().rubric.weights == {"math": 1.0, "format": 0.0}
    ((group, names),) = tomllib.loads(package)["project"]["entry-points"].items()
    assert group == loading.ENTRY_POINTS
    monkeypatch.syspath_prepend(tmp_path)
    assert [find_environment(target).__name__ for target in names.values()] == ["Questions"]


def test_the_settings_shown_for_engines_load(tmp_path: Path) -> None:
    for toml in blocks(ROOT / "docs" / "engines.md", "toml"):
        (tmp_path / "run.toml").write_text('environments = [{ use = "arithmetic" }]\n' + toml)
        assert load_config(tmp_path / "run.toml").rollout.engine == "vllm"


def test_the_settings_and_the_row_shown_for_agent_programs_work(tmp_path: Path) -> None:
    path = ROOT / "docs" / "agents.md"
    program, harbor = blocks(path, "toml")
    (row,) = blocks(path, "json")
    (tmp_path / "run.toml").write_text(program + harbor)
    (tmp_path / "tasks.jsonl").write_text(row)
    (entry, other) = load_config(tmp_path / "run.toml").environments
    (tmp_path / "tasks").mkdir()
    assert other.spec().build().config.command[0] == entry.spec().build().config.command[0]
    (task,) = (
        entry.spec().environment_class()(path=tmp_path / "tasks.jsonl", command="agent", held_out=0).tasks("test", 0)
    )
    assert task.info["keep"] == ["add.py"]
    assert task.info["solution"]["add.py"].startswith("print(")


def test_the_engine_and_the_weight_transport_that_are_shown_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, transport = blocks(ROOT / "docs" / "engines.md", "python")
    (tmp_path / "shown_engine.py").write_text(engine)
    (tmp_path / "shown_transport.py").write_text(transport)
    monkeypatch.syspath_prepend(tmp_path)
    path = str(build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64))
    model, environment = ModelConfig(path=path, context=64), describe("arithmetic")
    learner = LocalLearner(model, TrainerConfig())
    probe = np.arange(3, 19, dtype=np.int32)
    sender = {"weight_transport": "shown_transport:FolderSender"}
    options = {"engine": "shown_engine:Uniform", "engine_options": {"vocabulary": learner.vocabulary}}

    async def published(**rollout: Any) -> tuple[Any, Any]:
        config = RolloutConfig(inline=True, slots=4, **rollout)
        pool = open_pool(PoolSpec(model, config, (environment,)))
        try:
            await pool.publish(learner.send(pool.sender(), 3))
            task = next(iter(environment.build().tasks("train", 0)))
            [outcome] = await pool.run([Order(0, 0, task, 2, (0, 0), Sampling(max_tokens=8), version=3)])
            return outcome, (await pool.compute_logprobs(probe))[0]
        finally:
            await pool.close()

    group, logprobs = asyncio.run(published(**sender))
    assert len(group.trajectories) == 2
    np.testing.assert_allclose(logprobs[1:], learner.compute_logprobs(probe)[1:], atol=1e-5)
    group, logprobs = asyncio.run(published(**sender, **options))
    (segment,) = group.trajectories[0].segments
    assert set(segment.versions[segment.sampled]) == {3}
    assert logprobs[1] == segment.logprobs[segment.sampled][0] == np.float32(-np.log(learner.vocabulary))


def test_the_settings_shown_for_training_load(tmp_path: Path) -> None:
    mixed, loss, _, watched, larger = blocks(ROOT / "docs" / "training.md", "toml")
    (tmp_path / "run.toml").write_text(mixed + loss)
    config = load_config(tmp_path / "run.toml")
    assert [entry.portion().min_share for entry in config.environments] == [0.0, 0.2]
    assert config.trainer.loss.importance_sampling.method == "icepop"
    (tmp_path / "large.toml").write_text(mixed + larger)
    large = load_config(tmp_path / "large.toml")
    assert (large.model.dtype, large.trainer.ranks, large.trainer.lora.rank) == ("bfloat16", 4, 32)
    (tmp_path / "watched.toml").write_text(mixed + watched)
    assert load_config(tmp_path / "watched.toml").logging.sinks == ["tensorboard", "wandb"]
    environments = [entry.spec().build() for entry in config.environments]
    assert next(Mixture(environments, [entry.portion() for entry in config.environments], "train", 0)).band == 0


@pytest.mark.parametrize(
    ("column", "names"), [("name", ESTIMATORS.names), ("`trainer.loss.kind`", LOSSES.names)], ids=["advantage", "loss"]
)
def test_every_algorithm_is_in_a_table(column: str, names: tuple[str, ...]) -> None:
    _, _, table = (ROOT / "docs" / "training.md").read_text().partition(f"\n| {column} |")
    assert re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], re.MULTILINE) == list(names)


def test_the_estimator_and_the_loss_that_are_shown_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "docs" / "training.md"
    (source,) = blocks(path, "python")
    (tmp_path / "algorithms.py").write_text(source)
    settings = blocks(path, "toml")[2]
    entry = '{ use = "arithmetic", group_size = 4, config = { digits = 1 }, rubric = { digits = 0.5 } }'
    small = f'name = "own"\nenvironments = [{entry}]\n'
    small += "model = { context = 32, tiny = { hidden = 32, layers = 1 } }\neval = { tasks = 2 }\n"
    small += "rollout = { inline = true, slots = 16, sampling = { max_tokens = 4 } }\n"
    small += "warm_start = { steps = 40, batch = 16, lr = 1e-2, every = 40 }\n"
    (tmp_path / "run.toml").write_text(small + settings + "\n[trainer.lora]\n")
    said = lachesis("lachesis train run.toml --trainer.steps 2 --trainer.prompts 4 --trainer.lr 1e-2", tmp_path)
    assert "in 2 steps" in said
    rows = [json.loads(line) for line in (tmp_path / "runs" / "own-1" / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["step"] > 0]
    assert any(row["grad_norm"] > 0 for row in trained)
    assert all(row["advantage/most"] in (0.0, 1.0) for row in trained)


def test_the_commands_that_are_shown_for_training_rows_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / "docs" / "generate.md"
    lines = [line for block in blocks(path, "bash") for line in block.splitlines() if " view " not in line]
    build_tiny_model(tmp_path / "m", hidden=32, layers=1, context=64)
    monkeypatch.chdir(tmp_path)
    cli.main(shlex.split(lines[0])[1:], standalone_mode=False)  # in this process, which has imported torch
    attempts = tmp_path / "rows" / "arithmetic" / "attempts.jsonl"
    header, *rows = [json.loads(line) for line in attempts.read_text().splitlines()]
    for row in rows:  # a random model gets nothing right
        row["rewards"]["policy"]["components"][0]["score"] = float(row["attempt"] % 2)
    attempts.write_text("".join(json.dumps(row) + "\n" for row in [header, *rows]))
    for line in lines[1:]:
        cli.main(shlex.split(line)[1:], standalone_mode=False)
    made = {folder.name: json.loads((folder / "manifest.json").read_text()) for folder in (tmp_path / "rows").iterdir()}
    assert {name: told["kind"] for name, told in made.items()} == {
        "arithmetic": "messages",
        "tokens": "tokens",
        "pairs": "preference",
    }
    assert all(told["rows"] for told in made.values())


def test_the_rows_that_are_shown_for_verify_are_judged_right(tmp_path: Path) -> None:
    path = ROOT / "docs" / "verifiers.md"
    (tmp_path / "rows.jsonl").write_text(blocks(path, "json")[0])
    verify, sandbox = (block.strip() for block in blocks(path, "bash"))
    lachesis(verify, tmp_path)
    verdicts = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert [(row["score"], row["status"]) for row in verdicts] == [(1.0, "ok")] * 3
    (shown,) = blocks(path, "text")
    assert set(json.loads(shown)) == set(verdicts[0])
    (tmp_path / "program.py").write_text("import os; print(input(), os.environ['COLOUR'])")
    (tmp_path / "input.txt").write_text("in")
    assert json.loads(lachesis(sandbox, tmp_path))["stdout"] == "in red\n"


def test_the_settings_and_the_verifier_that_are_shown_work(tmp_path: Path) -> None:
    path = ROOT / "docs" / "verifiers.md"
    settings, problems, entry_point = blocks(path, "toml")
    (tmp_path / "problems.toml").write_text(problems)
    (tmp_path / "problems.jsonl").write_text("")
    (code,) = load_config(tmp_path / "problems.toml").build_environments()
    assert [entry.params["language"] for entry in code.rubric.uses if entry.name == "code"] == ["cpp"]
    (tmp_path / "run.toml").write_text('environments = [{ use = "arithmetic" }]\n' + settings)
    assert load_config(tmp_path / "run.toml").sandbox.require == "contained"
    assert set(tomllib.loads(entry_point)["project"]["entry-points"]) == {ENTRY_POINTS}
    made: dict[str, Any] = {}
    (source,) = blocks(path, "python")
    exec(source, made)
    ((row, score),) = examples_of(made["EndsWith"])
    assert asyncio.run(Line(1, json.dumps(row).encode()).verify()).score == score == 1.0
    assert asyncio.run(Line(1, json.dumps(row | {"params": {}}).encode()).verify()).score == 0.0


def test_the_snippets_about_dataforge_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "docs" / "dataforge.md"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: dict[str, Any] = {}
    with endpoint() as url:
        exec("\n".join(blocks(path, "python")).replace("http://localhost:8000/v1", url), made)
        assert made["graph"].mermaid() == blocks(path, "mermaid")[0]
        rows = [json.loads(line) for line in Path("tasks.jsonl").read_text().splitlines()]
        assert {call["agent"] for row in rows for call in row["info"]["forge"]["calls"]} == {"policy", "helper"}
        questions = made["Questions"]()
        (task,) = questions.tasks("test", 0)
        attempt = asyncio.run(questions.attempt(task, {"policy": ["What is ice?"], "helper": ["It melts."]}))
        assert attempt.rewards["policy"].success
    (toml,) = blocks(path, "toml")
    Path("run.toml").write_text(toml)
    assert load_config("run.toml").environments[0].config["answer"] == "info.reference"


@contextmanager
def endpoint() -> Iterator[str]:
    """The URL of an endpoint that asks a question, or judges well."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            nonce = re.search(r"VERDICT ([0-9a-f]{16}): X", body)
            said = f"VERDICT {nonce[1]}: 10" if nonce else f"What about {len(body)} and {hash(body) % 1000}?"
            choice = {"message": {"content": said}, "finish_reason": "stop"}
            answer = json.dumps({"choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_run_for_environments_of_atropos_loads_and_the_command_shown_is_the_one_that_is_tested(
    tmp_path: Path,
) -> None:
    path = ROOT / "docs" / "from-atropos.md"
    (toml,) = blocks(path, "toml")
    (tmp_path / "service.toml").write_text(toml)
    config = load_config(tmp_path / "service.toml")
    (service,) = config.build_environments()
    assert not service.played
    shown_options = set(re.findall(r"--((?:env|openai)\.\w+)", blocks(path, "bash")[1]))
    tested = (ROOT / "tests" / "whole" / "test_atropos.py").read_text()
    assert shown_options <= set(re.findall(r'"((?:env|openai)\.\w+)": ', tested))


def test_the_gateways_page_plays_a_program() -> None:
    (source,) = blocks(ROOT / "docs" / "gateway.md", "python")
    made: dict[str, Any] = {}
    exec(source, made)
    renderer = Renderer(build_tiny_tokenizer())
    engine = ScriptedEngine(lambda request: renderer.reply("4").tolist(), context=512)

    async def program(variables: dict[str, str]) -> None:
        headers = {"Authorization": f"Bearer {variables['OPENAI_API_KEY']}"}
        body = {"model": "policy", "messages": [{"role": "user", "content": "2 + 2?"}]}
        async with (
            ClientSession(headers=headers) as session,
            session.post(f"{variables['OPENAI_BASE_URL']}/chat/completions", json=body) as answer,
        ):
            assert (await answer.json())["choices"][0]["message"]["content"] == "4"

    recording = asyncio.run(made["play"](TokenPolicy(engine, renderer, Sampling(), context=512), program))
    assert recording.proof.trained == 2
    assert [message["content"] for message in recording.messages] == ["2 + 2?", "4"]


def test_every_alert_is_in_a_table() -> None:
    _, _, table = (ROOT / "docs" / "training.md").read_text().partition("\n| alert |")
    assert re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], re.MULTILINE) == list(RULES)


def test_the_game_for_gymnasium_is_evaluated_and_the_runs_with_other_frameworks_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / "docs" / "interop.md"
    (game,), (command,), runs = blocks(path, "python"), blocks(path, "bash"), blocks(path, "toml")
    (tmp_path / "guessing.py").write_text(game)
    build_tiny_model(tmp_path / "runs" / "model", hidden=32, layers=1, context=512)
    assert re.search(r"(?m)^ accuracy +\d", lachesis(command.strip(), tmp_path))
    (tmp_path / "example.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    used = []
    for run in runs:
        (tmp_path / "run.toml").write_text(run)
        (entry,) = load_config(tmp_path / "run.toml").environments
        used.append(entry.use)
        assert entry.spec().build().rubric.success == 1.0
    assert set(used) == set(loading.FOREIGN)
