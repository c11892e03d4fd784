import numpy as np

from lachesis.rollout.engines.running_request import RunningRequest


def test_what_the_steps_added_becomes_arrays_with_each_tokens_version() -> None:
    running = RunningRequest(7, version=3)
    running.set_version(4)  # before its first token
    for token in (10, 11):
        running.add([token], np.array([[-token, -99]], np.float32))  # the second column is another token's
    running.set_version(-1)
    running.set_version(5)
    running.add([12, 13], np.array([[-12], [-13]], np.float32))
    done = running.end("stop")
    assert (done.tokens.tolist(), done.versions.tolist(), done.stop) == ([10, 11, 12, 13], [4, 4, 5, 5], "stop")
    assert done.logprobs.tolist() == [-10, -11, -12, -13]
    assert (done.tokens.dtype, done.versions.dtype, done.logprobs.dtype) == (np.int32, np.int32, np.float32)


def test_nothing_sampled_is_empty_arrays() -> None:
    done = RunningRequest(0, version=1).end("abort")
    assert (done.tokens.tolist(), done.logprobs.tolist(), done.versions.tolist()) == ([], [], [])
    assert (done.tokens.dtype, done.versions.dtype, done.logprobs.dtype) == (np.int32, np.int32, np.float32)
