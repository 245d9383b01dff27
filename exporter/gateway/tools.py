"""Tool calls in a model's text, in the forms that chat templates teach their models.

    hermes    <tool_call>{"name": ..., "arguments": {...}}</tool_call>, any number (Qwen, Hermes)
    mistral   [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...], or [TOOL_CALLS]NAME[ARGS]{...}
    llama     {"name": ..., "parameters": {...}}, the whole text, perhaps after <|python_tag|>

Which one it is, the template says: its own words have the marker. Markers that are special tokens are no part
of a decoded text, so those forms are recognised without them too.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Collection
from typing import Any, Literal

from exporter.gateway.requests import is_deep, read_json
from exporter.gateway.stops import overlap

Form = Literal["hermes", "mistral", "llama"]
_MARKERS: dict[Form, str] = {"hermes": "<tool_call>", "mistral": "[TOOL_CALLS]", "llama": "<|python_tag|>"}
_CLOSE = "</tool_call>"
_NAMED = re.compile(r"\s*([\w.-]+)\s*(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)")
_ALPHABET = string.ascii_letters + string.digits
_JSON = json.JSONDecoder()


def form_of(template: str) -> Form | None:
    """How a template writes tool calls; None: not in a form that is read here."""
    if "tools" not in template:
        return None
    found = (form for form, marker in _MARKERS.items() if marker in template)
    return next(found, "llama" if '"parameters"' in template else None)


class ToolReader:
    """Separates an answer's text from its tool calls, as it comes.

    ``feed`` and ``end`` return what is text for certain; ``calls`` holds the tool calls after ``end``. What
    looked like calls and are none (broken JSON, a tool that was not offered) is text.
    """

    def __init__(self, form: Form, names: Collection[str]) -> None:
        self._form, self._names, self._marker = form, names, _MARKERS[form]
        self._held = ""
        self._text_came = False
        self.calls: list[dict[str, Any]] = []

    def feed(self, text: str) -> str:
        self._held += text
        place = self._start()
        shown, self._held = self._held[:place], self._held[place:]
        self._text_came |= bool(shown.strip())
        return shown

    def _start(self) -> int:
        """Where in the held text a call may begin."""
        held = self._held
        place = held.find(self._marker)
        if place >= 0:
            return place
        if self._form != "hermes" and not self._text_came and held.lstrip()[:1] in ("", "{", "["):
            return 0
        return len(held) - overlap(held, self._marker)

    def end(self) -> str:
        held, self._held = self._held, ""
        if self._form == "hermes":
            return self._end_hermes(held)
        calls = _calls(held.removeprefix(self._marker).strip(), self._names, named=self._form == "mistral")
        self.calls = calls or []
        return held if calls is None else ""

    def _end_hermes(self, held: str) -> str:
        rest = []
        while (start := held.find(self._marker)) >= 0:
            end = held.find(_CLOSE, start)
            body = held[start + len(self._marker) : end if end >= 0 else len(held)]
            after = end + len(_CLOSE) if end >= 0 else len(held)
            calls = _calls(body.strip(), self._names)
            self.calls += calls or []
            rest.append(held[:start] if calls is not None else held[:after])
            held = held[after:]
        text = "".join([*rest, held])
        return text if text.strip() else ""


def _calls(text: str, names: Collection[str], *, named: bool = False) -> list[dict[str, Any]] | None:
    """The calls that a text consists of; None where it is not made of calls alone."""
    calls: list[dict[str, Any]] = []
    while text:
        name = _NAMED.match(text) if named else None
        try:
            value, end = _JSON.raw_decode(text, name.end() if name else 0)
        except (ValueError, RecursionError):
            return None
        items = (
            [{"name": name[1], "arguments": value}] if name else value if isinstance(value, list) else [value]
        )
        for item in items:
            if (call := _call(item, names)) is None:
                return None
            calls.append(call)
        text = text[end:].lstrip("; \n\t").removeprefix("[TOOL_CALLS]")
    return calls or None


def _call(item: Any, names: Collection[str]) -> dict[str, Any] | None:
    """One call in OpenAI's form."""
    if not isinstance(item, dict) or item.get("name") not in names:
        return None
    arguments = item.get("arguments", item.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments)
        except ValueError:
            return None
    if not isinstance(arguments, dict) or is_deep(arguments):
        return None
    # Mistral's templates ask for ids of nine letters and digits; others take any.
    return {
        "id": "".join(secrets.choice(_ALPHABET) for _ in range(9)),
        "type": "function",
        "function": {"name": item["name"], "arguments": json.dumps(arguments, ensure_ascii=False)},
    }
