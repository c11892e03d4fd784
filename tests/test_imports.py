"""Importing is cheap: nothing heavy is loaded before somebody uses it."""

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import lachesis

COMMAND = entry_points(group="console_scripts")["lachesis"].value  # module:function

LOADED_BY = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}} - sys.stdlib_module_names)))
"""


def loaded_by(code: str) -> set[str]:
    """The top-level modules from outside the standard library that ``code`` loads in a new interpreter."""
    script = LOADED_BY.format(code=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)
    loaded: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(loaded)


def test_import_lachesis_loads_nothing_but_lachesis() -> None:
    assert loaded_by("import lachesis") == {"lachesis"}


def test_what_a_name_needs_is_loaded_on_its_first_use() -> None:
    assert {"lachesis", "numpy"} <= loaded_by("import lachesis; lachesis.Segment")


def test_the_lower_floors_load_no_engine() -> None:
    names = "; ".join(f"lachesis.{name}" for name in lachesis.__all__)
    assert not {"torch", "transformers", "ray", "vllm", "sympy"} & loaded_by(f"import lachesis; {names}")


def test_help_loads_neither_torch_nor_ray() -> None:
    module, function = COMMAND.split(":")
    code = f"""
sys.argv = ["lachesis", "--help"]
from {module} import {function}
try:
    {function}()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    loaded = loaded_by(code)
    assert "lachesis" in loaded
    assert not {"torch", "transformers", "ray", "vllm", "sympy", "matplotlib", "tensorboard", "datasets"} & loaded


def test_all_is_exactly_what_is_imported_lazily() -> None:
    assert sorted(lachesis.__all__) == sorted(lachesis._HOME)
    assert set(lachesis.__all__) <= set(dir(lachesis))


def test_all_is_exactly_what_the_type_checker_sees() -> None:
    tree = ast.parse(Path(lachesis.__file__ or "").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == lachesis._HOME


@pytest.mark.parametrize("name", lachesis.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lachesis, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Reward_'"):
        lachesis.Reward_  # noqa: B018


@pytest.mark.parametrize("name", lachesis._IN_ATROPOS)
def test_a_name_of_atropos_is_answered_with_what_it_is_here_and_the_page(name: str) -> None:
    with pytest.raises(ImportError, match=rf"^{name} belongs to Atropos.* docs/from-atropos.md"):
        exec(f"from lachesis import {name}")
    told = [word for word in re.findall(r"lachesis\.(\w+)", lachesis._IN_ATROPOS[name])]
    assert set(told) <= set(lachesis.__all__)
    assert (Path(__file__).parents[1] / "docs" / "from-atropos.md").is_file()
    assert name not in dir(lachesis)
