"""Stop strings: the token that completes one is found at once, in long replies and across characters."""

import random

import numpy as np
import pytest

from lachesis.rollout.engines.engine import Completion, Sampling
from lachesis.rollout.engines.stop_strings import StopWatch, cut_at_stop, find_stop, surplus, watch_of
from lachesis.verifiers.errors import DataError, EngineError


def decode(tokens: list[int]) -> str:
    """Bytes, and tokens of several characters from 256 on."""
    return b"".join(bytes([t]) if t < 256 else LONG[t - 256] for t in tokens).decode("utf-8", "replace")


LONG = (b"", b"</ans", b"wer> and", b"\xe2\x82", b"\xacx")


def ids(*parts: str | int) -> list[int]:
    return [token for part in parts for token in (part.encode() if isinstance(part, str) else [part])]


def completion(tokens: list[int]) -> Completion:
    count = len(tokens)
    return Completion(np.array(tokens, np.int32), np.zeros(count, np.float32), np.zeros(count, np.int32), "length")


@pytest.mark.parametrize(
    ("tokens", "stops", "count", "before"),
    [
        (ids("ab.cd."), ["."], 3, "ab"),
        (ids("4", 257, 258, "x"), ["</answer>"], 3, "4"),
        (ids("4", 257, 256, 256, 258), ["</answer>"], 5, "4"),
        (ids("1", 259, 260, "y"), ["€"], 3, "1"),
        (ids("aXXbYY"), ["YY", "XX"], 3, "a"),
        (ids("aXYZ"), ["XYZ", "Y"], 3, "aX"),
        (ids("abc"), ["d", "abcd"], None, ""),
        ([], ["a"], None, ""),
    ],
)
def test_the_token_that_completes_a_stop_string_is_the_last_one(
    tokens: list[int], stops: list[str], count: int | None, before: str
) -> None:
    ending = find_stop(decode, tokens, stops)
    assert (ending and ending.tokens) == count
    assert ending is None or ending.before == before
    watch = StopWatch(decode, stops)
    assert next((place for place, token in enumerate(tokens, 1) if watch.add(token)), None) == count
    assert cut_at_stop(completion(tokens), decode, stops).tokens.size == (len(tokens) if count is None else count)


def test_the_watch_agrees_with_the_whole_text_on_random_bytes() -> None:
    rng = random.Random(0)
    for _ in range(300):
        tokens = [rng.choice([*b"ab\xe2\x82\xac", *range(256, 261)]) for _ in range(rng.randrange(60))]
        stops = ["".join(rng.choices("ab€", k=rng.randrange(1, 4))) for _ in range(rng.randrange(1, 4))]
        watch = StopWatch(decode, stops)
        seen = next((place for place, token in enumerate(tokens, 1) if watch.add(token)), None)
        whole = [count for count in range(1, len(tokens) + 1) if any(stop in decode(tokens[:count]) for stop in stops)]
        assert seen == (whole[0] if whole else None)


def test_the_text_of_a_reply_leaves_the_stop_string_out_or_ends_with_it() -> None:
    tokens = ids("4", 257, 258)
    shown = decode(tokens)
    bare, kept = (Sampling(stop=("</answer>",), include_stop=include) for include in (False, True))
    assert shown[: len(shown) - surplus(shown, completion(tokens), decode, bare)] == "4"
    assert shown[: len(shown) - surplus(shown, completion(tokens), decode, kept)] == "4</answer>"
    assert surplus("4", completion(ids("4")), decode, bare) == 0
    assert surplus(shown, completion(tokens), decode, Sampling()) == 0


@pytest.mark.parametrize("stops", [[""], ["x"] * 65, ["x" * 1001], [3], 3, ["\ud800"]])
def test_impossible_stop_strings_are_refused(stops: object) -> None:
    with pytest.raises(DataError, match="stop is a text or a list"):
        Sampling(stop=stops)  # type: ignore[arg-type]


def test_an_engine_without_a_tokenizer_says_so() -> None:
    assert watch_of("", ()) is None
    with pytest.raises(EngineError, match="tokenizer"):
        watch_of("", ("x",))
