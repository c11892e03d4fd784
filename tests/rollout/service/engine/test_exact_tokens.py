import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.service.engine.exact_tokens import Repair, repaired
from lachesis.verifiers.errors import DataError

Rooms = Callable[..., Any]
QUESTION = [{"role": "user", "content": "what is the sum of 2 and 2?"}]


def asked(room: Any, *conversations: list[dict[str, Any]], **more: Any) -> list[Any]:
    """The conversations, each with the reply that the engine gave; a user's later questions are asked in order."""

    async def converse() -> list[Any]:
        async with room.client() as client:
            return [await played(room, client, messages, more) for messages in conversations]

    return asyncio.run(converse())


async def played(room: Any, client: Any, messages: list[dict[str, Any]], more: dict[str, Any]) -> list[dict[str, Any]]:
    so_far: list[dict[str, Any]] = []
    for message in messages:
        so_far.append(message)
        if message["role"] == "user":
            answer = await room.chat(client, so_far, **more)
            so_far.append(answer["choices"][0]["message"])
    return so_far


def questions(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


def sampled_rows(room: Any) -> list[tuple[list[int], list[int]]]:
    """Prompt and sampled ids of every remembered reply, the oldest first."""
    turns = sorted(room.memory._turns, key=lambda turn: room.engine.requests.index(request_of(room, turn)))
    return [(turn.tokens()[: turn.start].tolist(), turn.completion.tokens.tolist()) for turn in turns]


def request_of(room: Any, turn: Any) -> Any:
    prompt = turn.tokens()[: turn.start]
    return next(request for request in room.engine.requests if np.array_equal(request.prompt, prompt))


def check(room: Any, repair: Repair) -> None:
    """What is trained is what was sampled, after the very ids that it was sampled after."""
    assert any(holds(turn, repair) for turn in room.memory._turns)
    assert np.isnan(repair.logprobs[~repair.sampled]).all()
    assert (repair.versions[~repair.sampled] == -1).all()


def holds(turn: Any, repair: Repair) -> bool:
    """Whether the repair is of the conversation that ends with ``turn``."""
    ids = turn.tokens()
    both = min(ids.size, repair.tokens.size)
    sampled = np.zeros(repair.tokens.size, bool)
    logprobs, versions = np.full(sampled.size, np.nan, np.float32), np.full(sampled.size, -1)
    for each in turn.chain():
        span = slice(each.start, max(each.start, min(each.size, both)))
        count = span.stop - span.start
        sampled[span] = True
        logprobs[span], versions[span] = each.completion.logprobs[:count], each.completion.versions[:count]
    return bool(
        np.array_equal(ids[:both], repair.tokens[:both])
        and np.array_equal(sampled, repair.sampled)
        and (repair.mask <= sampled).all()
        and np.array_equal(logprobs, repair.logprobs, equal_nan=True)
        and np.array_equal(versions, repair.versions)
    )


def test_a_chat_based_environments_tokens_are_wrong_without_repair_and_exact_with_it(room: Rooms) -> None:
    table = room(say=lambda request: f"the answer is the sum of {len(table.engine.requests)} hello")
    conversations = asked(table, *[QUESTION] * 32)
    posted = [table.tokenized(messages) for messages in conversations]
    rows = sampled_rows(table)
    wrong = sum(tokens[: len(p) + len(s)] != p + s for (tokens, _), (p, s) in zip(posted, rows, strict=True))
    repairs = [repaired(table.memory, tokens, mask, None) for tokens, mask in posted]
    still = sum(repair.tokens.tolist() != p + s for repair, (p, s) in zip(repairs, rows, strict=True))
    trained = sum(repair.tokens[repair.mask].tolist() != s for repair, (_, s) in zip(repairs, rows, strict=True))
    print(f"sequences whose ids are not those that were sampled: {wrong} of 32, after repair {still}")
    assert (wrong, still, trained) == (32, 0, 0)
    assert (table.memory.counts.repaired, table.memory.counts.unprovable) == (32, 0)
    for repair in repairs:
        check(table, repair)
        assert repair.versions[repair.mask].tolist() == [3] * int(repair.mask.sum())


def test_whatever_ids_are_sampled_a_repair_is_the_sample_that_the_text_came_from(room: Rooms) -> None:
    table = room()
    rng = np.random.default_rng(0)
    stop = table.tokenizer.eos_token_id

    def random_ids(request: Any) -> tuple[list[int], list[float]]:
        ids = [int(token) for token in rng.integers(0, len(table.tokenizer), rng.integers(0, 12)) if token != stop]
        return [*ids, stop], [-1.0] * (len(ids) + 1)

    table.engine._script = random_ids
    conversations = asked(table, *[QUESTION] * 200)
    repairs = [repaired(table.memory, *table.tokenized(messages), None) for messages in conversations]
    truths: dict[str, set[tuple[int, ...]]] = {}
    for _, ids in sampled_rows(table):
        truths.setdefault(table.renderer.decode(np.array(ids)), set()).add(tuple(ids))
    for repair, (_, reply) in zip(repairs, conversations, strict=True):
        if repair.outcome != "unprovable":
            assert {tuple(repair.tokens[repair.mask].tolist())} == truths[reply["content"]]
    assert sum(repair.outcome != "unprovable" for repair in repairs) > 150


def test_ids_from_generate_are_exact_and_their_logprobs_and_versions_are_known(room: Rooms) -> None:
    table = room(say=lambda request: f"hello {len(table.engine.requests)}")
    prompt = table.renderer.prompt(QUESTION).tolist()

    async def generate() -> Any:
        async with table.client() as client:
            body = {"prompt": {"prompt_token_ids": prompt}, "logprobs": 0, "n": 4, "max_tokens": 60}
            return await (await client.post("/generate", json=body)).json()

    answer = asyncio.run(generate())
    for ids, entries in zip(answer["token_ids"], answer["logprobs"], strict=True):
        logprobs = [1.0] * len(prompt) + [next(iter(entry[0].values())) for entry in entries]
        repair = repaired(table.memory, prompt + ids, [-100] * len(prompt) + ids, logprobs)
        check(table, repair)
        assert (repair.outcome, repair.dropped, repair.wire_logprobs()) == ("exact", 0, logprobs)
        assert repair.tokens[repair.mask].tolist() == ids


@pytest.mark.parametrize("trains_all", [False, True])
def test_all_turns_that_an_environment_trains_are_repaired(room: Rooms, trains_all: bool) -> None:
    table = room(["hello the sum", "the answer is", "is the answer"])
    (messages,) = asked(table, questions("a", "the answer?", "hello"))
    repair = repaired(table.memory, *table.tokenized(messages, trains_all), None)
    check(table, repair)
    assert (repair.outcome, table.memory.counts.continued) == ("repaired", 2)
    trained = [ids for _, ids in sampled_rows(table)][0 if trains_all else 2 :]
    assert repair.tokens[repair.mask].tolist() == [token for ids in trained for token in ids]


def test_an_earlier_turn_may_be_posted_after_the_conversation_went_on(room: Rooms) -> None:
    table = room(["hello the sum", "the answer is"])
    (messages,) = asked(table, questions("a", "b"))
    repair = repaired(table.memory, *table.tokenized(messages[:2]), None)
    assert repair.tokens[repair.mask].tolist() == sampled_rows(table)[0][1]


@pytest.mark.parametrize("change", [str.strip, str.lstrip, lambda text: text + "\n"])
def test_white_space_around_a_reply_does_not_hide_what_was_sampled(room: Rooms, change: Callable[[str], str]) -> None:
    table = room([" \nthe answer is 4 \n"])
    ((question, reply),) = asked(table, QUESTION)
    messages = [question, {"role": "assistant", "content": change(reply["content"])}]
    repair = repaired(table.memory, *table.tokenized(messages), None)
    check(table, repair)
    assert (repair.outcome, repair.tokens[repair.mask].tolist()) == ("repaired", sampled_rows(table)[0][1])


def test_a_reply_that_differs_inside_is_not_repaired(room: Rooms) -> None:
    table = room(["the  answer is 4"])
    ((question, _),) = asked(table, QUESTION)
    messages = [question, {"role": "assistant", "content": "the answer is 4"}]
    tokens, mask = table.tokenized(messages)
    repair = repaired(table.memory, tokens, mask, None)
    assert (repair.outcome, repair.tokens.tolist(), repair.wire_mask()) == ("unprovable", tokens, mask)
    assert "differs" in repair.reason
    assert not repair.sampled.any()


def test_a_prompt_that_was_never_sampled_from_is_not_repaired(room: Rooms) -> None:
    table = room()
    ((_, reply),) = asked(table, QUESTION)
    repair = repaired(table.memory, *table.tokenized([{"role": "user", "content": "else"}, reply]), None)
    assert "no remembered conversation" in repair.reason


def test_samples_that_read_the_same_with_other_ids_are_not_told_apart_by_text(room: Rooms) -> None:
    table = room(["the answer is the answer", "the answer is the answer"])
    first, _ = asked(table, QUESTION, QUESTION)
    rows = sampled_rows(table)
    assert rows[0][0] == rows[1][0]
    assert rows[0][1] != rows[1][1]
    repair = repaired(table.memory, *table.tokenized(first), None)
    assert (repair.outcome, "2 different ids" in repair.reason) == ("unprovable", True)


def test_equal_ids_of_a_text_that_was_sampled_with_others_too_need_the_logprobs(room: Rooms) -> None:
    table = room(["the answer is the answer", "the answer is the answer"])
    asked(table, QUESTION, QUESTION)
    one, other = (turn for turn in table.memory._turns)
    prompt, ids = one.tokens()[: one.start].tolist(), one.completion.tokens.tolist()
    mask = [-100] * len(prompt) + ids
    without = repaired(table.memory, prompt + ids, mask, None)
    theirs = [1.0] * len(prompt) + [-9.0] * len(ids)
    right = [1.0] * len(prompt) + one.completion.logprobs.tolist()
    assert other.text == one.text
    assert [without.outcome, repaired(table.memory, prompt + ids, mask, theirs).outcome] == ["unprovable"] * 2
    assert repaired(table.memory, prompt + ids, mask, right).outcome == "exact"


def test_of_equal_samples_the_newest_counts_unless_the_logprobs_are_those_of_another(room: Rooms) -> None:
    table = room(["hello"] * 6, whole=True)
    first, *_ = asked(table, *[QUESTION] * 6)
    assert len(table.memory) == 4
    oldest, *_, newest = table.memory.alike(next(iter(table.memory._turns)))
    tokens, mask = (row[: oldest.size] for row in table.tokenized(first))
    for turn, logprobs in (newest, None), (oldest, [1.0] * oldest.start + oldest.completion.logprobs.tolist()):
        repair = repaired(table.memory, tokens, mask, logprobs)
        assert repair.outcome == "exact"
        assert repair.logprobs[repair.mask].tolist() == turn.completion.logprobs.tolist()
    repair = repaired(table.memory, *table.tokenized(first), None)
    assert repair.logprobs[repair.mask].tolist() == newest.completion.logprobs.tolist()


def test_a_stop_token_that_the_environment_left_out_is_trained_if_it_was_sampled(room: Rooms) -> None:
    table = room(["the answer is 4"])
    (messages,) = asked(table, QUESTION)
    tokens, mask = table.tokenized(messages)
    end = len(tokens) - 2  # <|im_end|>, and the template's new line
    assert tokens[end] == table.tokenizer.eos_token_id
    repair = repaired(table.memory, tokens[:end], mask[:end], None)
    check(table, repair)
    assert repair.tokens[repair.mask].tolist()[-1] == table.tokenizer.eos_token_id


def test_a_stop_token_that_the_environment_added_is_not_trained(room: Rooms) -> None:
    table = room(["the answer is 4"], ends=False)
    (messages,) = asked(table, QUESTION)
    repair = repaired(table.memory, *table.tokenized(messages), None)
    check(table, repair)
    assert table.tokenizer.eos_token_id not in repair.tokens[repair.mask].tolist()


def test_ids_that_were_cut_off_are_exact_as_far_as_they_go(room: Rooms) -> None:
    table = room(["the answer is the answer"])
    asked(table, QUESTION)
    ((prompt, ids),) = sampled_rows(table)
    tokens = prompt + ids[:5]
    repair = repaired(table.memory, tokens, [-100] * len(prompt) + ids[:5], None)
    check(table, repair)
    assert (repair.outcome, repair.tokens.tolist()) == ("exact", tokens)


def test_text_that_was_cut_off_and_encoded_again_is_not_repaired(room: Rooms) -> None:
    table = room(["the answer is hello the answer"])
    ((question, _),) = asked(table, QUESTION)
    tokens, mask = table.tokenized([question, {"role": "assistant", "content": "the answer is"}])
    repair = repaired(table.memory, tokens[:-2], mask[:-2], None)
    assert (repair.outcome, "cut off" in repair.reason) == ("unprovable", True)


def test_a_text_that_is_one_sample_and_the_beginning_of_another_needs_its_end(room: Rooms) -> None:
    table = room(["the answer is", "the answer is hello"])
    short, _ = asked(table, QUESTION, QUESTION)
    tokens, mask = table.tokenized(short)
    assert repaired(table.memory, tokens, mask, None).outcome == "repaired"
    assert repaired(table.memory, tokens[:-2], mask[:-2], None).outcome == "unprovable"


def test_a_part_of_a_reply_cannot_be_trained_where_its_ids_are_others(room: Rooms) -> None:
    table = room(["the answer is hello the answer"])
    (messages,) = asked(table, QUESTION)
    tokens, mask = table.tokenized(messages)
    mask[-6:] = [-100] * 6
    assert "a part of a reply" in repaired(table.memory, tokens, mask, None).reason


def test_what_the_mask_trains_of_the_prompt_is_left_out_and_counted(room: Rooms) -> None:
    table = room(["the answer is 4"], whole=True)
    (messages,) = asked(table, QUESTION)
    tokens, mask = table.tokenized(messages)
    repair = repaired(table.memory, tokens, tokens, None)
    check(table, repair)
    assert (repair.outcome, repair.dropped) == ("repaired", len(sampled_rows(table)[0][0]) + 1)
    assert repair.tokens[repair.mask].tolist() == sampled_rows(table)[0][1]
    assert mask != tokens


def test_turns_of_another_temperature_are_not_trained_in_one_sequence(room: Rooms) -> None:
    table = room(["hello", "the answer"])

    async def converse() -> list[Any]:
        async with table.client() as client:
            messages = questions("a")
            for temperature in (0.5, 1.5):
                answer = await table.chat(client, messages, temperature=temperature)
                messages += [answer["choices"][0]["message"], *questions("b")]
            return messages[:-1]

    repair = repaired(table.memory, *table.tokenized(asyncio.run(converse()), True), None)
    check(table, repair)
    assert (repair.temperature, repair.tokens[repair.mask].tolist()) == (1.5, sampled_rows(table)[1][1])
    assert repair.dropped == len(sampled_rows(table)[0][1])


def test_a_conversation_that_the_environment_changed_trains_only_what_follows(room: Rooms) -> None:
    table = room([" hello ", "the answer"])

    async def converse() -> list[Any]:
        async with table.client() as client:
            messages = questions("a")
            await table.chat(client, messages)
            messages += [{"role": "assistant", "content": "hello"}, *questions("b")]  # stripped
            answer = await table.chat(client, messages)
            return [*messages, answer["choices"][0]["message"]]

    repair = repaired(table.memory, *table.tokenized(asyncio.run(converse()), True), None)
    check(table, repair)
    assert (table.memory.counts.continued, repair.dropped > 0) == (0, True)
    assert repair.tokens[repair.mask].tolist() == sampled_rows(table)[1][1]


@pytest.mark.parametrize("back", ["", "</answer>"])
def test_a_stop_string_was_sampled_whether_the_environment_puts_it_back_or_not(room: Rooms, back: str) -> None:
    table = room(["the <b>answer</b></answer> is"])
    ((question, reply),) = asked(table, QUESTION, stop=["</answer>"])
    assert reply["content"] == "the <b>answer</b>"
    messages = [question, {"role": "assistant", "content": reply["content"] + back}]
    repair = repaired(table.memory, *table.tokenized(messages), None)
    check(table, repair)
    assert table.renderer.decode(repair.tokens[repair.mask]) == "the <b>answer</b></answer>"


def test_user_text_that_spells_control_tokens_is_repaired_to_the_ids_that_the_engine_read(room: Rooms) -> None:
    table = room(["the answer"])
    (messages,) = asked(table, questions("a<|im_end|>\n<|im_start|>assistant\nb"))
    tokens, mask = table.tokenized(messages)
    repair = repaired(table.memory, tokens, mask, None)
    check(table, repair)
    ends = table.tokenizer.eos_token_id
    assert (tokens.count(ends), repair.tokens.tolist().count(ends)) == (3, 2)


@pytest.mark.parametrize("filters", [{"top_p": 0.9}, {"top_k": 5}])
def test_logprobs_of_a_filtered_distribution_count_as_unknown(room: Rooms, filters: dict[str, Any]) -> None:
    table = room(["the answer is 4"])
    (messages,) = asked(table, QUESTION, **filters)
    repair = repaired(table.memory, *table.tokenized(messages), None)
    assert (repair.outcome, set(repair.wire_logprobs())) == ("repaired", {1.0})
    assert repair.tokens[repair.mask].tolist() == sampled_rows(table)[0][1]
    assert set(repair.versions[repair.mask].tolist()) == {3}


@pytest.mark.parametrize("begins", [0, 1, 2])
def test_a_token_for_the_beginning_may_be_missing_or_be_there_twice(room: Rooms, begins: int) -> None:
    table = room(["the answer is 4"])
    begin = table.begin_with("<|endoftext|>")
    (messages,) = asked(table, QUESTION)
    tokens, mask = table.tokenized(messages)
    assert tokens[0] == begin != tokens[1]
    repair = repaired(table.memory, [begin] * begins + tokens[1:], [-100] * begins + mask[1:], None)
    check(table, repair)
    assert (repair.outcome, repair.tokens.tolist()[:2]) == ("repaired", tokens[:2])


def test_an_environment_that_completes_text_and_encodes_it_again_is_repaired(room: Rooms) -> None:
    table = room([" the answer is hello"])
    table.begin_with("<|endoftext|>")

    async def complete() -> str:
        async with table.client() as client:
            body = {"model": "policy", "prompt": "what is the number?", "max_tokens": 99}
            answer = await (await client.post("/v1/completions", json=body)).json()
            return str(answer["choices"][0]["text"])

    completion = asyncio.run(complete())
    prompt = table.tokenizer("what is the number?")["input_ids"]
    tokens = table.tokenizer("what is the number?" + completion)["input_ids"]
    repair = repaired(table.memory, tokens, [-100] * len(prompt) + tokens[len(prompt) :], None)
    check(table, repair)
    assert repair.tokens[repair.mask].tolist() == sampled_rows(table)[0][1] != tokens[len(prompt) :]


def test_where_two_conversations_have_the_ids_the_one_that_sampled_more_of_them_counts(room: Rooms) -> None:
    table = room(["the answer is hello"], whole=True)
    prompt = table.renderer.written("what?").tolist()
    ids = table.sampled("the answer is hello")

    async def generate() -> None:
        async with table.client() as client:
            for cut in (0, 3):
                table.say = lambda request, cut=cut: table.renderer.decode(np.array(ids[cut:-1]), ())
                body = {"prompt": {"prompt_token_ids": prompt + ids[:cut]}, "max_tokens": 99}
                await client.post("/generate", json=body)

    asyncio.run(generate())
    repair = repaired(table.memory, prompt + ids, [-100] * len(prompt) + ids, None)
    assert (len(table.memory), repair.outcome, repair.dropped) == (2, "exact", 0)


def test_lengths_that_differ_impossible_ids_and_nothing_to_train_are_refused(room: Rooms) -> None:
    memory = room().memory
    bad: list[Any] = [([1, 2], [1], None), ([1, 2], [1, 2], [0.0]), ([1, 2], [-100, -100], None)]
    bad += [([1 << 31], [1], None), ([-1], [1], None)]
    for tokens, mask, logprobs in bad:
        with pytest.raises(DataError):
            repaired(memory, tokens, mask, logprobs)
    assert memory.counts.unprovable == 0


REPLIES = st.lists(st.sampled_from(["the", " answer", " ", "\n", "4", "<think>", "</think>", "é", "is"]), max_size=6)


@given(st.lists(REPLIES, min_size=1, max_size=4), st.data())
def test_whatever_is_posted_nothing_is_trained_that_was_not_sampled(replies: list[list[str]], data: Any) -> None:
    table = ROOMS[0](["".join(reply) for reply in replies])
    conversations = asked(table, *[QUESTION] * len(replies))
    tokens, mask = table.tokenized(data.draw(st.sampled_from(conversations)))
    cut = data.draw(st.integers(1, len(tokens)))
    tokens, mask = tokens[:cut], [data.draw(st.sampled_from([value, value, value, -100])) for value in mask[:cut]]
    if all(value == -100 for value in mask):
        return
    repair = repaired(table.memory, tokens, mask, None)
    if repair.outcome != "unprovable":
        if repair.tokens.size > len(tokens) or repair.outcome == "repaired":
            assert repair.mask.any()
        check(table, repair)


ROOMS: list[Rooms] = []


@pytest.fixture(autouse=True)
def _rooms(room: Rooms) -> None:
    ROOMS[:] = [room]
