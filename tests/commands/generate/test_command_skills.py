"""``lachesis generate --rows skills``: the conversations that wrote a skill which helped later, and no others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lachesis.rollout.models.tiny import build_tiny_model

SCRIPT = r"""
import json
from functools import cache
from pathlib import Path

from lachesis.rollout.chats.renderer import Renderer

@cache
def renderer():
    return Renderer.load(str(Path(__file__).parent / "m"))

def call(tool, **arguments):
    return f"<tool_call>{json.dumps(dict(name=tool, arguments=arguments))}</tool_call>"

def speak(request):
    said = renderer().decode(request.prompt, ())
    last = said.split("<|im_start|>")[-2]
    if "\u2192" in last:
        text = f"<answer>{last.partition(chr(0x2192) + ' ')[2][0]}</answer>"
    elif "That is right" in last:
        letter = said.partition(chr(0x2192) + " ")[2][0]
        rule = letter if request.sampling.seed % 2 else "it"
        text = call("skill_manage", action="create", name="rule", content=f"---\ndescription: d\n---\nSay {rule}.")
    elif "You have these skills" in last:
        text = call("skill_view", name="rule")
    else:
        text = f"<answer>{last.rpartition('Say ')[2].partition('.')[0]}</answer>"
    return renderer().reply(text).tolist()
"""


def test_the_making_of_skills_that_helped_becomes_rows_and_of_others_not(
    tmp_path: Path, lachesis_here: Callable[..., Any], rows: Callable[[Path], list[dict[str, Any]]]
) -> None:
    build_tiny_model(tmp_path / "m", hidden=32, layers=1, context=4096)
    (tmp_path / "skills_script.py").write_text(SCRIPT)
    environment = Path(__file__).with_name("letter_skills.py")
    playing = [str(environment), "--model", "m", "--engine", "scripted", "--inline", "--model.context", "4096"]
    playing += ["--rollout.engine_options.script=skills_script:speak", "--max-tokens", "512"]
    playing += ["--config.examples", "1", "--config.later", "1", "--tasks", "3", "--attempts", "4"]
    done = lachesis_here(
        "generate", *playing, "--out", "skills", "--rows", "skills", "--deduplicate", "none", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    made = rows(tmp_path / "skills")
    attempts = [json.loads(line) for line in (tmp_path / "skills" / "attempts.jsonl").read_text().splitlines()[1:]]
    assert 0 < len(made) < len(attempts) == 12
    for row in made:
        assert row["metadata"]["success"]
        assert row["metadata"]["skill"].startswith("---\nname: rule\ndescription: d\n---\n\nSay ")
        roles = [(message["role"], message["train"]) for message in row["messages"]]
        said, tools = ("assistant", True), {tool["function"]["name"] for tool in row["tools"]}
        assert roles == [("user", False), said, ("user", False), said, ("tool", False)]
        assert row["messages"][3]["tool_calls"][0]["function"]["name"] == "skill_manage"
        assert tools == {"skill_manage", "skill_view", "skills_list"}
    told = json.loads((tmp_path / "skills" / "manifest.json").read_text())
    assert told["left_out"] == {"its skill did not help in all later tasks": 12 - len(made)}
