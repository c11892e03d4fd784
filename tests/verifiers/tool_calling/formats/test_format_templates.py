"""What the formats write against the models' own encoders, where these are Python, and against xgrammar's grammars."""

import json
import re
from typing import Any

import pytest

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.declaration import declarations
from lachesis.verifiers.tool_calling.formats.format import tool_format

TOOLS = declarations(
    [
        {
            "name": "f",
            "description": "Finds.",
            "parameters": {
                "type": "object",
                "properties": {
                    "s": {"type": "string", "description": "What to find"},
                    "n": {"type": "integer", "default": 3},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                    "o": {"type": "object"},
                    "l": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["s"],
            },
        },
        {"name": "g", "description": "Stops.", "parameters": {"type": "object", "properties": {}}},
    ]
)
CALLS = [ToolCall("f", {"s": 'a b\né "q"', "n": 1, "l": ["x", "y"]}), ToolCall("f", {"s": "c"})]
OPENAI = [{"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)} for call in CALLS]
GRAMMARS = {
    "hermes": ("qwen_3", ""),
    "qwen_coder": ("qwen_3_coder", ""),
    "llama": ("llama", ""),
    "deepseek_v3": ("deepseek_r1", ""),
    "deepseek_v31": ("deepseek_v3_1", ""),
    "deepseek_v32": ("deepseek_v3_2", "\n\n"),
    "glm47": ("glm_4_7", ""),
    "kimi_k2": ("kimi", ""),
    "minimax_m2": ("minimax", "\n</think>\n\n\n\n\n"),
}
"""Format → xgrammar's name of the model, and what its grammar has before the calls."""


@pytest.mark.parametrize("name", GRAMMARS)
def test_xgrammars_grammar_of_the_model_accepts_what_is_written(name: str) -> None:
    xgrammar, tags = pytest.importorskip("xgrammar"), pytest.importorskip("xgrammar.builtin_structural_tag")
    accepts = pytest.importorskip("xgrammar.testing")._is_grammar_accept_string
    model, before = GRAMMARS[name]
    tools = [tool.to_json() for tool in TOOLS.values()]
    tag = tags.get_model_structural_tag(model, tools=tools, tool_choice="required", reasoning=False)
    grammar = xgrammar.Grammar.from_structural_tag(tag)
    for calls in (CALLS, CALLS[:1], [ToolCall("f", {"s": "", "o": {"a": [1, None, True]}})]):
        assert accepts(grammar, before + tool_format(name).write_calls(calls))
    assert not accepts(grammar, before + tool_format(name).write_calls([ToolCall("h", {})]))


def test_deepseek_v32_writes_calls_and_results_as_the_models_encoder() -> None:
    encoding = pytest.importorskip("vllm.tokenizers.deepseek_v32_encoding")
    form = tool_format("deepseek_v32")
    messages = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "Wait.", "tool_calls": [{"function": one} for one in OPENAI[:1]]},
        {"role": "tool", "content": "here"},
    ]
    turn = f"Wait.\n\n{form.write_calls(CALLS[:1])}"
    assert encoding.encode_messages(messages, "chat") == (
        f"<｜begin▁of▁sentence｜><｜User｜>Where?<｜Assistant｜></think>{turn}<｜end▁of▁sentence｜>"
        f"\n\n{form.write_result('f', 'here')}\n\n</think>"
    )
    assert form.read(turn).calls == tuple(CALLS[:1])


def mistral_encodes(version: str, calls: list[dict[str, str]]) -> str:
    """A question, calls and their results as text by Mistral's own tokenizer."""
    protocol = "mistral_common.protocol.instruct"
    said, asked = pytest.importorskip(f"{protocol}.messages"), pytest.importorskip(f"{protocol}.request")
    called = pytest.importorskip(f"{protocol}.tool_calls")
    tokenizers = pytest.importorskip("mistral_common.tokens.tokenizers.mistral")
    ids = [f"abcdefgh{number}" for number in range(len(calls))]
    made = [called.ToolCall(id=key, function=called.FunctionCall(**one)) for key, one in zip(ids, calls, strict=True)]
    results = [said.ToolMessage(tool_call_id=key, name="f", content="it is here") for key in ids]
    messages = [said.UserMessage(content="Where?"), said.AssistantMessage(content=None, tool_calls=made), *results]
    tokenizer = getattr(tokenizers.MistralTokenizer, version)()
    encoded = tokenizer.encode_chat_completion(asked.ChatCompletionRequest(messages=messages))
    keep = pytest.importorskip("mistral_common.tokens.tokenizers.base").SpecialTokenPolicy.KEEP
    text = tokenizer.instruct_tokenizer.tokenizer.decode(encoded.tokens, special_token_policy=keep)
    return str(text).replace("▁", " ")


def test_mistral_lists_calls_and_results_as_its_tokenizers() -> None:
    form = tool_format("mistral_list")
    old = mistral_encodes("v2", OPENAI[1:])
    assert old.endswith(f"[/INST]{form.write_calls(CALLS[1:])}</s>{form.write_result('f', 'it is here')}")
    for version in ("v3", "v7"):
        encoded = mistral_encodes(version, OPENAI)
        turn = encoded.partition("[/INST]")[2].partition("[TOOL_RESULTS]")[0]
        assert form.read(turn).calls == tuple(CALLS)
        assert re.sub(r', "id": "\w+"', "", turn) == f"{form.write_calls(CALLS)}</s>"


@pytest.fixture(scope="module")
def harmony() -> Any:
    """Harmony's library, whose vocabulary is downloaded."""
    library = pytest.importorskip("openai_harmony")
    try:
        library.load_harmony_encoding("HarmonyGptOss")
    except library.HarmonyError as error:
        pytest.skip(f"no vocabulary: {error}; set TIKTOKEN_ENCODINGS_BASE to a folder with o200k_base.tiktoken")
    return library


def test_harmony_writes_tools_calls_and_results_as_its_library(harmony: Any) -> None:
    form, encoding = tool_format("harmony"), harmony.load_harmony_encoding("HarmonyGptOss")
    tool = harmony.ToolDescription.new("f", "Finds.", parameters=TOOLS["f"].parameters)
    developer = harmony.DeveloperContent.new().with_function_tools([tool])
    assistant = harmony.Message.from_role_and_content
    call = assistant(harmony.Role.ASSISTANT, OPENAI[0]["arguments"]).with_channel("commentary")
    author = harmony.Author.new(harmony.Role.TOOL, "functions.f")
    result = harmony.Message.from_author_and_content(author, "here").with_channel("commentary")
    messages = [
        harmony.Message.from_role_and_content(harmony.Role.DEVELOPER, developer),
        call.with_recipient("functions.f").with_content_type("<|constrain|>json"),
        result.with_recipient("assistant"),
    ]
    rendered = encoding.decode(encoding.render_conversation(harmony.Conversation.from_messages(messages)))
    assert rendered == (
        f"<|start|>developer<|message|>{form.system_prompt([TOOLS['f']])}<|end|>"
        f"<|start|>assistant{form.write_calls(CALLS[:1])}{form.write_result('f', 'here')}"
    )
