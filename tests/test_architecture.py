"""The house has four floors and imports only run down; the checker itself is tried on houses that break each rule."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("verifiers", "environments", "rollout", "trainer", "commands")  # ground first, the roof last
HEAVY = {"ray", "torch", "transformers", "vllm"}  # none of them below the rollout floor
OWNERS = {  # files and folders
    "ray": {"rollout/cluster/", "rollout/workers/remote.py", "trainer/learner/sharded/ranks.py"},
    "vllm": {"rollout/engines/vllm/", "rollout/engines/weight_transport/nccl.py"},
}
BANNED_NAMES = {"common", "core", "helper", "helpers", "util", "utils"}


@dataclass(frozen=True)
class Import:
    """One imported module, as one line of one of our files asks for it."""

    file: str  # relative to the root
    line: int
    importer: str  # dotted, from `lachesis` on
    target: str  # dotted; from `lachesis` on if it was a relative import
    relative: bool
    runs: bool  # False under `if TYPE_CHECKING`

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def violations(root: Path) -> list[str]:
    """What the tree under ``root`` breaks, one line each; empty for a sound house."""
    imports = [found for path in module_paths(root) for found in imports_of(path, root)]
    return [
        *banned_names(root),
        *(line for found in imports for line in floor_violations(found)),
        *(line for found in imports for line in outsider_violations(found)),
        *cycle(imports),
    ]


def module_paths(root: Path) -> list[Path]:
    return sorted(path for floor in FLOORS for path in (root / floor).rglob("*.py"))


def dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(("lachesis", *parts[: -1 if parts[-1] == "__init__" else None]))


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    """Every import in the file: at the top, inside functions, and by ``import_module("…")``."""
    importer = dotted(path, root)
    package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {id(inner) for node in ast.walk(tree) if is_type_checking(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        for target, relative in targets(node, package, root):
            file, line = path.relative_to(root).as_posix(), getattr(node, "lineno", 0)
            yield Import(file, line, importer, target, relative, runs=id(node) not in for_types)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def targets(node: ast.AST, package: str, root: Path) -> Iterator[tuple[str, bool]]:
    match node:
        case ast.Import():
            yield from ((alias.name, False) for alias in node.names)
        case ast.ImportFrom(level=0):
            yield node.module or "", False
        case ast.ImportFrom():
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((submodule_or(module, alias.name, root), True) for alias in node.names)
        case ast.Call(args=[ast.Constant(value=str(name)), *_]) if ast.unparse(node.func).endswith("import_module"):
            yield name, name.startswith(".")


def submodule_or(module: str, name: str, root: Path) -> str:
    """``module.name`` where that is a module of ours (``from . import chat``), else ``module``."""
    path = root.joinpath(*module.split(".")[1:], name)
    is_module = path.with_suffix(".py").exists() or (path / "__init__.py").exists()
    return f"{module}.{name}" if is_module or (module == "lachesis" and name != "__version__") else module


def banned_names(root: Path) -> Iterator[str]:
    for path in module_paths(root):
        for part in path.relative_to(root).with_suffix("").parts:
            if part in BANNED_NAMES:
                yield f"{path.relative_to(root)}: {part!r} names no noun; say what the module holds"


def floor_violations(found: Import) -> Iterator[str]:
    if not found.relative:
        if found.target.split(".")[0] in {"lachesis", *FLOORS}:
            yield f"{found}: absolute import of {found.target}; inside the package write it relative"
        return
    origin, destination = found.importer.split(".")[1], [*found.target.split("."), ""][1]
    if destination and destination not in FLOORS:
        yield f"{found}: {found.target} by way of the package's public names; import it from its own module"
    elif destination and FLOORS.index(destination) > FLOORS.index(origin):
        yield f"{found}: {origin} imports {found.target}, which is a floor up"


def outsider_violations(found: Import) -> Iterator[str]:
    name = found.target.split(".")[0]
    if name in HEAVY and found.importer.split(".")[1] in FLOORS[:2]:
        yield f"{found}: {name} below the rollout floor"
    if name in OWNERS and not found.file.startswith(tuple(OWNERS[name])):
        yield f"{found}: {name} is imported outside {', '.join(sorted(OWNERS[name]))}"


def cycle(imports: list[Import]) -> Iterator[str]:
    """The first cycle among imports that run; one that only the type checker sees ties no knot."""
    graph = TopologicalSorter[str]()
    for found in imports:
        if found.relative and found.runs:
            graph.add(found.importer, found.target)
    try:
        graph.prepare()
    except CycleError as error:
        yield "cycle: " + " <- ".join(error.args[1])


def test_the_house_is_sound() -> None:
    assert violations(ROOT) == []


def test_every_module_of_the_house_is_walked() -> None:
    walked = {path.relative_to(ROOT).parts[0] for path in module_paths(ROOT)}
    assert walked == set(FLOORS)
    assert any(
        found.target == "lachesis.verifiers.task" for path in module_paths(ROOT) for found in imports_of(path, ROOT)
    )


def test_ray_has_three_owners_and_vllm_two() -> None:
    assert {name: len(owners) for name, owners in OWNERS.items()} == {"ray": 3, "vllm": 2}


SOUND = {
    "verifiers/__init__.py": "",
    "verifiers/task.py": "import json\nimport numpy as np\n",
    "environments/__init__.py": "from .chat import Chat\n",
    "environments/chat.py": "from typing import TYPE_CHECKING\nfrom ..verifiers.task import Task\n"
    "if TYPE_CHECKING:\n    from .episode import Episode\n",
    "environments/episode.py": "from . import chat\nfrom .chat import Chat\nfrom ..verifiers import task\n",
    "rollout/workers/remote.py": "import ray\nfrom ray.util import placement_group\n",
    "rollout/engines/vllm/engine.py": "def start():\n    from vllm import LLMEngine\n",
    "rollout/engines/embedded.py": "import torch\nfrom ...environments.chat import Chat\n",
    "commands/cli.py": "from .. import __version__\nfrom ..rollout.workers.remote import start\n",
}

BROKEN = {
    "up a floor": ("verifiers/bad.py", "from ..environments.chat import Chat", "a floor up"),
    "up, inside a function": ("rollout/bad.py", "def f():\n    from ..commands import cli", "a floor up"),
    "up, for types only": (
        "verifiers/bad.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..rollout.workers.ray_pool import Cluster",
        "a floor up",
    ),
    "up, a whole floor": ("environments/bad.py", "from .. import rollout", "a floor up"),
    "up, by the public names": ("verifiers/bad.py", "from .. import Environment", "public names"),
    "cycle": ("verifiers/task.py", "from .bad import x", "cycle: "),
    "cycle through a function": ("environments/chat.py", "def f():\n    from .episode import Episode", "cycle: "),
    "cycle by submodule name": ("environments/chat.py", "from . import episode", "cycle: "),
    "ray outside its owner": ("rollout/bad.py", "import ray", "ray is imported outside"),
    "ray.util outside its owner": ("trainer/bad.py", "from ray.util.queue import Queue", "ray is imported outside"),
    "vllm outside its owner": ("rollout/engines/embedded.py", "import vllm.config as c", "vllm is imported outside"),
    "vllm by import_module": (
        "rollout/bad.py",
        "import importlib\nx = importlib.import_module('vllm')",
        "vllm is imported outside",
    ),
    "torch on the ground": ("verifiers/bad.py", "def f():\n    import torch", "torch below"),
    "transformers on the first floor": ("environments/bad.py", "from transformers import AutoTokenizer", "below"),
    "deep folder": ("environments/tools/bad.py", "from ...commands.cli import main", "a floor up"),
    "utils": ("verifiers/utils.py", "", "names no noun"),
    "common folder": ("rollout/common/engine.py", "", "names no noun"),
    "absolute": ("trainer/bad.py", "from lachesis.rollout.workers.remote import start", "absolute import"),
    "absolute by folder": ("trainer/bad.py", "import verifiers", "absolute import"),
}


def house(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_sound_house_passes(tmp_path: Path) -> None:
    assert violations(house(tmp_path, SOUND)) == []


@pytest.mark.parametrize("rule", BROKEN)
def test_each_broken_rule_is_found(tmp_path: Path, rule: str) -> None:
    name, text, message = BROKEN[rule]
    files = {**SOUND, "verifiers/bad.py": "from .task import Task\n", name: text}
    found = violations(house(tmp_path, files))
    assert len(found) == 1
    assert message in found[0]
