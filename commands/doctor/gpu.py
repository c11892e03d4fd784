"""GPUs, their driver, and what torch and vLLM do with them: facts, and findings that follow from facts alone."""

import ctypes
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

from .finding import GIB, Finding

SAMPLER = "VLLM_USE_FLASHINFER_SAMPLER"
VLLM = "pip install -e '.[vllm]'"
Version = tuple[int, int]


@dataclass(frozen=True)
class Card:
    """One GPU.

    Attributes:
        name: the maker's.
        memory: bytes.
        capability: CUDA's compute capability.
    """

    name: str
    memory: int
    capability: Version


@dataclass(frozen=True)
class GpuFacts:
    """What is known about the GPUs of a machine.

    Attributes:
        torch: the version of torch.
        built_for: the CUDA version that torch was built for; None for a build without CUDA.
        driver: the newest CUDA version that the driver runs; None without a driver.
        cards: the GPUs that torch can use.
        cudnn_attention: whether torch may take cuDNN's attention.
        vllm: whether vLLM is installed.
        flashinfer: whether flashinfer is installed.
        sampler: the value of ``VLLM_USE_FLASHINFER_SAMPLER``; empty if it is not set.
    """

    torch: str
    built_for: Version | None = None
    driver: Version | None = None
    cards: tuple[Card, ...] = ()
    cudnn_attention: bool = False
    vllm: bool = False
    flashinfer: bool = False
    sampler: str = ""


def gather() -> GpuFacts:
    """The facts about this machine; imports torch."""
    import torch

    cards = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            cards.append(Card(card.name, card.total_memory, (card.major, card.minor)))
    return GpuFacts(
        torch=torch.__version__,
        built_for=version_in(torch.version.cuda or ""),
        driver=_driver(),
        cards=tuple(cards),
        cudnn_attention=torch.backends.cuda.cudnn_sdp_enabled(),  # type: ignore[no-untyped-call]
        vllm=find_spec("vllm") is not None,
        flashinfer=find_spec("flashinfer") is not None,
        sampler=os.environ.get(SAMPLER, ""),
    )


def gpu_findings(facts: GpuFacts) -> list[Finding]:
    """A finding for each fact that decides what runs on the GPUs; one alone on a machine without any."""
    if not facts.cards:
        return [unusable(facts)]
    numbered = [(f"GPU {number}", card) for number, card in enumerate(facts.cards)]
    cards = [Finding(what, "ok", f"{card.name}, {card.memory / GIB:.0f} GiB") for what, card in numbered]
    types = [Finding(f"{what}: bfloat16", "warn", *lack) for what, card in numbered if (lack := no_bfloat16(card))]
    return [*cards, *types, driver(facts), cudnn_attention(facts), flashinfer(facts), torch_engine(facts)]


def unusable(facts: GpuFacts) -> Finding:
    """Why torch can use no GPU."""
    if facts.driver is None:
        cure = "none needed for tiny models; models of real size need one"
        return Finding("GPU", "warn", "none, or none with a driver", cure)
    runs = f"the driver runs CUDA {_text(facts.driver)}"
    if facts.built_for is None:
        return Finding("GPU", "warn", f"{runs}, and torch {facts.torch} is built without CUDA", _build(facts.driver))
    if facts.built_for[0] > facts.driver[0]:
        return driver(facts)
    cure = "check that nvidia-smi lists a GPU, and that CUDA_VISIBLE_DEVICES does not hide it"
    return Finding("GPU", "warn", f"{runs}, and torch {facts.torch} finds no GPU", cure)


def driver(facts: GpuFacts) -> Finding:
    """Whether the driver runs the CUDA version that torch was built for; within one major version any driver does."""
    if facts.built_for is None or facts.driver is None:
        return Finding("GPU driver", "warn", "the CUDA versions of torch and driver are unknown")
    versions = f"torch {facts.torch} is built for CUDA {_text(facts.built_for)}, the driver runs {_text(facts.driver)}"
    if facts.built_for[0] > facts.driver[0]:
        cure = f"update the driver, or {_build(facts.driver)}"
        return Finding("GPU driver", "missing", versions, cure)
    return Finding("GPU driver", "ok", versions)


def no_bfloat16(card: Card) -> tuple[str, str] | None:
    """The lack of bfloat16 and its cure; None for a card that computes in it."""
    if card.capability >= (8, 0):
        return None
    lacks = f"{card.name} (compute capability {_text(card.capability)}) only emulates it, and vLLM refuses it"
    return lacks, 'set model.dtype = "float32", or use a GPU of compute capability 8.0 or later (Ampere)'


def cudnn_attention(facts: GpuFacts) -> Finding:
    """On cards where torch takes cuDNN's attention first, a mask of a new shape costs a second."""
    if not facts.cudnn_attention or all(card.capability < (9, 0) for card in facts.cards):
        return Finding("cuDNN attention", "ok", "not taken here")
    found = "torch takes it first on this GPU, and it compiles a plan for every new shape; Lachesis switches it off"
    cure = "nothing for lachesis train; in your own code, call torch.backends.cuda.enable_cudnn_sdp(False)"
    return Finding("cuDNN attention", "ok", found, cure)


def flashinfer(facts: GpuFacts) -> Finding:
    """Whether vLLM finds the sampler that it takes by default."""
    if facts.flashinfer or not facts.vllm:
        return Finding("flashinfer", "ok", "installed" if facts.flashinfer else "needed only by vLLM")
    if facts.sampler == "0":
        return Finding("flashinfer", "ok", f"not installed, and {SAMPLER}=0 tells vLLM so")
    cure = f"export {SAMPLER}=0, or pip install flashinfer-python"
    return Finding("flashinfer", "warn", "not installed, and vLLM looks for its sampler", cure)


def torch_engine(facts: GpuFacts) -> Finding:
    """The embedded engine starts each kernel of each step from Python, which a GPU waits for."""
    found = "the embedded engine is slow on a GPU (1,900 tokens/s on an H200, where vLLM reached 9,900)"
    cure = 'set rollout.engine = "vllm"' + ("" if facts.vllm else f", after {VLLM}")
    return Finding("rollouts on the GPU", "ok" if facts.vllm else "warn", found, cure)


def shared_memory(total: int, free: int, gpus: int) -> Finding:
    """Whether ``/dev/shm`` has room for weights in Ray's object store, and for NCCL and vLLM between processes.

    Args:
        total: its bytes.
        free: bytes that are not used.
        gpus: GPUs that are used together; without any, models are tiny.
    """
    least = 8 * GIB if gpus else GIB
    found = f"{total / GIB:.1f} GiB, {free / GIB:.1f} free (/dev/shm)"
    if free >= least:
        return Finding("shared memory", "ok", found)
    size = "16g" if gpus else "4g"
    uses = "weights, NCCL and vLLM use it" if gpus else "Ray uses slow files instead"
    cure = f"{uses}; in Docker, give --shm-size={size}, in Kubernetes mount an emptyDir with medium: Memory at /dev/shm"
    return Finding("shared memory", "warn", found, cure)


def version_in(text: str) -> Version | None:
    """The first two numbers of a version such as ``13.0``; None if there are none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _driver() -> Version | None:
    """The newest CUDA version that the driver runs, as the driver itself says."""
    number = ctypes.c_int(0)
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    return (number.value // 1000, number.value % 1000 // 10) if number.value else None


def _build(version: Version) -> str:
    return f"install a build of torch for CUDA {_text(version)} or older (pytorch.org/get-started lists them)"


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
