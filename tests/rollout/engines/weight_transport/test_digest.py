import pytest
import torch

from lachesis.rollout.engines.weight_transport import digest
from lachesis.rollout.engines.weight_transport.digest import FACTORS, DeviceDigest


def digest_of(row: torch.Tensor, *cuts: int) -> str:
    """The digest of ``row``, given in parts that are cut at these bytes, the last part first."""
    found = DeviceDigest()
    for start, end in reversed(list(zip((0, *cuts), (*cuts, row.numel()), strict=True))):
        found.update(row[start:end], start)
    return found.hexdigest()


@pytest.fixture
def row() -> torch.Tensor:
    return torch.randint(0, 256, (8 * 1000,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_it_is_the_formula_in_whole_numbers_of_any_size(row: torch.Tensor) -> None:
    def signed(value: int) -> int:
        return (value + 2**63) % 2**64 - 2**63

    total = 0
    for place, word in enumerate(row.view(torch.int64).tolist()):
        mixed = signed((signed(place * FACTORS[0]) ^ word) * FACTORS[1])
        mixed = signed((mixed ^ (mixed >> 31)) * FACTORS[2])
        total += mixed ^ (mixed >> 29)
    assert digest_of(row) == f"{total % 2**64:016x}"
    assert digest_of(row[:0]) == "0" * 16


def test_parts_and_their_order_change_nothing(row: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = digest_of(row)
    assert digest_of(row, 8, 4096, 7992) == whole
    monkeypatch.setattr(digest, "CHUNK", 7)
    assert digest_of(row, 16, 808) == whole


def test_a_flipped_bit_swapped_words_and_another_place_change_it(row: torch.Tensor) -> None:
    found = {digest_of(row)}
    for place in (0, 1, 7, 4001, 7999):
        for bit in (1, 128):
            damaged = row.clone()
            damaged[place] ^= bit
            found.add(digest_of(damaged))
    swapped = row.view(torch.int64).clone()
    swapped[[3, 4]] = swapped[[4, 3]]
    both = row.clone()  # the highest bit of two words, which a plain sum would not notice
    both[7] ^= 128
    both[15] ^= 128
    moved = DeviceDigest()
    moved.update(row, 8)
    found |= {digest_of(swapped.view(torch.uint8)), digest_of(both), moved.hexdigest()}
    assert len(found) == 14


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_value(row: torch.Tensor) -> None:
    assert digest_of(row.cuda(), 80) == digest_of(row)
