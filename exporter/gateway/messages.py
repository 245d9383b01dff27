"""A chat's messages: from OpenAI's form to the one that chat templates read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.errors import did_you_mean, shown
from exporter.gateway.errors import invalid, unsupported
from exporter.gateway.requests import read_json

_ROLES = ("system", "developer", "user", "assistant", "tool")
_KEYS = {
    *("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "reasoning_content"),
    *("audio", "function_call", "annotations"),
}
#: Keys that no template reads: what an answer of OpenAI's has more than its request.
_DROPPED = {"refusal", "annotations"}


def for_template(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages with texts as content, and with the arguments of tool calls as objects.

    Raises:
      ApiError: names the message and what is wrong with it.
    """
    return [_message(message, f"messages.{place}") for place, message in enumerate(messages)]


def _message(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    role = message.get("role")
    if role not in _ROLES:
        hint = did_you_mean(str(role), _ROLES)
        raise invalid(f"{place}.role: {shown(role)}{hint}; allowed: {', '.join(_ROLES)}", "messages")
    given = {key: value for key, value in message.items() if value is not None and key not in _DROPPED}
    for key in given:
        if key not in _KEYS:
            raise invalid(f"{place}: unknown field {key!r}{did_you_mean(key, _KEYS)}", "messages")
    for key in ("audio", "function_call"):
        if key in given:
            raise unsupported(f"{place}.{key}: not supported", "messages")
    if "content" not in given and not given.get("tool_calls"):
        raise invalid(f"{place}.content: required, but missing", "messages", "missing_required_parameter")
    result = {**given, "role": "system" if role == "developer" else role}
    result["content"] = _content(given.get("content", ""), f"{place}.content")
    if "tool_calls" in given:
        result["tool_calls"] = _tool_calls(given["tool_calls"], f"{place}.tool_calls")
    return result


def _content(content: Any, place: str) -> str:
    """A text, or texts in parts, which are joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(f"{place}: must be a text or a list of parts, got {shown(content)}", "messages")
    texts = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("text", "refusal"):
            raise unsupported(
                f"{place}.{number}: only parts of type text, got {shown(kind or part)}", "messages"
            )
        if not isinstance(text := part.get(kind), str):
            raise invalid(f"{place}.{number}.{kind}: must be a text, got {shown(text)}", "messages")
        texts.append(text)
    return "".join(texts)


def _tool_calls(calls: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(calls, list):
        raise invalid(f"{place}: must be a list, got {shown(calls)}", "messages")
    return [_tool_call(call, f"{place}.{number}") for number, call in enumerate(calls)]


def _tool_call(call: Any, place: str) -> dict[str, Any]:
    """Templates write arguments as JSON themselves."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid(f"{place}.function: a name and arguments are needed", "messages")
    try:
        arguments = read_json(function.get("arguments") or "{}")
    except (TypeError, ValueError) as error:
        raise invalid(
            f"{place}.function.arguments: must be a JSON object in a text: {error}", "messages"
        ) from None
    if not isinstance(arguments, dict):
        raise invalid(f"{place}.function.arguments: must be a JSON object in a text", "messages")
    return {**call, "function": {**function, "arguments": arguments}}


def check_tools(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the functions.

    Raises:
      ApiError: a tool that is no function with a name.
    """
    names = []
    for number, tool in enumerate(tools):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise unsupported(f"tools.{number}: only tools of type function", "tools")
        if not isinstance(name := function.get("name"), str) or not name:
            raise invalid(f"tools.{number}.function.name: required, but missing", "tools")
        names.append(name)
    return names
