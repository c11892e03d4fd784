"""The doctor: it looks at everything, and every fault has a cure."""

import json
import os

import pytest

from lachesis.trainer.doctor import examine, print_findings


def test_everything_is_looked_at_and_every_lack_has_its_cure() -> None:
    findings = {finding.what: finding for finding in examine()}
    assert {"Python", "torch", "Ray", "vLLM", "CPU", "memory", "disk", "shared memory"} <= set(findings)
    assert any(name.startswith("GPU") for name in findings)
    assert all(finding.found for finding in findings.values())
    assert all(finding.cure for finding in findings.values() if finding.state == "lacks")
    assert findings["torch"].state == "ok"
    if hasattr(os, "sched_getaffinity"):
        assert findings["CPU"].found.startswith(f"{len(os.sched_getaffinity(0))} cores")


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    findings = examine()
    print_findings(findings, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["what"] for row in rows] == [finding.what for finding in findings]
    assert all(set(row) == {"what", "state", "found", "cure"} for row in rows)


def test_people_get_a_table_that_keeps_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    from lachesis.trainer.doctor import Finding

    print_findings([Finding("vLLM", "warn", "not installed", "pip install 'lachesis-rl[vllm]'")])
    assert "lachesis-rl[vllm]" in capsys.readouterr().out
