"""A chat template: messages in, the prompt out, as one text or as segments by who wrote what.

Source of how messages are prepared: ``apply_chat_template`` and ``render_jinja_template`` of transformers 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import meta

from exporter.chat import environment
from exporter.chat.following import Following
from exporter.chat.marked import Marked, segments_of
from exporter.chat.tracked import mapped
from exporter.errors import GenserveError, OptionError, UnsupportedError, shown

Messages = Sequence[Mapping[str, Any]]

#: Roles that count as the template's own words: some templates build a special token around them.
ROLES = frozenset({"assistant", "developer", "function", "ipython", "model", "system", "tool", "user"})
#: Names of a message's reasoning, of which templates read one or another.
_REASONING = ("reasoning_content", "thinking", "reasoning")


class ChatTemplate:
    """A Jinja chat template with the variables that its checkpoint gives it.

    Attributes:
      source: the Jinja text.
      variables: what every rendering is given: ``bos_token``, ``eos_token``, ...; ``strftime_now``, a moment
        in ISO 8601, is the one that the template's function of that name formats (without it: now).
      tool_use: another Jinja text for requests with tools, where the checkpoint has one.

    Raises:
      CheckpointError: the source is no Jinja.
      OptionError: a ``strftime_now`` that is no moment.
    """

    def __init__(
        self, source: str, *, variables: Mapping[str, Any] = {}, tool_use: str | None = None
    ) -> None:
        self.source, self.variables, self.tool_use = source, dict(variables), tool_use
        for text in (source, tool_use or source):
            environment.plain(text)
        self._given(self.variables)

    def render(
        self,
        /,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The prompt, as ``apply_chat_template(..., tokenize=False)`` of transformers gives it.

        Args:
          messages: ``{"role": ..., "content": ...}`` each, oldest first; whatever else the template reads.
          tools: JSON schemas of functions.
          variables: the template's further variables, such as ``enable_thinking`` or ``documents``.

        Raises:
          OptionError: messages or tools of another kind.
          UnsupportedError: the template refuses them; with its own words.
        """
        data = _inputs(messages, tools, add_generation_prompt, variables)
        return self.run(environment.plain(self._used(tools)), data)

    def segments(
        self,
        /,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> list[str]:
        """The prompt in pieces: literal, text, literal, text, ..., literal; joined they are ``render``'s.

        Literals are the template's own words, in which special tokens are tokens. Texts are what people
        wrote: every string in messages (but roles in ``ROLES``), tools and ``variables``, as far as the
        template shows it; JSON that the template makes of them is text as a whole. No text is empty.

        Raises:
          UnsupportedError: beside ``render``'s: the template works on a text so that the two cannot be told
            apart; names how.
        """
        data = _inputs(messages, tools, add_generation_prompt, variables)
        marked = {name: mapped(value, Marked.whole) for name, value in data.items()}
        marked["messages"] = [_marked_message(message) for message in data["messages"]]
        text = self.run(_following(self._used(tools)), marked)
        if text != self.run(environment.plain(self._used(tools)), data):
            raise UnsupportedError(
                "the chat template writes something else when it is followed: what people wrote cannot be "
                "told from its own words"
            )
        return segments_of(text)

    @property
    def reads(self) -> frozenset[str]:
        """The variables and functions that the template reads, ``strftime_now`` where it writes the date."""
        sandbox = environment.Sandbox()
        del sandbox.globals[environment.MOMENT]
        return frozenset(meta.find_undeclared_variables(sandbox.parse(self.source)))

    def run(self, template: jinja2.Template, data: Mapping[str, Any]) -> str:
        """Renders ``data`` over the variables, by the template of some environment."""
        try:
            return template.render(self._given({**self.variables, **data}))
        except GenserveError:
            raise
        except jinja2.TemplateError as error:
            raise UnsupportedError(f"the chat template refuses these messages: {error}") from error
        except Exception as error:  # a template is a program: it may fail in any way
            raise UnsupportedError(
                f"the chat template fails on these messages: {type(error).__name__}: {error}"
            ) from error

    def _used(self, tools: Any) -> str:
        return self.source if tools is None or self.tool_use is None else self.tool_use

    @staticmethod
    def _given(variables: dict[str, Any]) -> dict[str, Any]:
        """The moment becomes the function that templates call."""
        if (moment := variables.get(environment.MOMENT)) is None:
            return {name: value for name, value in variables.items() if name != environment.MOMENT}
        try:
            return variables | {environment.MOMENT: environment.clock(moment)}
        except (TypeError, ValueError):
            raise OptionError(
                f"{environment.MOMENT}: {shown(moment)} must be a date or a moment in ISO 8601, such as "
                "2025-01-31 or 2025-01-31T12:00:00"
            ) from None


@lru_cache(maxsize=64)
def _following(source: str) -> jinja2.Template:
    return environment.compiled(Following(Marked), source)


def _inputs(
    messages: Messages, tools: Any, add_generation_prompt: bool, variables: dict[str, Any]
) -> dict[str, Any]:
    """What a template sees, in plain data of its own."""
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence) or not messages:
        raise OptionError(f"messages: a list of at least one message is needed, got {shown(messages)}")
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise OptionError(
                f"messages[{place}]: must be an object such as {{'role': 'user', 'content': '...'}}, "
                f"got {shown(message)}"
            )
    for place, tool in enumerate(tools or ()):
        if not isinstance(tool, Mapping):
            raise OptionError(f"tools[{place}]: must be a JSON schema of a function, got {shown(tool)}")
    return {
        **_plain(variables, "variables"),
        "messages": [_message(message, f"messages[{place}]") for place, message in enumerate(messages)],
        "tools": None if tools is None else [_plain(tool, "tools") for tool in tools],
        "documents": _plain(variables.get("documents"), "documents"),
        "add_generation_prompt": add_generation_prompt,
    }


def _message(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Without keys of the value None, which templates would write out; reasoning under every name of it."""
    plain = {key: _plain(value, f"{where}.{key}") for key, value in message.items() if value is not None}
    reasoning = next((plain[name] for name in _REASONING if name in plain), None)
    if reasoning is None:
        return plain
    return {"thinking": reasoning, **plain, "reasoning_content": reasoning}


def _plain(value: Any, where: str) -> Any:
    """JSON's kinds alone: a template gets no object with methods of its own.

    Raises:
      OptionError: anything else, and text that is not Unicode (half a surrogate pair).
    """
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, str):
        if not (text := str.__str__(value)).isascii():
            _check_unicode(text, where)
        return text
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    raise OptionError(f"{where}: {type(value).__name__} is none of JSON's kinds: {shown(value)}")


def _check_unicode(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise OptionError(
            f"{where}: no Unicode text: {error.reason} at character {error.start} ({text[error.start]!r})"
        ) from None


def _marked_message(message: dict[str, Any]) -> dict[str, Any]:
    marked: dict[str, Any] = mapped(message, Marked.whole)
    if message.get("role") in ROLES:
        marked["role"] = message["role"]
    return marked
