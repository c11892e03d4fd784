"""What the doctor says about GPUs follows from facts, so that machines with any GPU can be described here."""

from dataclasses import replace

import pytest

from lachesis.commands.doctor.finding import GIB, Finding
from lachesis.commands.doctor.gpu import Card, GpuFacts, gather, gpu_findings, shared_memory, version_in

H200 = Card("NVIDIA H200", 141 * GIB, (9, 0))
T4 = Card("Tesla T4", 15 * GIB, (7, 5))
GOOD = GpuFacts("2.11.0+cu130", (13, 0), (13, 0), (H200,), cudnn_attention=True, vllm=True, flashinfer=True)


def found(facts: GpuFacts) -> dict[str, Finding]:
    findings = gpu_findings(facts)
    assert len({finding.what for finding in findings}) == len(findings)
    assert all(finding.found for finding in findings)
    assert all(finding.cure for finding in findings if finding.state != "ok")
    return {finding.what: finding for finding in findings}


def test_a_good_machine_has_only_good_findings() -> None:
    findings = found(GOOD)
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert findings["GPU 0"].found == "NVIDIA H200, 141 GiB"
    assert "2.11.0+cu130 is built for CUDA 13.0" in findings["GPU driver"].found


@pytest.mark.parametrize(
    ("built_for", "driver", "state"),
    [((12, 8), (12, 4), "ok"), ((12, 8), (13, 0), "ok"), ((13, 0), (12, 8), "missing")],
    ids=["newer within a major version", "older", "newer"],
)
def test_a_driver_has_to_run_torch_s_major_version_of_cuda(
    built_for: tuple[int, int], driver: tuple[int, int], state: str
) -> None:
    finding = found(replace(GOOD, built_for=built_for, driver=driver))["GPU driver"]
    assert finding.state == state
    if state == "missing":
        assert "update the driver" in finding.cure
        assert "12.8 or older" in finding.cure


def test_an_old_driver_hides_all_gpus_and_is_the_one_finding() -> None:
    (finding,) = gpu_findings(replace(GOOD, cards=(), driver=(12, 4)))
    assert (finding.what, finding.state) == ("GPU driver", "missing")


@pytest.mark.parametrize(
    ("facts", "reason", "cure"),
    [
        (GpuFacts("2.13.0+cpu"), "none", "none needed for tiny models"),
        (GpuFacts("2.13.0+cpu", driver=(13, 0)), "built without CUDA", "CUDA 13.0 or older"),
        (GpuFacts("2.13.0", (13, 0), (13, 0)), "finds no GPU", "CUDA_VISIBLE_DEVICES"),
    ],
    ids=["no driver", "a build for CPUs", "hidden"],
)
def test_no_usable_gpu_is_one_finding_that_says_why(facts: GpuFacts, reason: str, cure: str) -> None:
    (finding,) = gpu_findings(facts)
    assert (finding.what, finding.state) == ("GPU", "warn")
    assert reason in finding.found
    assert cure in finding.cure


def test_a_card_without_bfloat16_is_told_the_type_to_use() -> None:
    findings = found(replace(GOOD, cards=(H200, T4)))
    assert "GPU 0: bfloat16" not in findings
    assert findings["GPU 1: bfloat16"].state == "warn"
    assert "Tesla T4" in findings["GPU 1: bfloat16"].found
    assert 'model.dtype = "float32"' in findings["GPU 1: bfloat16"].cure


def test_cudnn_s_attention_is_explained_where_torch_takes_it_first() -> None:
    assert "enable_cudnn_sdp(False)" in found(GOOD)["cuDNN attention"].cure
    assert found(replace(GOOD, cards=(T4,)))["cuDNN attention"].cure == ""
    assert found(replace(GOOD, cudnn_attention=False))["cuDNN attention"].cure == ""


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ok"),
        ({"flashinfer": False}, "warn"),
        ({"flashinfer": False, "sampler": "0"}, "ok"),
        ({"flashinfer": False, "sampler": "1"}, "warn"),
        ({"flashinfer": False, "vllm": False}, "ok"),
    ],
)
def test_a_missing_flashinfer_matters_to_a_vllm_that_was_not_told(changes: dict[str, object], state: str) -> None:
    finding = found(replace(GOOD, **changes))["flashinfer"]  # type: ignore[arg-type]
    assert finding.state == state
    assert state == "ok" or "VLLM_USE_FLASHINFER_SAMPLER=0" in finding.cure


def test_on_a_gpu_rollouts_belong_to_vllm() -> None:
    assert found(GOOD)["rollouts on the GPU"].cure == 'set rollout.engine = "vllm"'
    without = found(replace(GOOD, vllm=False))["rollouts on the GPU"]
    assert without.state == "warn"
    assert "pip install" in without.cure


@pytest.mark.parametrize(
    ("free", "gpus", "state", "size"),
    [(2, 0, "ok", ""), (0.05, 0, "warn", "4g"), (2, 1, "warn", "16g"), (9, 2, "ok", "")],
)
def test_gpus_need_more_shared_memory_than_tiny_models(free: float, gpus: int, state: str, size: str) -> None:
    finding = shared_memory(16 * GIB, int(free * GIB), gpus)
    assert finding.state == state
    assert f"{free:.1f} free" in finding.found or free < 0.1
    assert f"--shm-size={size}" in finding.cure if size else not finding.cure


@pytest.mark.parametrize(("text", "version"), [("13.0", (13, 0)), ("12.8.1", (12, 8)), ("", None), ("x", None)])
def test_versions_are_read_from_text(text: str, version: tuple[int, int] | None) -> None:
    assert version_in(text) == version


def test_the_facts_of_this_machine_are_gathered() -> None:
    facts = gather()
    assert facts.torch
    assert gpu_findings(facts)
