"""Mapping from the functions of Tülu's instruction-following rewards to kinds of instruction."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Function(NamedTuple):
    """The equivalent of a Tülu function.

    Attributes:
        constraint: the kind of instruction.
        renamed: Tülu's parameter → parameter of the kind.
        fixed: parameters that Tülu's function implies.
    """

    constraint: str
    renamed: Mapping[str, str] = {}
    fixed: Mapping[str, Any] = {}


FUNCTIONS: Mapping[str, Function] = {
    "verify_keywords": Function("keywords:existence", {"keyword_list": "keywords"}),
    "verify_keyword_frequency": Function(
        "keywords:frequency", {"word": "keyword", "N": "frequency"}, {"relation": "exactly", "whole": True}
    ),
    "validate_forbidden_words": Function("keywords:forbidden_words"),
    "verify_letter_frequency": Function(
        "keywords:letter_frequency", {"N": "let_frequency"}, {"let_relation": "exactly", "match_case": True}
    ),
    "verify_paragraph_count": Function("length_constraints:number_paragraphs", {"N": "num_paragraphs"}),
    "validate_word_constraint": Function(
        "length_constraints:number_words", {"N": "num_words", "quantifier": "relation"}, {"between_spaces": True}
    ),
    "verify_sentence_constraint": Function(
        "length_constraints:number_sentences", {"N": "num_sentences", "quantifier": "relation"}
    ),
    "validate_paragraphs": Function(
        "length_constraints:nth_paragraph_first_word", {"N": "num_paragraphs", "i": "nth_paragraph"}
    ),
    "verify_postscript": Function("detectable_content:postscript"),
    "validate_placeholders": Function("detectable_content:number_placeholders", {"N": "num_placeholders"}),
    "verify_bullet_points": Function("detectable_format:number_bullet_lists", {"N": "num_bullets"}),
    "validate_title": Function("detectable_format:title"),
    "validate_choice": Function("detectable_format:constrained_response"),
    "validate_highlighted_sections": Function("detectable_format:number_highlighted_sections", {"N": "num_highlights"}),
    "validate_sections": Function(
        "detectable_format:multiple_sections",
        {"N": "num_sections", "section_splitter": "section_spliter"},
        {"relation": "exactly"},
    ),
    "validate_json_format": Function("detectable_format:json_format"),
    "validate_repeat_prompt": Function("combination:repeat_prompt", {"original_prompt": "prompt_to_repeat"}),
    "validate_two_responses": Function("combination:two_responses"),
    "validate_uppercase": Function("change_case:english_capital"),
    "validate_lowercase": Function("change_case:english_lowercase"),
    "validate_frequency_capital_words": Function(
        "change_case:capital_word_frequency", {"N": "capital_frequency", "quantifier": "capital_relation"}
    ),
    "validate_end": Function("startend:end_checker"),
    "validate_quotation": Function("startend:quotation"),
    "validate_no_commas": Function("punctuation:no_comma"),
    "validate_response_language": Function("language:response_language"),
}
"""By name."""
