"""Tool calls read back from texts as the templates in transformers and the models' makers have them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.gateway.tools import Form, ToolReader, form_of

#: What a chat template has of its own, by which the form is known.
_MISTRAL_TEMPLATE = "{% if tools %}[AVAILABLE_TOOLS]{{ tools }}[/AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]["
_LLAMA_TEMPLATE = (
    '{% if tools %}Respond in the format {"name": function name, "parameters": dictionary}{% endif %}'
)


def read(form: Form, text: str, size: int, *names: str) -> tuple[str, list[tuple[str, Any]]]:
    """The text and the calls of an answer that comes in pieces of ``size`` characters."""
    reader = ToolReader(form, names or ("get_current_weather", "get_current_temperature", "add"))
    shown = [reader.feed(text[start : start + size]) for start in range(0, len(text), size)]
    shown.append(reader.end())
    functions = [call["function"] for call in reader.calls]
    return "".join(shown), [(one["name"], json.loads(one["arguments"])) for one in functions]


def _nested(levels: int) -> str:
    return '{"name": "add", "arguments": ' + '{"a": ' * levels + "1" + "}" * (levels + 1)


PARIS = ("get_current_weather", {"location": "Paris, France", "format": "celsius"})
_PARIS = '{"name": "get_current_weather", "arguments": {"location": "Paris, France", "format": "celsius"}}'


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("text", "calls"),
    [
        # Mistral 7B v0.3, Mixtral: a list behind the special token, which a decoded text may lack.
        (f"[TOOL_CALLS] [{_PARIS}]", [PARIS]),
        (f"[TOOL_CALLS][{_PARIS}, {_PARIS}]", [PARIS, PARIS]),
        (f" [{_PARIS}]", [PARIS]),
        # Mistral Nemo's template writes ids into the calls of earlier turns, and models copy them.
        ('[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "VvvODy9mT"}]', [("add", {"a": 1})]),
        # Mistral Small 3.2, Magistral, Devstral: NAME[ARGS]{...}, once each; before it with [CALL_ID].
        ('[TOOL_CALLS]add[ARGS]{"a": 1, "b": [2]}', [("add", {"a": 1, "b": [2]})]),
        ('[TOOL_CALLS]add[CALL_ID]VvvODy9mT[ARGS]{"a": 1}', [("add", {"a": 1})]),
        ('[TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]add[ARGS]{}', [("add", {"a": 1}), ("add", {})]),
    ],
)
def test_mistral(text: str, calls: list[Any], size: int) -> None:
    assert form_of(_MISTRAL_TEMPLATE) == "mistral"
    assert read("mistral", text, size) == ("", calls)


def test_mistral_writes_before_a_call() -> None:
    for size in (1, 1000):
        assert read("mistral", f"I look it up.[TOOL_CALLS][{_PARIS}]", size) == ("I look it up.", [PARIS])


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("text", "calls"),
    [
        # Llama 3.1 and 3.2: the whole answer, with and without the special token for its own environment.
        ('{"name": "add", "parameters": {"a": 1}}', [("add", {"a": 1})]),
        ('<|python_tag|>{"name": "add", "parameters": {"a": 1}}', [("add", {"a": 1})]),
        ('\n\n{"name": "add", "parameters": {"a": "}"}}\n', [("add", {"a": "}"})]),
        # Several, as Llama 3.1 separates them.
        (
            '{"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {"a": 2}}',
            [("add", {"a": 1}), ("add", {"a": 2})],
        ),
        ('{"type": "function", "name": "add", "parameters": {"a": "1"}}', [("add", {"a": "1"})]),
        ('{"name": "add", "parameters": {}}', [("add", {})]),
    ],
)
def test_llama(text: str, calls: list[Any], size: int) -> None:
    assert form_of(_LLAMA_TEMPLATE) == "llama"
    assert read("llama", text, size) == ("", calls)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("mistral", '[{"name": "add", "arguments": {"a": 1}'),  # broken off
        ("mistral", '[{"name": "remove", "arguments": {}}]'),  # not offered
        ("mistral", "[1, 2, 3] is a list"),
        ("mistral", '[TOOL_CALLS]remove[ARGS]{"a": 1}'),
        ("mistral", "The answer is 3."),
        ("llama", '{"name": "add", "parameters": {"a": 1}'),
        ("llama", '{"name": "remove", "parameters": {}}'),
        ("llama", '{"name": "add", "parameters": [1]}'),
        ("llama", '{"name": "add", "parameters": {}} and so on'),
        ("llama", '<|python_tag|>brave_search.call(query="x")'),
        ("hermes", "<tool_call>" + _nested(200) + "</tool_call>"),
        ("hermes", "<tool_call>" + _nested(50_000) + "</tool_call>"),
        ("llama", json.dumps({"name": "add", "parameters": _nested(5_000)})),
        ("llama", 'Write {"name": "add", "parameters": {}} to add'),
    ],
)
def test_what_is_no_call_stays_text(form: Form, text: str, size: int) -> None:
    assert read(form, text, size) == (text, [])
