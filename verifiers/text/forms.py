"""Catalogue of answer forms: LaTeX, tags, brackets, Markdown, data formats, programming-language literals."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..json_data.text import NotJson, json_key, read_json

SLOT = "VALUE"
"""Placeholder for the value in a shape."""
MARKS = frozenset("[](){}<>|*_~`\"'")
"""Brackets and quotes; if the text read as a value contains one, it may include extra delimiters."""


@dataclass(frozen=True)
class Form:
    """One way to write an answer.

    Attributes:
        name: unique name of the form.
        words: short description.
        shape: the whole answer, with ``VALUE`` in place of the value.
        is_json: whether the answer is compared with ``shape`` as JSON, ignoring white space.
    """

    name: str
    words: str
    shape: str
    is_json: bool = False

    def write(self, value: str) -> str:
        """Return ``value`` in this form; it is escaped only in JSON."""
        return self.shape.replace(SLOT, json.dumps(value)[1:-1] if self.is_json else value)

    def read(self, text: str) -> str | None:
        """Return the value in an answer, or None if it is not in this form; white space at line ends is ignored."""
        text = "\n".join(line.rstrip() for line in text.strip().split("\n"))
        if self.is_json:
            return self._read_json(text)
        head, _, tail = self.shape.partition(SLOT)
        if len(text) <= len(head) + len(tail) or not text.startswith(head) or not text.endswith(tail):
            return None
        value = text[len(head) : len(text) - len(tail)]
        return value if _is_value(value) else None

    def _read_json(self, text: str) -> str | None:
        try:
            found = read_json(text)
        except NotJson:
            return None
        value = _value_at(found, self._path)
        return value if value is not None and json_key(found) == json_key(read_json(self.write(value))) else None

    @cached_property
    def _path(self) -> list[str | int]:
        """Keys and indices that lead to the value."""
        path: list[str | int] = []
        inner = read_json(self.shape)
        while inner != SLOT:
            items = inner.items() if isinstance(inner, dict) else enumerate(inner)
            key, inner = next((key, item) for key, item in items if SLOT in json.dumps(item))
            path.append(key)
        return path


def _value_at(found: Any, path: list[str | int]) -> str | None:
    for key in path:
        if isinstance(key, str) and isinstance(found, dict):
            found = found.get(key)
        elif isinstance(key, int) and isinstance(found, list) and key < len(found):
            found = found[key]
        else:
            return None
    return found if isinstance(found, str) and _is_value(found) else None


def _is_value(text: str) -> bool:
    """Return whether ``text`` is one non-blank line without surrounding white space."""
    return text == text.strip() != "" and "\n" not in text


_TABLE = r"""
boxed | a LaTeX box | \boxed{VALUE}
boxed_math | a LaTeX box in mathematics within the line | $\boxed{VALUE}$
latex_display | LaTeX mathematics of its own | \[VALUE\]
latex_dollars | LaTeX mathematics between double dollars | $$VALUE$$
latex_text | a LaTeX text command | \text{VALUE}
latex_environment | a LaTeX environment | \begin{answer}⏎VALUE⏎\end{answer}
tag_answer | an XML element | <answer>VALUE</answer>
tag_final | another XML element | <final_answer>VALUE</final_answer>
tag_nested | an XML element inside another | <response><answer>VALUE</answer></response>
tag_lines | an XML element on three lines | <answer>⏎VALUE⏎</answer>
tag_attribute | an empty XML element with an attribute | <answer value="VALUE"/>
tag_cdata | an XML element with a CDATA section | <answer><![CDATA[VALUE]]></answer>
xml_document | an XML document | <?xml version="1.0"?>⏎<answer>VALUE</answer>
html_paragraph | an HTML paragraph | <p>VALUE</p>
html_list | an HTML list of one item | <ul><li>VALUE</li></ul>
html_comment | an HTML comment | <!-- VALUE -->
bbcode | BBCode | [b]VALUE[/b]
special_tokens | a marker at either end | <\|answer\|>VALUE<\|end\|>
line_answer | one line that begins with "Answer:" | Answer: VALUE
line_final | one line that begins with "Final answer:" | Final answer: VALUE
line_capitals | one line that begins with "ANSWER =" | ANSWER = VALUE
line_sentence | one whole sentence | The answer is VALUE.
line_letter | one line that begins with "A:" | A: VALUE
line_tagged | one line that begins with a tag in brackets | [ANSWER] VALUE
line_arrow | one line that begins with an arrow | => VALUE
line_hashes | one line that begins with four hashes | #### VALUE
line_prompt | one line that begins like Python's prompt | >>> VALUE
line_ruled | one line between two rules | ---⏎VALUE⏎---
brackets | square brackets | [VALUE]
brackets_double | double square brackets | [[VALUE]]
parentheses | parentheses | (VALUE)
parentheses_double | double parentheses | ((VALUE))
braces | braces | {VALUE}
braces_double | double braces | {{VALUE}}
angles | double angle brackets | <<VALUE>>
bars | bars | \|VALUE\|
quotes | double quotation marks | "VALUE"
quotes_single | single quotation marks | 'VALUE'
guillemets | guillemets | «VALUE»
backticks | backticks | `VALUE`
markdown_bold | Markdown's bold | **VALUE**
markdown_italic | Markdown's italic, with underscores | _VALUE_
markdown_struck | Markdown's strikethrough | ~~VALUE~~
markdown_heading | a Markdown heading of the first level | # VALUE
markdown_section | a Markdown section | ## Answer⏎⏎VALUE
markdown_quote | a Markdown quotation | > VALUE
markdown_label | a bold label in Markdown, and the value behind it | **Answer:** VALUE
markdown_table | a Markdown table | \| answer \|⏎\| --- \|⏎\| VALUE \|
bullet | one bullet | - VALUE
bullet_star | one bullet that is a star | * VALUE
bullet_numbered | a numbered list of one item | 1. VALUE
bullet_checked | a task list of one item that is done | - [x] VALUE
fence | a code fence without a language | ```⏎VALUE⏎```
fence_text | a code fence of the language text | ```text⏎VALUE⏎```
fence_tildes | a code fence of tildes | ~~~⏎VALUE⏎~~~
fence_json | a code fence with JSON on one line | ```json⏎{"answer": "VALUE"}⏎```
fence_python | a code fence with a Python assignment | ```python⏎answer = "VALUE"⏎```
json_object | a JSON object | {"answer": "VALUE"}
json_array | a JSON array of one text | ["VALUE"]
json_nested | a JSON object inside another | {"result": {"answer": "VALUE"}}
json_records | a JSON array of one object | [{"answer": "VALUE"}]
json_typed | a JSON object of two keys | {"type": "answer", "value": "VALUE"}
yaml_key | YAML with one key | answer: VALUE
yaml_list | YAML with a list under one key | answer:⏎  - VALUE
yaml_document | a YAML document between its marks | ---⏎answer: VALUE⏎...
toml_table | a TOML table | [result]⏎answer = "VALUE"
ini_section | a section of an INI file | [result]⏎answer=VALUE
csv_column | CSV with a header and one row | answer⏎VALUE
csv_quoted | CSV with a header and one row, both in quotes | "answer"⏎"VALUE"
csv_row | one CSV row of two fields | answer,VALUE
environment_line | a line of a .env file | ANSWER="VALUE"
query_string | a query string | ?answer=VALUE
http_header | an HTTP header | X-Answer: VALUE
s_expression | an S-expression | (answer "VALUE")
prolog_fact | a Prolog fact | answer('VALUE').
python_dict | a Python dict with single quotes | {'answer': 'VALUE'}
python_tuple | a Python tuple of one item | ('VALUE',)
python_print | a Python call of print | print("VALUE")
python_return | a Python return statement | return "VALUE"
javascript_const | a JavaScript constant | const answer = "VALUE";
rust_let | a Rust binding | let answer = "VALUE";
go_variable | a Go variable | answer := "VALUE"
c_string | a C string | const char *answer = "VALUE";
java_string | a Java string | String answer = "VALUE";
php_variable | a PHP variable | $answer = 'VALUE';
ruby_symbol | a Ruby hash | { :answer => "VALUE" }
shell_echo | a shell command | echo "VALUE"
sql_select | an SQL query | SELECT 'VALUE' AS answer;
c_comment | a comment in C | /* VALUE */
line_comment | a comment in Python | # answer: VALUE
latex_equation | a LaTeX equation environment | \begin{equation}⏎VALUE⏎\end{equation}
latex_frame | a LaTeX frame | \fbox{VALUE}
latex_bold | bold text in LaTeX | \textbf{VALUE}
latex_emphasis | emphasis in LaTeX | \emph{VALUE}
latex_inline | LaTeX mathematics within the line | \(VALUE\)
latex_item | a LaTeX list of one item | \begin{itemize}⏎\item VALUE⏎\end{itemize}
tag_result | an XML element called result | <result>VALUE</result>
tag_solution | an XML element called solution | <solution>VALUE</solution>
tag_output | an XML element called output | <output>VALUE</output>
tag_capitals | an XML element in capitals | <ANSWER>VALUE</ANSWER>
tag_namespace | an XML element with a namespace | <ns:answer>VALUE</ns:answer>
tag_typed | an XML element with an attribute | <answer type="text">VALUE</answer>
html_heading | an HTML heading | <h1>VALUE</h1>
html_bold | bold text in HTML | <b>VALUE</b>
html_strong | important text in HTML | <strong>VALUE</strong>
html_code | code in HTML | <code>VALUE</code>
html_span | an HTML span with a class | <span class="answer">VALUE</span>
html_table | an HTML table of one cell | <table><tr><td>VALUE</td></tr></table>
html_definition | an HTML definition list | <dl><dt>answer</dt><dd>VALUE</dd></dl>
line_therefore | one whole sentence that concludes | Therefore, the answer is VALUE.
line_result | one line that begins with "Result:" | Result: VALUE
line_output | one line that begins with "Output:" | Output: VALUE
line_dashed | one line that begins with "Answer -" | Answer - VALUE
line_pointed | one line that begins with an arrow character | → VALUE
line_checked | one line that begins with a check mark | ✓ VALUE
line_double_ruled | one line between two double rules | ===⏎VALUE⏎===
brackets_corner | corner brackets | 「VALUE」
brackets_black | black lenticular brackets | 【VALUE】
brackets_angle | mathematical angle brackets | ⟨VALUE⟩
brackets_ceiling | ceiling brackets | ⌈VALUE⌉
quotes_curly | curly double quotation marks | “VALUE”
quotes_german | German quotation marks | „VALUE“
markdown_both | Markdown's bold and italic at once | ***VALUE***
markdown_underscores | Markdown's bold, with underscores | __VALUE__
markdown_link | a Markdown link | [VALUE](answer)
markdown_footnote | a Markdown footnote | [^1]: VALUE
markdown_definition | a Markdown definition | **answer**⏎: VALUE
bullet_plus | one bullet that is a plus sign | + VALUE
bullet_dot | one bullet that is a dot | • VALUE
bullet_lettered | a lettered list of one item | a) VALUE
fence_yaml | a code fence with YAML | ```yaml⏎answer: VALUE⏎```
fence_xml | a code fence with XML | ```xml⏎<answer>VALUE</answer>⏎```
json_final | a JSON object with the key final_answer | {"final_answer": "VALUE"}
json_pair | a JSON array of a name and a value | ["answer", "VALUE"]
json_status | a JSON object with a status and an answer | {"status": "ok", "answer": "VALUE"}
json_listed | a JSON object with an array | {"answers": ["VALUE"]}
json_deep | a JSON object three levels deep | {"data": {"result": {"answer": "VALUE"}}}
yaml_quoted | YAML with a quoted value | answer: "VALUE"
yaml_block | YAML with a block of text | answer: \|⏎  VALUE
mail_subject | the subject line of a mail | Subject: VALUE
url_path | a path of a URL | /answer/VALUE
cookie | an HTTP cookie | Set-Cookie: answer=VALUE
python_assert | a Python assertion | assert answer == "VALUE"
python_annotated | a Python assignment with a type | answer: str = "VALUE"
javascript_log | a JavaScript call of console.log | console.log("VALUE");
kotlin_value | a Kotlin value | val answer = "VALUE"
lua_local | a local variable in Lua | local answer = "VALUE"
r_assignment | an assignment in R | answer <- "VALUE"
shell_export | an exported shell variable | export ANSWER="VALUE"
sql_comment | a comment in SQL | -- VALUE
"""


def _parse_table() -> dict[str, Form]:
    """Return the forms of the table, where ``⏎`` is a line break and ``\\|`` a bar in a shape."""
    rows = [line.split(" | ", 2) for line in _TABLE.strip().split("\n")]
    shapes = {name: (words, shape.replace("⏎", "\n").replace("\\|", "|")) for name, words, shape in rows}
    return {name: Form(name, *row, is_json=name.startswith("json_")) for name, row in shapes.items()}


FORMS = _parse_table()
"""Name → form."""
