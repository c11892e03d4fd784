import pickle
from typing import Any

import pytest
from jinja2 import TemplateError, Undefined
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import PreTrainedTokenizerFast

from lachesis.rollout.chats.chat_template import _Environment, render
from lachesis.rollout.chats.chat_tokenizer import ChatTokenizer
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.models.tiny import TEMPLATE, build_tiny_tokenizer
from lachesis.verifiers.errors import ConfigError, DataError

# Uses all that templates have beside Jinja's own: tags, filters, globals, and the messages as they see them.
EVERYTHING = """
{%- set space = namespace(count=0, self=1) %}
{%- for message in messages %}
    {%- if message.role == 'skipped' %}{% continue %}{% endif %}
    {%- set space.count = space.count + 1 %}
  {% if 'content' not in message %}<none>{% endif %}
    {{- message | tojson }}
    {%- generation %}{{ message.content }}{% endgeneration %}
    {{- message.reasoning_content }}|{{ message.thinking }}|
    {%- if loop.index == 4 %}{% break %}{% endif %}
{% endfor %}
{{ dict(a=1, **dict.fromkeys(['b'], 2)) | tojson(indent=2, sort_keys=true) }} {{ '<ä' | tojson(ensure_ascii=true) }}
{{ space.count }} {{ tools | tojson if tools is not none else 'no tools' }} {{ documents is none }} {{ eos_token }}
{{ strftime_now('%Y') }} {{ enable_thinking }} {{ bos_token is defined }} {{ add_generation_prompt }}
"""
HERMES = TEMPLATE.read_text(encoding="utf-8")
TOOLS = [{"type": "function", "function": {"name": "look", "description": "d <b>", "parameters": {}}}]
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Äh <|im_end|> & 'so' \u2028"},
    {"role": "user", "content": "a", "name": None},
    {"role": "skipped", "content": "b"},
    {
        "role": "assistant",
        "content": "c",
        "reasoning": "why",
        "tool_calls": [{"function": {"name": "look", "arguments": {"x": 1}}}],
    },
    {"role": "assistant", "content": None, "thinking": "", "reasoning_content": None},
    {"role": "user", "content": "behind the break"},
]


def tokenizer_with(template: Any) -> PreTrainedTokenizerFast:
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(
    ("template", "messages"),
    [(EVERYTHING, CONVERSATION), (HERMES, CONVERSATION[:2] + CONVERSATION[3:4])],
    ids=["everything", "hermes"],
)
@pytest.mark.parametrize("tools", [[], TOOLS])
@pytest.mark.parametrize("ask", [True, False])
def test_text_is_that_of_transformers(template: str, messages: Any, tools: list[Any], ask: bool) -> None:
    tokenizer = tokenizer_with(template)
    options = {"enable_thinking": True, "eos_token": "<mine>"} if ask else {}
    found = ChatTokenizer.of(tokenizer).render(messages, tools, ask, options)
    assert found == tokenizer.apply_chat_template(
        messages, tools=tools or None, add_generation_prompt=ask, tokenize=False, **options
    )


def test_a_model_with_a_template_for_tools_uses_it_for_conversations_with_tools() -> None:
    tokenizer = tokenizer_with({"default": "plain {{ messages | length }}", "tool_use": "tools {{ tools | length }}"})
    found = ChatTokenizer.of(tokenizer)
    for tools in ([], TOOLS):
        said = tokenizer.apply_chat_template(CONVERSATION[:2], tools=tools or None, tokenize=False)
        assert found.render(CONVERSATION[:2], tools, False, {}) == said
    with pytest.raises(ConfigError, match="no default"):
        ChatTokenizer.of(tokenizer_with({"tool_use": "x", "rag": "y"}))


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no') }}",
        "{% for",
        "{% generation %}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ namespace(_private=1) }}",
        "{% set a = namespace() %}{% set a.__class__ = 1 %}",
        "{{ dict.__class__.__base__ }}",
        "{{ missing.field }}",
        "{{ 1 + 'a' }}",
    ],
)
def test_a_template_is_refused_like_by_transformers(template: str) -> None:
    said = [{"role": "user", "content": "a"}]
    with pytest.raises((TemplateError, TypeError)) as theirs:
        tokenizer_with(template).apply_chat_template(said, tokenize=False)
    with pytest.raises((TemplateError, TypeError)) as ours:
        render(template, said, None)
    assert issubclass(ours.type, TypeError) == issubclass(theirs.type, TypeError)


class Text(str):
    pass


class Fields(dict[str, Any]):
    pass


LOOP = LoopContext(iter(["a", "b"]), Undefined)


@pytest.mark.parametrize(
    "value",
    [
        {"content": "x", "items": 1, "format": 2, "__class__": 3},
        Fields(content="x", keys=1),
        "text",
        Text("text"),
        ["content"],
        LOOP,
        None,
        7,
        str,
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_short_way_to_an_attribute_ends_where_the_sandbox_does(value: Any) -> None:
    short, sandbox = _Environment(), ImmutableSandboxedEnvironment()
    for name in sorted({*dir(value), *dir(dict), *dir(str), *dir(LoopContext), "content", "absent", "_x", "Content"}):
        found, expected = short.getattr(value, name), sandbox.getattr(value, name)
        assert type(found) is type(expected), name
        if isinstance(found, Undefined):
            assert found._undefined_message == expected._undefined_message
            assert found._undefined_exception is expected._undefined_exception
        else:
            assert found == expected or callable(found), name


def test_messages_are_not_changed_by_rendering() -> None:
    before = pickle.dumps(CONVERSATION)
    render("{{ messages | tojson }}", CONVERSATION, None)
    assert pickle.dumps(CONVERSATION) == before


@pytest.mark.parametrize("post", [False, True])
def test_a_tokenizer_that_travelled_gives_the_same_ids(post: bool) -> None:
    tokenizer = tokenizer_with(HERMES)
    if post:
        tokenizer.add_bos_token = True
    here, there = Renderer(tokenizer), Renderer(pickle.loads(pickle.dumps(ChatTokenizer.of(tokenizer))))
    messages = [{"role": "user", "content": "12+34= ä \U0001f600 <|im_end|>"}]
    assert there.prompt(messages, TOOLS).tolist() == here.prompt(messages, TOOLS).tolist()
    assert there.reply("<think>\nx\n</think>\n\n46").tolist() == here.reply("<think>\nx\n</think>\n\n46").tolist()
    assert (there.stop_ids, there.vocabulary, there.begin.tolist(), there.end_of_turn) == (
        here.stop_ids,
        here.vocabulary,
        here.begin.tolist(),
        here.end_of_turn,
    )


def test_a_tokenizer_that_travelled_cannot_be_saved(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="loaded the tokenizer"):
        Renderer(ChatTokenizer.of(build_tiny_tokenizer())).save(tmp_path)


def test_a_model_without_any_end_of_a_turn_is_named() -> None:
    tokenizer = tokenizer_with("{% for message in messages %}{{ message.content }}{% endfor %}")
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="ends a turn"):
        Renderer(tokenizer).reply("x")
