"""How alike two texts are, without a model: an estimate of the share of character 5-grams that they have in common."""

import random

import numpy as np
import numpy.typing as npt

Sketch = npt.NDArray[np.uint32]

_GRAM = 5
"""Characters of an n-gram; characters and not words, because not every language puts spaces between words."""
_HASHES = 128
"""Numbers in a sketch; the standard error of an estimate s is sqrt(s (1 - s) / 128), at most 0.044."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


_BLOCK = 2048
"""N-grams that are hashed at once."""
_DRAWN = random.Random(20)  # any seed, but always the same, so that sketches can be compared
_MULTIPLIERS = np.array([[_DRAWN.getrandbits(64) | 1] for _ in range(_HASHES)], np.uint64)
_ADDENDS = np.array([[_DRAWN.getrandbits(64)] for _ in range(_HASHES)], np.uint64)


def sketch(text: str) -> Sketch:
    """The MinHash sketch (Broder, 1997) of the n-grams of ``text``; case and the amount of white space do not count."""
    plain = " ".join(text.lower().split())
    letters = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if letters.size < _GRAM:
        letters = np.pad(letters, (0, _GRAM - letters.size))
    windows = letters.size - _GRAM + 1
    grams = np.zeros(windows, np.uint64)
    for place in range(_GRAM):
        grams = grams * _BASE + letters[place : place + windows]  # modulo 2^64
    grams ^= grams >> np.uint64(29)
    found = np.full(_HASHES, np.uint64(0xFFFFFFFF))
    for start in range(0, windows, _BLOCK):
        hashes = (grams[start : start + _BLOCK] * _MULTIPLIERS + _ADDENDS) >> np.uint64(32)
        found = np.minimum(found, hashes.min(axis=1))
    return found.astype(np.uint32)


def similarity(one: Sketch, other: Sketch) -> float:
    """An estimate of the Jaccard index of the two sets of n-grams, from 0 to 1; equal texts have 1."""
    return float((one == other).mean())
