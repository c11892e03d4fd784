"""The page in a real browser: views, filters, keys, live curves, hostile texts, an exported file, accessibility."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.trajectory import Trajectory

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the browser tests need axe")

Make = Callable[..., Trajectory]
Write = Callable[..., Path]

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg onload='window.hacked = 1'>",
    "</textarea></title></style><script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "<a href='javascript:window.hacked = 1'>click</a>",
    "javascript:window.hacked=1",
    "data:text/html,<script>window.hacked=1</script>",
    "{{constructor.constructor('window.hacked=1')()}}",
    "${window.hacked = 1}",
    "`+(window.hacked=1)+`",
    '"><script>window.hacked = 1</script>',
    "' onmouseover='window.hacked = 1",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
    "<style>body { display: none }</style>",
    "<meta http-equiv='refresh' content='0;url=https://evil.example'>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<!-- --!><script>window.hacked = 1</script>",
    "\u202e\u0000\ufeff <b>bold</b> \ud7ff\U0001f600" + "A" * 20_000,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make: Make, write_run: Write, write_eval: Write) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    metrics: list[dict[str, Any]] = [
        {"step": step, "reward/total": step / 10, "heldout/accuracy": 0.5, "loss": 1.0, "time/generation": 2.0 * step}
        for step in range(1, 9)
    ]
    steps = {
        step: [[make(f"task {step}", f"reply {step} of {n}", float(n % 2)) for n in range(4)]] for step in range(1, 9)
    }
    steps[8].append([make("hostile", text, 0.0, environment=text[:30], error=text) for text in HOSTILE])
    for row in metrics:
        row |= {"kind/reward/total": 1.0, "hacked/reward/total": 1.0, "hacked/reward/politeness": row["step"] / 8}
    write_run(folder / "runs" / "toy-1", steps, metrics)
    other = write_run(folder / "runs" / "toy-2", {}, metrics[:2])
    config = (other / "config.toml").read_text()
    (other / "config.toml").write_text(config.replace("group_size = 4", "group_size = 8"))
    for name, score in (("a", 1.0), ("b", 0.0)):
        write_eval(
            folder / f"{name}.jsonl",
            [(n, make(f"t{task}", f"<i>{task}</i>", score)) for task in range(5) for n in (0, 1)],
            name,
        )
    for name, rows in (("hostile-rows", [{"messages": hostile(text)} for text in HOSTILE]), ("token-rows", TOKENS)):
        (folder / name).mkdir()
        (folder / name / "train-00000-of-00001.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        kind, left = ("tokens" if rows is TOKENS else "messages"), {HOSTILE[1]: 3}
        (folder / name / "manifest.json").write_text(json.dumps({"kind": kind, "rows": len(rows), "left_out": left}))
    return folder


TOKENS = [{"input_ids": list(range(30 * n + 5)), "labels": [-100, *range(1, 30 * n + 5)]} for n in range(4)]


def hostile(text: str) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": text[:40], "arguments": {text[:40]: text}}}
    return [
        {"role": "user", "content": text, "train": False},
        {"role": "assistant", "content": text, "reasoning_content": text, "tool_calls": [call], "train": True},
    ]


def open_run(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="toy-1").first.click()
    page.get_by_role("heading", name="toy-1").wait_for()


def wait_for_focus(page: Any, text: str) -> None:
    """Wait until the heading ``text`` has the focus, which it is given when its view is complete."""
    page.wait_for_function("text => document.activeElement.textContent === text", arg=text)


def test_from_the_list_over_a_curve_and_a_filter_to_a_token(page: Any, address: str) -> None:
    open_run(page, address)
    page.get_by_role("img", name="Reward").first.wait_for()
    page.get_by_role("link", name="Trajectories").click()
    page.get_by_text("24 trajectories").wait_for()  # those of the last step
    page.get_by_label("step", exact=True).fill("3")
    page.get_by_label("step", exact=True).press("Enter")
    page.get_by_text("4 trajectories").wait_for()
    page.get_by_label("success").select_option("yes")
    page.get_by_text("2 trajectories").wait_for()
    page.get_by_role("link", name="2/1").click()
    page.get_by_text("reply 3 of 1").first.wait_for()
    wait_for_focus(page, "Trajectory 2/1")
    page.get_by_label("colour by").select_option("sampler")
    page.get_by_text("the strongest is a logprob of -0.5").wait_for()
    page.keyboard.press("Escape")
    page.locator("h1").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("reply 3 of 2").first.wait_for()
    page.get_by_role("link", name="side by side").click()
    page.get_by_text("reply 3 of 3").wait_for()
    assert page.url.endswith("group/2?step=3&success=yes")  # every view has a link of its own


def test_a_text_is_found_and_a_list_is_sorted(page: Any, address: str) -> None:
    open_run(page, address)
    page.goto(page.url + "/rows?step=")
    page.get_by_text("52 trajectories").wait_for()
    page.get_by_label("text in messages").fill("REPLY 5 of 2")
    page.get_by_label("text in messages").press("Enter")
    page.get_by_text("1 trajectories").wait_for()
    page.evaluate(
        """() => {  // two changes before the page is drawn again
            document.querySelector("button[type=reset]").click();
            const sort = [...document.querySelectorAll("select")].find((one) => one.querySelector("[value='-turns']"));
            sort.value = "-reward";
            sort.dispatchEvent(new Event("change", { bubbles: true }));
        }"""
    )
    page.get_by_text("52 trajectories").wait_for()
    page.locator("table.trajectories tbody tr").first.get_by_text("success").wait_for()


def test_each_environment_has_a_chart_and_a_double_click_leads_nowhere(page: Any, address: str) -> None:
    open_run(page, address)
    chart = page.get_by_role(
        "img", name="Rewards of hacked. total: from 1 to 1, between 1 and 1; politeness: from 0.125"
    )
    chart.wait_for()
    before = page.url
    chart.locator(".u-over").dblclick()
    page.wait_for_timeout(400)
    assert page.url == before
    chart.locator(".u-over").click()
    page.wait_for_url("**/rows?step=*")


def test_runs_are_compared_with_the_settings_that_differ(page: Any, address: str) -> None:
    page.goto(address)
    for name in ("toy-1", "toy-2"):
        page.get_by_label(f"compare {name}").check()
    page.get_by_role("link", name="Compare 2 runs").click()
    page.get_by_role("row", name="environments.0.group_size").get_by_text("8").wait_for()
    page.get_by_text("1 settings differ").wait_for()


def test_keys_go_from_group_to_group(page: Any, address: str) -> None:
    open_run(page, address)
    page.get_by_role("link", name="Trajectories").click()
    page.get_by_role("link", name="7/1", exact=True).click()
    page.get_by_role("heading", name="Trajectory 7/1").wait_for()
    page.wait_for_timeout(500)  # keys are listened to once the view is painted, which nothing on the page shows
    page.keyboard.press("j")
    page.get_by_role("heading", name="Trajectory 8/0").wait_for()
    page.wait_for_timeout(500)
    page.keyboard.press("k")
    page.get_by_role("heading", name="Trajectory 7/0").wait_for()


def test_curves_go_on_while_a_run_is_written(page: Any, address: str, folder: Path) -> None:
    run = folder / "runs" / "toy-1"
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # what a run holds while it is alive
        open_run(page, address)
        page.get_by_text("running").wait_for()
        page.get_by_role("img", name="Loss. loss: from 1 to 1,").wait_for()
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 9, "loss": 7.5, "reward/total": 0.9}) + "\n")
        page.get_by_role("img", name="loss: from 1 to 7.5").wait_for()


def test_evaluations_are_shown_and_compared(page: Any, address: str) -> None:
    page.goto(address)
    for name in ("a.jsonl", "b.jsonl"):
        page.get_by_label(f"compare {name}").check()
    page.get_by_role("link", name="Compare the two").click()
    page.get_by_text("5 tasks are in both").wait_for()
    page.get_by_role("link", name=".jsonl").first.click()
    page.get_by_role("heading", name="Means").wait_for()
    page.get_by_role("link", name="0", exact=True).first.click()
    page.get_by_role("heading", name="Trajectory").wait_for()


def test_hostile_texts_are_only_texts(page: Any, address: str) -> None:
    open_run(page, address)
    page.get_by_role("link", name="Trajectories").click()
    page.get_by_text("24 trajectories").wait_for()
    for number in (0, 5, len(HOSTILE) - 1):
        page.goto(f"{page.url.split('/rows')[0].split('/trajectory')[0]}/trajectory/8/{number}")
        page.get_by_role("heading", name=f"Trajectory 8/{number}").wait_for()
    page.get_by_role("link", name="side by side").click()
    page.get_by_role("heading", name="Group 8").wait_for()
    shown = page.locator(".message.assistant .text").all_text_contents()
    for text in HOSTILE[:-1]:
        assert text in shown
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None


def test_training_rows_are_shown_page_by_page_and_hostile_ones_are_only_texts(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="token-rows").click()
    page.get_by_text("35 tokens, 34 sampled, 34 trained").wait_for()
    page.goto(address)
    page.get_by_role("link", name="hostile-rows").click()
    page.get_by_text("3 conversations were left out").wait_for()
    page.get_by_role("heading", name="Row 0", exact=True).wait_for()
    shown = page.locator(".message.user .text").all_text_contents()
    for text in HOSTILE[:-1]:
        assert text in shown
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None


def test_an_exported_file_is_the_same_page_without_a_server(
    page: Any, folder: Path, tmp_path: Path, lachesis_here: Callable[..., Any]
) -> None:
    file = tmp_path / "shared.html"
    done = lachesis_here("view", str(folder), "--export", str(file), "--trajectories", "60", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page.goto(file.as_uri())
    page.get_by_role("link", name="toy-1").first.click()
    page.get_by_role("img", name="Reward").first.wait_for()
    page.get_by_role("link", name="Trajectories").click()
    page.get_by_role("link", name="8/3").click()
    page.get_by_text("</textarea></title></style>").first.wait_for()
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, address: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844}, bypass_csp=True)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="toy-1").first.click()
    page.get_by_role("img", name="Reward").first.wait_for()
    run = page.url
    evaluation = page.evaluate(
        "fetch('api/home').then((a) => a.json()).then((a) => a.sources.find((s) => s.kind === 'eval').key)"
    )
    rows = page.evaluate(
        "fetch('api/home').then((a) => a.json()).then((a) => a.sources.find((s) => s.kind === 'rows').key)"
    )
    views = [
        "",
        "#/",
        f"{run}/rows",
        f"{run}/config",
        f"{run}/trajectory/2/1",
        f"{run}/group/2",
        f"#/eval/{evaluation}",
        f"#/rows/{rows}",
    ]
    for view in views:
        page.goto(run if not view else view if view.startswith("http") else address + view)
        page.locator("h1").first.wait_for()
        page.wait_for_timeout(300)
        found = axe_api.Axe().run(page)
        serious = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in found.response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], view
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{view} is {wide} pixels wide on a phone"
    context.close()
