"""What is built is what is in the house: one package, all modules, all data, and no dependency too many or too few."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("commands", "environments", "rollout", "trainer", "verifiers")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Used without an import of ours that names them.
USED_INDIRECTLY = {
    "tensorboard": "torch.utils.tensorboard writes its events with it",
}

# Distributions whose module has another name.
MODULES = {"lingua-language-detector": "lingua", "pysimdjson": "simdjson", "pyyaml": "yaml", "scikit-learn": "sklearn"}
EXTRAS = (
    "calibration",
    "gymnasium",
    "hub",
    "ifbench",
    "json",
    "language",
    "lora",
    "mcp",
    "reasoning_gym",
    "trackio",
    "vllm",
    "wandb",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel built from the source distribution, so that both are tried."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md", "src", *FLOORS):
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_nothing_generic_lands_at_the_top_of_site_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"lachesis", f"lachesis_rl-{PROJECT['project']['version']}.dist-info"}


def test_every_module_and_all_package_data_are_inside(wheel: zipfile.ZipFile) -> None:
    house = {path.relative_to(ROOT).as_posix() for floor in FLOORS for path in (ROOT / floor).rglob("*")}
    expected = {f"lachesis/{name}" for name in house if (ROOT / name).is_file() and "__pycache__" not in name}
    packed = {name for name in wheel.namelist() if name.startswith("lachesis/")}
    assert packed == expected | {"lachesis/__init__.py", "lachesis/py.typed"}


def test_every_kind_of_package_data_is_declared() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["lachesis"]
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix not in {".py", ".pyc"}]
    assert [path for path in data if not any(fnmatch(path.as_posix(), pattern) for pattern in patterns)] == []


def test_the_command_is_declared(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "lachesis = lachesis.commands.cli:main" in wheel.read(name).decode()


def test_the_version_is_said_once_the_same_way() -> None:
    assert importlib.metadata.version("lachesis-rl") == PROJECT["project"]["version"]
    public = (ROOT / "src/lachesis/__init__.py").read_text()
    assert f'__version__ = "{PROJECT["project"]["version"]}"' in public


def distribution(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].replace("_", "-").lower()


def declared(*extras: str) -> set[str]:
    project = PROJECT["project"]
    chosen = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return {distribution(requirement) for requirements in chosen for requirement in requirements}


def imported(*folders: str) -> set[str]:
    """The top-level modules that the Python files under ``folders`` import absolutely, standard library aside."""
    modules = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add((node.module or "").split(".")[0])
    return modules - sys.stdlib_module_names


def test_every_import_is_declared() -> None:
    modules = {MODULES.get(name, name).replace("-", "_") for name in declared(*EXTRAS)}
    assert imported(*FLOORS) - modules == set()
    modules = {MODULES.get(name, name).replace("-", "_") for name in declared(*EXTRAS, "dev")} | {
        "lachesis",
        "trl",
        "atroposlib",
        "openai",
    }  # a peer in one benchmark; what make atropos installs for itself
    assert imported("tests", "benchmarks", "scripts") - modules == set()


def test_every_declared_dependency_is_used() -> None:
    modules = {name.replace("_", "-") for name in imported(*FLOORS)}
    used = {MODULES.get(name, name) for name in declared(*EXTRAS)}
    assert used - modules - set(USED_INDIRECTLY) == set()


def test_the_lock_files_agree_and_pin_everything_declared() -> None:
    pin = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)
    constraints = dict(pin.findall((ROOT / "constraints.txt").read_text()))
    for_vllm = dict(pin.findall((ROOT / "requirements-vllm-cpu.txt").read_text()))
    assert declared("hub", "dev") <= set(constraints)
    shared = constraints.keys() & for_vllm.keys()
    assert len(shared) > 50
    assert {name for name in shared if constraints[name] != for_vllm[name]} == set()
