"""What tests share: where the data lies, and one CPU thread so that results are the same everywhere."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tiny models are slower, and differ, with more

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """``shared_data("gsm8k_test.jsonl")`` is that file's path; a missing file skips the test."""
    folder = Path(os.environ.get("LACHESIS_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"test data {name} is not in {folder}; set LACHESIS_TEST_DATA")
        return path

    return find
