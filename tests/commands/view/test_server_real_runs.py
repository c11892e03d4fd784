"""The page over real runs: the main job with its timeline, a tool run, a run of two agents, and an evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from lachesis.commands.sources.run_source import RunSource
from lachesis.trainer.run.step_record import ENTROPY
from lachesis.trainer.run.storage.reader import Run

from ...command_line import run_lachesis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the runs take minutes

SMALL = ["--trainer.steps", "2", "--warm_start.steps", "10", "--eval.tasks", "16", "--trainer.prompts", "4"]
ROOT = Path(__file__).parents[3]
TWO_AGENTS = """
name = "two-agents"
[model]
path = "tiny"
context = 256
[[environments]]
use = "tic_tac_toe"
group_size = 4
[rollout]
engine = "torch"
[rollout.sampling]
max_tokens = 4
[trainer]
steps = 2
prompts = 2
[eval]
tasks = 4
"""
BROKEN = """
from lachesis import Environment, Task, reward

class Toy(Environment):
    def tasks(self, split, seed):
        yield from (Task(f"say {n}", id=str(n)) for n in range(50))

    async def run(self, episode):
        chat = episode.chat()
        chat.add("user", str(episode.task.prompt))
        reply = await chat.reply()
        if episode.rng.random() < 0.1:
            raise KeyError(f"<b>{reply.text}</b>")

    @reward
    def length(self, case):
        return min(1.0, len(case.completion) / 10)
"""


def lachesis(*words: str | Path, folder: Path) -> str:
    """What the command prints."""
    done = run_lachesis(*words, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    (folder / "two.toml").write_text(TWO_AGENTS)
    (folder / "toy.py").write_text(BROKEN)
    main = [ROOT / "configs" / "arithmetic.toml", "--out", folder / "runs"]
    lachesis("train", *main, "--name", "main", *SMALL, folder=folder)
    tools = [ROOT / "configs" / "calculator.toml", "--out", folder / "runs", "--inline", *SMALL]
    lachesis("train", *tools, "--warm_start.steps", "150", folder=folder)  # until it calls its tool
    lachesis("train", "two.toml", "--out", folder / "runs", "--inline", folder=folder)
    broken = ["--environments.0.use", "toy.py", "--environments.0.config", "{}", "--warm_start.steps", "0"]
    lachesis("train", *main, "--name", "broken", "--inline", *SMALL, *broken, folder=folder)
    model = folder / "runs" / "main-1" / "model"
    lachesis("eval", "arithmetic", "--model", model, "--tasks", "8", "--out", folder / "eval.jsonl", folder=folder)
    return folder


@pytest.fixture
def opened(page: Any, address: str) -> Any:
    """The list of everything that the folder holds."""
    page.goto(address)
    page.get_by_role("link", name="main-1").first.wait_for()
    return page


def open_run(page: Any, name: str, tab: str) -> None:
    page.get_by_role("link", name=name).first.click()
    page.get_by_role("link", name=tab).click()


def test_the_timeline_shows_who_waits_for_whom(opened: Any, folder: Path) -> None:
    open_run(opened, "main-1", "Timeline")
    opened.get_by_text("The trainer waited for groups").wait_for()
    lanes = opened.locator(".timeline svg")
    names = [lanes.nth(n).get_attribute("aria-label").split(":")[0] for n in range(lanes.count())]
    assert names == ["trainer", "engine 0", "engine 1", "worker 0", "worker 1"]
    assert "waiting for groups" in lanes.first.get_attribute("aria-label")
    opened.get_by_label("from step").fill("2")
    opened.get_by_role("button", name="Show").click()
    opened.get_by_text("Steps 2 to 2").wait_for()
    with opened.expect_download() as download:
        opened.get_by_role("link", name="Chrome trace").click()
    trace = json.loads(Path(download.value.path()).read_text())
    assert {event["ph"] for event in trace["traceEvents"]} >= {"M", "X", "i"}
    run = RunSource("key", folder / "runs" / "main-1")
    columns = run.curves().columns
    assert all(0 <= value <= 1 for value in columns["rate/engines_busy"] if value is not None)
    assert any(value for value in columns["rate/engines_busy"])


def test_tokens_have_their_entropy(opened: Any, folder: Path) -> None:
    computed = next(
        stored
        for stored in Run(folder / "runs" / "calculator-1").trajectories()
        if any(ENTROPY in segment.extra for segment in stored.trajectory.segments)
    )
    opened.get_by_role("link", name="calculator-1").first.click()
    opened.get_by_role("heading", name="calculator-1").wait_for()
    opened.goto(f"{opened.url}/trajectory/{computed.group}/{computed.attempt}")
    opened.get_by_label("colour by").select_option("entropies")
    opened.get_by_text("the strongest has").first.wait_for()


@pytest.mark.parametrize(("name", "seen"), [("calculator-1", "calculate"), ("two-agents-1", "Segment 0 of x")])
def test_tool_calls_and_two_agents_are_shown(opened: Any, name: str, seen: str) -> None:
    open_run(opened, name, "Trajectories")
    opened.locator("tbody a").first.click()
    opened.get_by_text(seen).first.wait_for()


def test_broken_code_is_shown_with_its_traceback(opened: Any) -> None:
    opened.get_by_role("link", name="broken-1").first.click()
    opened.get_by_role("heading", name="What went wrong in episodes").wait_for()
    opened.locator("details summary", has_text="KeyError").first.click()
    opened.get_by_text('raise KeyError(f"<b>{reply.text}</b>")').wait_for()


def test_the_evaluation_is_shown(opened: Any) -> None:
    opened.get_by_role("link", name="eval").first.click()
    opened.get_by_text("arithmetic").first.wait_for()
    assert opened.locator("table").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_timeline(browser: Any, address: str, folder: Path, scheme: str) -> None:
    axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the browser tests need axe")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(address)
    open_run(page, "main-1", "Timeline")
    page.get_by_text("The trainer waited for groups").wait_for()
    found = axe_api.Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    context.close()
