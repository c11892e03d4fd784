"""Reasoning switched and bounded: what begins a reply, what closes it at the budget, and what of it is trained."""

import asyncio
from typing import Any

import numpy as np
import pytest

from lachesis.environments.environment import Environment
from lachesis.environments.play import play
from lachesis.environments.thinking import Thinking
from lachesis.rollout.chats.renderer import EMPTY, OPENED, Renderer
from lachesis.rollout.chats.text_chat import TextPolicy
from lachesis.rollout.chats.token_chat import TokenPolicy
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.trainer.advantages.estimator import compute_advantages
from lachesis.trainer.learner.sample import samples_of
from lachesis.trainer.run.warm_start import demonstration_samples
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.group import Group
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

TOKENIZER = build_tiny_tokenizer()
END = TOKENIZER.eos_token_id
SWITCHED = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined -%}"
    "{{ '<think>\n' if enable_thinking else '<think>\n\n</think>\n\n' }}{%- endif -%}{%- endif -%}"
)


class Asks(Environment):
    """One question."""

    rubric = Rubric(use("exact"), use("format", weight=0.5))

    def tasks(self, split: str, seed: int) -> Any:
        yield Task("6 times 7?", answer="42")


def ids(text: str) -> list[int]:
    return list(TOKENIZER.encode(text, add_special_tokens=False))


def text(tokens: Any) -> str:
    return str(TOKENIZER.decode(tokens, skip_special_tokens=False))


def asked(
    says: list[str],
    template: str = "",
    max_tokens: int = 200,
    context: int = 512,
    seed: tuple[int, ...] = (0, 0, 1, 0),
    **thinking: Any,
) -> tuple[Trajectory, list[Request]]:
    """The episode in which an engine says the texts in turn, each with an end of turn unless it has "…" there."""
    tokenizer = build_tiny_tokenizer()
    if template:
        tokenizer.chat_template = template
    left = list(says)

    def script(request: Request) -> list[int]:
        said = left.pop(0)
        return ids(said.removesuffix("…")) + ([] if said.endswith("…") else [END])

    engine = ScriptedEngine(script, context=context)
    policy = TokenPolicy(engine, Renderer(tokenizer), Sampling(max_tokens=max_tokens), context=context)
    environment = Asks(thinking=thinking)
    made = asyncio.run(play(environment, Task("6 times 7?", answer="42"), {"policy": policy}, seed))
    return asyncio.run(environment.score_trajectory(made)), engine.requests


@pytest.mark.parametrize("template", ["", SWITCHED], ids=["deaf", "switched"])
def test_on_begins_inside_reasoning_and_off_behind_an_empty_block_whoever_writes_it(template: str) -> None:
    on, (request,) = asked(["easy\n</think>\n\n42"], template, mode="on")
    assert text(request.prompt).endswith(f"<|im_start|>assistant\n{OPENED}")
    off, (request,) = asked(["42"], template, mode="off")
    assert text(request.prompt).endswith(f"<|im_start|>assistant\n{EMPTY}")
    for made in (on, off):
        assert made.rewards["policy"].score("exact") == 1.0
        (segment,) = made.segments
        assert text(segment.tokens[segment.sampled]) in ("easy\n</think>\n\n42<|im_end|>", "42<|im_end|>")
        assert (segment.mask == segment.sampled).all()
    if not template:  # what we began stands in the reply's text, as if it had been said
        assert on.completion() == "<think>\neasy\n</think>\n\n42"
        assert on.rewards["policy"].score("format") == 1.0


def test_free_is_the_template_as_it_is() -> None:
    made, (request,) = asked(["42"])
    assert text(request.prompt).endswith("<|im_start|>assistant\n")
    assert made.segments[0].extra == {}


def test_reasoning_that_goes_on_is_closed_at_the_budget_and_the_tokens_are_marked() -> None:
    made, (first, second) = asked(["abcdefghij…", "42"], mode="on", budget=5)
    assert (first.sampling.max_tokens, second.sampling.max_tokens) == (5, 195)
    assert first.sampling.seed != second.sampling.seed
    assert text(second.prompt).endswith("<think>\nabcde\n</think>\n\n")
    (segment,) = made.segments
    forced = segment.extra["forced"]
    assert text(segment.tokens[forced]) == "\n</think>\n\n"
    assert text(segment.tokens[segment.sampled]) == "abcde42<|im_end|>"
    assert not (forced & segment.sampled).any()
    assert np.isnan(segment.logprobs[forced]).all()
    assert (segment.mask == segment.sampled).all()
    assert made.completion() == "<think>\nabcde\n</think>\n\n42"
    assert made.rewards["policy"].total == 1.5
    assert (made.metrics["forced_closings"], made.stop.value) == (1.0, "done")
    Trajectory.from_json(made.to_json())


@pytest.mark.parametrize(
    ("says", "thinking", "requests", "completion"),
    [
        (
            ["ab</think>…", "42"],
            {"mode": "on", "budget": 3},
            2,
            "<think>\nab</think>42",
        ),  # closed by itself, and went on
        (["ab</think>42"], {"mode": "on", "budget": 50}, 1, "<think>\nab</think>42"),
        (["abcdefgh…", "ij"], {"budget": 4}, 2, "abcdij"),  # never began to reason: there is nothing to close
        (["<think>abcdefgh…", "42"], {"budget": 4}, 2, "<think>abc\n</think>\n\n42"),
        (["42…", "1"], {"mode": "off", "budget": 2}, 2, EMPTY + "421"),
    ],
)
def test_only_reasoning_that_is_open_is_closed(
    says: list[str], thinking: dict[str, Any], requests: int, completion: str
) -> None:
    made, sent = asked(says, **thinking)
    assert (len(sent), made.completion()) == (requests, completion)


@pytest.mark.parametrize(("limits", "why"), [({"max_tokens": 5}, "the reply"), ({"context": 26}, "the context")])
def test_where_no_room_is_left_behind_the_budget_the_reply_ends_there(limits: dict[str, int], why: str) -> None:
    made, sent = asked(["abcdefgh…"], mode="on", budget=5, **limits)
    assert (len(sent), made.stop.value) == (1, "length"), why
    assert made.segments[0].extra == {}


def test_mixed_is_one_or_the_other_and_alike_for_all_attempts_at_a_task() -> None:
    mixed = Thinking(mode="mixed")
    drawn = [{mixed.drawn((0, 0, index, sample)).mode for sample in range(4)} for index in range(200)]
    assert all(len(modes) == 1 for modes in drawn)
    assert 70 < sum(modes == {"on"} for modes in drawn) < 130
    metrics = [asked(["</think>42"], seed=(0, 0, index, 0), mode="mixed")[0].metrics["thinking"] for index in range(20)]
    assert set(metrics) == {0.0, 1.0}


def test_the_instruction_stands_where_thinking_is_on_alone() -> None:
    on, _ = asked(["</think>42"], mode="on", instruction="Think first.")
    off, _ = asked(["42"], mode="off", instruction="Think first.")
    assert on.messages["policy"][0] == {"role": "system", "content": "Think first."}
    assert off.messages["policy"][0]["role"] == "user"


def test_only_closings_are_trained_where_that_is_wanted_each_with_advantage_1() -> None:
    closed, _ = asked(["abcdefghij…", "42"], mode="on", budget=5, train="closing")
    by_itself, _ = asked(["a</think>42"], mode="on", budget=50, train="closing")
    groups = [Group(0, closed.task, (closed, by_itself))]
    (sample,) = samples_of(groups, compute_advantages(groups, "grpo"), 512)
    assert text(sample.tokens[sample.mask]) == "\n</think>\n\n"
    assert set(sample.advantages[sample.mask]) == {1.0}
    assert np.isnan(sample.logprobs[sample.mask]).all()  # type: ignore[index]


@pytest.mark.parametrize(
    ("thinking", "learned"),
    [
        ({"mode": "on"}, "why\n</think>\n\n42<|im_end|>"),
        ({"mode": "off"}, "42<|im_end|>"),
        ({}, "<think>why</think>42<|im_end|>"),
    ],
)
def test_a_demonstration_is_learned_from_where_the_reply_has_begun(thinking: dict[str, Any], learned: str) -> None:
    class Shows(Asks):
        def demonstration(self, task: Task) -> str:
            return "<think>why</think>42"

    environment = Shows(thinking=thinking)
    (sample,) = asyncio.run(
        demonstration_samples(environment, Task("6 times 7?", answer="42"), Renderer(build_tiny_tokenizer()))
    )
    assert text(sample.tokens[sample.mask]) == learned


def test_an_endpoint_is_told_the_mode_and_cannot_be_held_to_a_budget() -> None:
    policy = TextPolicy("http://localhost:1/v1", "x", Sampling())
    assert policy.open("policy", (0,), (), Thinking(mode="on"))._body({})["chat_template_kwargs"]["enable_thinking"]
    assert "chat_template_kwargs" not in policy.open("policy", (0,))._body({})
    with pytest.raises(ConfigError, match=r"config\.thinking\.budget"):
        policy.open("policy", (0,), (), Thinking(budget=5))


OPENS = """{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""


@pytest.mark.parametrize("mode", ["on", "free"])
def test_reasoning_that_the_template_opens_and_nothing_closes_is_no_answer(mode: str) -> None:
    made, _ = asked(["perhaps 41, or 42…"], OPENS, max_tokens=12, mode=mode)
    assert made.completion().startswith("<think>\nperhaps")
    assert made.rewards["policy"].score("exact") == 0.0
    closed, _ = asked(["easy\n</think>\n\n42"], OPENS, mode=mode)
    assert closed.completion() == "<think>\neasy\n</think>\n\n42"
    assert closed.rewards["policy"].score("exact") == 1.0
