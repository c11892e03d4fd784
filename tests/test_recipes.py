"""The recipes for clusters: their shell is valid, what they call exists, and each says what was not run."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from lachesis.commands.cli import cli
from lachesis.trainer.config import RunConfig, load_config

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted(path for path in (ROOT / "recipes").iterdir() if path.is_file())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_says_what_was_checked_and_what_was_not_run(path: Path) -> None:
    head = re.sub(r"\n# ?", " ", path.read_text()[:2500])
    assert re.search(r"(Checked|Run on)\b.* Not run: ", head)


@pytest.mark.parametrize("path", [path for path in RECIPES if path.suffix == ".sh"], ids=lambda path: path.name)
def test_the_shell_of_a_recipe_is_valid(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "set -euo pipefail" in path.read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_calls_commands_and_settings_that_exist(path: Path) -> None:
    text = path.read_text()
    commands = re.findall(r"(?m)^ *(?:(?:then |else )?exec )?lachesis ([\w-]+) ", text)
    assert "train" in commands
    assert set(commands) <= set(cli.commands)
    for key in re.findall(r"--((?:cluster|rollout|trainer)(?:\.[a-z_]+)+)", text):
        model: Any = RunConfig
        for part in key.split("."):
            assert part in model.model_fields, key
            model = model.model_fields[part].annotation


def test_the_manifest_for_kuberay_has_the_shape_of_a_ray_job() -> None:
    manifest = yaml.safe_load((ROOT / "recipes" / "kuberay.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    cluster = manifest["spec"]["rayClusterSpec"]
    kinds = {group["labels"]["kind"] for group in cluster["workerGroupSpecs"]}
    assert kinds == set(re.findall(r'kind=\\"(\w+)\\"', manifest["spec"]["entrypoint"]))
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert container["resources"]["limits"] == container["resources"]["requests"]


def test_the_settings_that_the_page_on_clusters_shows_load(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL | re.MULTILINE)
    for toml in blocks:
        (tmp_path / "run.toml").write_text(toml)
        config = load_config(tmp_path / "run.toml")
        assert config.cluster != load_config(ROOT / "configs" / "arithmetic.toml").cluster
