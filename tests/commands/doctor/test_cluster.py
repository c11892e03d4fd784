"""``lachesis doctor --cluster``: what it says of nodes, and a real look at this machine."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lachesis.commands.cli import cli
from lachesis.commands.doctor.cluster import _versions, data_of, room
from lachesis.rollout.cluster.demand import Bundle, Demand
from lachesis.rollout.cluster.nodes import Node
from lachesis.trainer.config import RunConfig, load_config
from lachesis.verifiers.settings import validated

HERE = {"Python": "3.11.7", "lachesis": "code 1", "ray": "2.60.0", "torch": "2.9", "transformers": "5", "vllm": ""}
NODE = Node("id", "far (10.0.0.2)", {"CPU": 4}, {"CPU": 1}, {})
CONFIG = str(Path(__file__).parents[3] / "configs" / "arithmetic.toml")


@pytest.mark.parametrize(
    ("there", "state", "found"),
    [
        ({}, "ok", "Python 3.11.7, lachesis code 1, ray 2.60.0"),
        ({"lachesis": "code 2"}, "warn", "other than here: lachesis code 2 (here code 1)"),
        ({"torch": "", "ray": ""}, "missing", "without ray, torch; Python 3.11.7"),
    ],
)
def test_a_node_with_other_versions_is_named(there: dict[str, str], state: str, found: str) -> None:
    finding = _versions(NODE, {**HERE, **there}, HERE, vllm=False)
    assert (finding.what, finding.state) == ("far (10.0.0.2): versions", state)
    assert found in finding.found


def test_vllm_is_needed_only_where_the_run_uses_it() -> None:
    assert _versions(NODE, HERE, HERE, vllm=True).state == "missing"


def test_room_tells_what_is_reserved_by_others_from_what_is_not_there() -> None:
    def state(cpus: float) -> str:
        return room([Demand("workers", "spread", (Bundle("worker 0", {"CPU": cpus}, {}),))], [NODE]).state

    assert [state(1), state(3), state(5)] == ["ok", "warn", "missing"]


def test_data_is_what_environments_name_and_exists_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl", "sent/b.jsonl", "train"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    values = {"rows": ["a.jsonl", {"more": "sent/b.jsonl"}], "split": "train", "text": "x" * 5000 + "/", "hub": "a/b"}
    entry = {"use": "arithmetic", "config": values}
    config = validated(RunConfig, {"environments": [entry], "cluster": {"files": ["sent"]}}, "config")
    assert data_of(config) == ["a.jsonl"]


def test_this_machine_has_room_for_a_run_on_it_and_not_for_labels_that_it_lacks() -> None:
    arguments = ["doctor", "--json", "--cluster", CONFIG, "--cluster.workers.labels", '{zone="x"}']
    result = CliRunner().invoke(cli, arguments)
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert findings["cluster"]["found"].startswith("this machine: 1 node with")
    assert "2 of 2 workers (1 CPU each, label zone=x): no node has the label" in findings["room"]["found"]
    (versions,) = [finding for what, finding in findings.items() if what.endswith(": versions")]
    assert versions["state"] == "ok"
    assert result.exit_code == 1
    assert load_config(CONFIG).cluster.workers.labels == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cluster", "nope.toml"], "cannot read the config nope.toml"),
        (["nope"], "doctor takes no 'nope'"),
        (["--rollout.engines", "2"], "doctor takes no '--rollout.engines'"),
        (["--cluster", CONFIG, "--rollout.inline", "true"], "rollout.inline = true runs everything in one process"),
        (["--cluster", CONFIG, "--cluster.address", "127.0.0.1:1"], "nothing answers there"),
    ],
)
def test_what_cannot_be_looked_at_ends_in_one_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, ["doctor", *arguments])
    assert message in str(result.exception) + result.output
