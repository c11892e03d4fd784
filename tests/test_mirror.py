"""Every test file mirrors a module: ``<folder>/<module>.py`` is tested in ``tests/<folder>/test_<module>.py``.

A second file for the same module is ``test_<module>_<aspect>.py``. Tests that span several modules are in
``tests/whole``, and tests of the project itself are directly in ``tests``.
"""

import ast
from pathlib import Path

import pytest

from .conftest import LONGEST_FIRST

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("commands", "trainer", "rollout", "environments", "verifiers")


def misplaced(root: Path) -> list[str]:
    """A line for each test under ``root`` that belongs to no module; empty where all of them do."""
    modules = [path.relative_to(root).with_suffix("") for floor in FLOORS for path in (root / floor).rglob("*.py")]
    found = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        place = path.relative_to(root / "tests")
        if place.parts[0] != "whole" and len(place.parts) > 1 and not any(covers(place, module) for module in modules):
            found.append(f"tests/{place} belongs to no module in {place.parent}; move it to {homes(path, modules)}")
    return found


def covers(test: Path, module: Path) -> bool:
    """Whether ``test``, as seen from ``tests``, is a test of ``module``."""
    return test.parent == module.parent and is_named_after(test, module)


def is_named_after(test: Path, module: Path) -> bool:
    return f"{test.stem}_".startswith(f"test_{module.name}_")


def homes(test: Path, modules: list[Path]) -> str:
    """Where ``test`` could go: beside modules of its name, else of those that it imports, else to ``tests/whole``."""
    named = [f"tests/{module.parent}" for module in modules if is_named_after(test, module)]
    if named:
        return " or ".join(sorted(named))
    imported = {node.module for node in ast.walk(ast.parse(test.read_text())) if isinstance(node, ast.ImportFrom)}
    tested = [module for module in modules if ".".join(("lachesis", *module.parts)) in imported]
    mirrored = [f"tests/{module.parent}/test_{module.name}.py" for module in sorted(tested)]
    return " or ".join([*mirrored, "tests/whole"])


def test_every_test_belongs_to_a_module() -> None:
    assert misplaced(ROOT) == []


def test_the_files_that_begin_first_are_there() -> None:
    assert [name for name in LONGEST_FIRST if not (ROOT / "tests" / name).is_file()] == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("verifiers/task.py", "verifiers/rows/row.py", "tests/verifiers/rows/helper.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "place", ["verifiers/test_task.py", "verifiers/rows/test_row_hostile.py", "test_docs.py", "whole/test_anything.py"]
)
def test_a_test_in_its_place_is_left_alone(project: Path, place: str) -> None:
    (project / "tests" / place).parent.mkdir(parents=True, exist_ok=True)
    (project / "tests" / place).touch()
    assert misplaced(project) == []


@pytest.mark.parametrize(
    ("place", "imports", "home"),
    [
        ("verifiers/test_row.py", "", "tests/verifiers/rows"),
        ("verifiers/test_tasks.py", "", "tests/whole"),
        (
            "verifiers/test_records.py",
            "from lachesis.verifiers.task import Task\nfrom lachesis.verifiers.rows.row import entries\n",
            "tests/verifiers/rows/test_row.py or tests/verifiers/test_task.py or tests/whole",
        ),
    ],
)
def test_a_test_in_no_place_is_told_where_it_belongs(project: Path, place: str, imports: str, home: str) -> None:
    (project / "tests" / place).write_text(imports)
    assert misplaced(project) == [f"tests/{place} belongs to no module in verifiers; move it to {home}"]
