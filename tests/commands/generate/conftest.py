"""A model that calls the calculator and answers, rightly or not, as its seed says: an engine that follows a script."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.models.tiny import build_tiny_model

SCRIPT = r'''
from functools import cache
from pathlib import Path

from lachesis.rollout.chats.renderer import Renderer

HERE = Path(__file__).parent
CALL = """<think>
{thought}
</think>

<tool_call>
{{"name": "calculate", "arguments": {{"expression": "{question}"}}}}
</tool_call>"""

@cache
def renderer():
    return Renderer.load(str(HERE / "m"))

def speak(request):
    with (HERE / "asked").open("a") as file:
        file.write("x")
    said = renderer().decode(request.prompt, ())
    turns = said.split("<|im_start|>")
    if "tool_response" in turns[-2]:
        value = turns[-2].partition('"content": "')[2].partition('"')[0]
        text = value if request.sampling.seed % 3 else "I do not know " + "at all " * (request.sampling.seed % 5)
    else:
        question = turns[-2].partition("\n")[2].partition("=")[0]
        text = CALL.format(question=question, thought="Let me see. " * (1 + request.sampling.seed % 2))
    return renderer().reply(text).tolist()
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model ``m``, its script and a suite of the calculator."""
    folder = tmp_path_factory.mktemp("generate")
    build_tiny_model(folder / "m", hidden=32, layers=1, context=1024)
    (folder / "rows_alone").mkdir()
    (folder / "rows_alone" / "manifest.json").write_text('{"kind": "messages", "rows": 0}')
    (folder / f"script_{folder.name.replace('-', '_')}.py").write_text(SCRIPT)
    return folder


@pytest.fixture
def generate(folder: Path, lachesis_here: Callable[..., Any]) -> Callable[..., Any]:
    """Runs ``lachesis generate`` over 6 tasks of the calculator, with further words; ``tokens`` has been made."""
    script = next(folder.glob("script_*.py")).stem
    playing = ["calculator", "--model", "m", "--engine", "scripted", f"--rollout.engine_options.script={script}:speak"]
    playing += ["--tasks", "6", "--attempts", "4", "--inline", "--model.context", "1024"]

    def run(*words: str, played: bool = True) -> Any:
        return lachesis_here("generate", *(playing if played else []), *words, cwd=folder)

    if not (folder / "tokens").exists():
        done = run("--out", "tokens", "--rows", "tokens", "--deduplicate", "none")
        assert done.returncode == 0, done.stderr
    return run


def rows_at(folder: Path) -> list[dict[str, Any]]:
    """The rows of all shards in a folder."""
    return [json.loads(line) for path in sorted(folder.glob("train-*.jsonl")) for line in path.open()]


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads the rows of all shards in a folder."""
    return rows_at
