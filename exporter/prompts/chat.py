"""What the signature ``chat`` of an export is: the checkpoint's chat template, split, and where a turn ends.

    render  <|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n
            literal           field  literal

Decided before anything is compiled; imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.chat import (
    ChatParts,
    ChatTemplate,
    Prompt,
    Reasoning,
    read_chat_template,
    split_template,
)
from exporter.errors import GenserveError, OptionError, UnsupportedError, shown
from exporter.options import CHAT_OPTIONS, ExportOptions
from exporter.prompts.prefix import Prefix, cut_rendered
from exporter.spec import ModelSpec
from exporter.tokenizer.guards import guarded_ids, named_in
from exporter.tokenizer.sources import JsonSource, PythonSource

#: Segments of a request of ``encode_segments``: literal, text, literal, ..., literal.
SEGMENTS = 129
#: Two moments: a template that writes another text at each writes the date.
_MOMENTS = ("2001-02-03T04:05:06", "2012-11-10T21:20:19")
_MOMENT, _THINKING = "strftime_now", "enable_thinking"
_REPLY = "genserve"


@dataclass(frozen=True)
class Chat:
    """A chat template that an export serves.

    Attributes:
      template: with every variable that was stated.
      parts: its prompts, split.
      guarded: added tokens beside the special ones that count in the template's own words alone.
      end_of_turn: the special token behind an answer, with its id; None where that is no single token.
      reasoning: what parts the model's thinking from its answer; None where it stays in the answer.
      apart: whether the thinking is an output of its own.
      own_tokens: how many of each request's tokens are the template's own.
      fixed: the system text of every request, and what that makes of the prompt; None: it is an input.
    """

    template: ChatTemplate
    parts: ChatParts
    guarded: tuple[str, ...]
    end_of_turn: tuple[str, int] | None
    reasoning: Reasoning | None
    apart: bool
    own_tokens: int
    fixed: Fixed | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """What the signature takes."""
        return ("user",) if self.fixed else ("user", "system")

    @property
    def prefix(self) -> Prefix | None:
        """What is baked of its prompts."""
        return self.fixed.prefix if self.fixed else None

    def segments(self, **texts: str) -> tuple[str, ...]:
        """The segments of the prompt of ``user`` alone, or of ``system`` and ``user``."""
        if self.fixed:
            texts = {**texts, "system": self.fixed.system}
        prompt = self.parts.with_system if texts.get("system") else self.parts.without_system
        assert prompt is not None
        return tuple(
            piece if isinstance(piece, str) else piece.of(texts[piece.name]) for piece in both(prompt)
        )


@dataclass(frozen=True)
class Fixed:
    """A system text that is the same in every request, so that the prompts begin alike.

    Attributes:
      system: the text; "" for none.
      prefix: what stands before the user's text, cut.
      prompt: what is tokenized with each request: the prefix's anchor and rest, and all that follows.
    """

    system: str
    prefix: Prefix
    prompt: Prompt


def both(prompt: Prompt) -> list[Any]:
    """A prompt's pieces as literal, field, literal, ..., literal; literals may be empty."""
    pieces: list[Any] = []
    for piece in prompt.pieces:
        if isinstance(piece, str) == bool(len(pieces) % 2):
            pieces.append("")
        pieces.append(piece)
    return pieces if len(pieces) % 2 else [*pieces, ""]


def resolve_chat(
    options: ExportOptions,
    path: Path,
    spec: ModelSpec,
    source: JsonSource | PythonSource | None,
) -> tuple[Chat | None, str]:
    """The chat template that is served; None, and why not, "" where there is nothing to say.

    Args:
      path: the checkpoint's directory.
      source: of its tokenizer; None with ``--tokenizer none``.

    Raises:
      OptionError: an option of chats where there is none, or one that the template does not know.
      UnsupportedError: ``chat`` is "on", and the template cannot be served exactly.
    """
    if options.chat == "off":
        return None, ""
    try:
        chat = _chat(options, path, spec, source)
    except UnsupportedError as error:
        return None, _none(options, str(error))
    if chat is None and (asked := _asked_by(options)):
        raise OptionError(f"{asked}: the checkpoint has no chat template")
    return chat, ""


def in_bucket(
    options: ExportOptions, chat: Chat | None, why_not: str, longest: int
) -> tuple[Chat | None, str]:
    """What ``resolve_chat`` found, where the longest prompt bucket has room for it; raises as that does."""
    if chat is None or chat.own_tokens < longest:
        return chat, why_not
    words = f"the chat template's own words take {chat.own_tokens} tokens"
    return None, _none(options, f"{words}, and the longest prompt bucket has {longest}")


def _none(options: ExportOptions, reason: str) -> str:
    """Why there is no signature; raises UnsupportedError where one was asked for."""
    if asked := _asked_by(options):
        raise UnsupportedError(f"{asked}: no signature 'chat': {reason.removeprefix(f'{asked}: ')}")
    return f"no signature 'chat': {reason}"


def _asked_by(options: ExportOptions) -> str:
    """The option that cannot be followed without the signature; "" where there is none."""
    given = [name for name in CHAT_OPTIONS if name in options.model_fields_set]
    return given[0] if given else "chat" if options.chat == "on" else ""


def _chat(
    options: ExportOptions,
    path: Path,
    spec: ModelSpec,
    source: JsonSource | PythonSource | None,
) -> Chat | None:
    """None where there is no template; raises UnsupportedError with the reason where it cannot be served."""
    try:
        template = read_chat_template(path, **_variables(options))
    except OptionError:
        raise
    except GenserveError as error:
        raise UnsupportedError(str(error)) from error
    if template is None:
        return None
    if spec.kind == "encoder_decoder":
        raise UnsupportedError("an encoder-decoder model takes no chat template")
    if options.prefix_text is not None or options.prefix_file is not None:
        raise UnsupportedError(
            "prefix_text stands before every prompt, and the chat template renders its own"
        )
    if not isinstance(source, JsonSource):
        raise UnsupportedError("its tokens need a compiled tokenizer with a tokenizer.json")
    _check_thinking(options, template)
    parts = _split(template)
    added = source.tokenizer.get_added_tokens_decoder()
    guarded = named_in(added, template.source + (template.tool_use or ""))
    guarded_ids(added, guarded, normalizes=source.tokenizer.normalizer is not None)
    system = options.chat_system_text()
    fixed = None if system is None else _fixed(source, parts, system, guarded)
    own = fixed.prompt if fixed else parts.without_system
    bare = "".join(piece for piece in own.pieces if isinstance(piece, str))
    count = len(source.tokenizer.encode(bare, add_special_tokens=False).ids)
    if fixed:
        count -= fixed.prefix.skip
    special = {token.content: i for i, token in added.items() if token.special}
    reasoning = _told_apart(options, parts, special)
    end_of_turn = _end_of_turn(template, special)
    apart = options.reasoning == "apart"
    return Chat(template, parts, guarded, end_of_turn, reasoning, apart, count, fixed)


def _fixed(source: JsonSource, parts: ChatParts, system: str, guarded: Collection[str]) -> Fixed:
    """What a fixed system text makes of the prompts.

    Raises:
      OptionError: the template takes none, or not this one.
      UnsupportedError: it holds a special token, or ``cut_rendered`` refuses.
    """
    prompt = parts.with_system if system else parts.without_system
    if prompt is None:
        raise OptionError(f"chat_system: {parts.no_system}")
    if any(field.name == "system" and not field.of(system) for field in prompt.needed):
        raise OptionError(f"chat_system: {shown(system)} is empty, and the chat template refuses that")
    first = next(at for at, piece in enumerate(prompt.pieces) if getattr(piece, "name", "") == "user")
    front = prompt.pieces[:first]
    text = "".join(piece if isinstance(piece, str) else piece.of(system) for piece in front)
    if not text:
        raise UnsupportedError("chat_system: nothing stands before the user's text that could be baked")
    _refuse_tokens(source, text, [piece for piece in front if isinstance(piece, str)], guarded)
    prefix = cut_rendered(source, text, "chat_system")
    needed = tuple(field for field in prompt.needed if field.name == "user")
    behind = (*filter(None, [prefix.anchor + prefix.rest]), *prompt.pieces[first:])
    return Fixed(system, prefix, Prompt(behind, needed))


def _refuse_tokens(source: JsonSource, text: str, literals: list[str], guarded: Collection[str]) -> None:
    """What people write holds no special tokens, and here the reference would read some in it."""
    for token in source.tokenizer.get_added_tokens_decoder().values():
        own = sum(literal.count(token.content) for literal in literals)
        if (token.special or token.content in guarded) and text.count(token.content) != own:
            raise UnsupportedError(
                f"chat_system: it holds {token.content!r}, which is a token in the template's own words alone"
            )


def _variables(options: ExportOptions) -> dict[str, Any]:
    switch = {} if options.thinking == "auto" else {_THINKING: options.thinking == "on"}
    if switch and _THINKING in options.chat_variables:
        raise OptionError(f"chat_variables: thinking says what {_THINKING} is; give one of them")
    # Tools make other prompts: they are no part of a signature of texts.
    if named := {"messages", "tools", "add_generation_prompt"} & options.chat_variables.keys():
        raise OptionError(
            f"chat_variables: {sorted(named)[0]} is no variable of the export; a client renders it and sends "
            "the segments to encode_segments"
        )
    return {**options.chat_variables, **switch}


def _check_thinking(options: ExportOptions, template: ChatTemplate) -> None:
    for name in (*([_THINKING] if options.thinking != "auto" else []), *options.chat_variables):
        if name != _MOMENT and name not in template.source:
            option = "thinking" if name == _THINKING else "chat_variables"
            raise OptionError(f"{option}: the chat template has no variable {name!r}")


def _split(template: ChatTemplate) -> ChatParts:
    """The parts; those that hold the day of the export are refused."""
    if _MOMENT in template.variables or _MOMENT not in template.source:
        return split_template(template)
    one, other = (
        split_template(ChatTemplate(template.source, variables={**template.variables, _MOMENT: moment}))
        for moment in _MOMENTS
    )
    if one != other:
        raise UnsupportedError(
            "the chat template writes the current date, and a version has none: state it, as "
            f"chat_variables {_MOMENT}=2025-01-31 does"
        )
    return one


def _end_of_turn(template: ChatTemplate, special: Mapping[str, int]) -> tuple[str, int] | None:
    """The special token that the template puts behind an answer, white space aside."""
    messages = [{"role": "user", "content": _REPLY}, {"role": "assistant", "content": _REPLY}]
    try:
        text = template.render(messages, add_generation_prompt=False)
    except GenserveError:
        return None
    behind = text.rpartition(_REPLY)[2].lstrip()
    found = max((token for token in special if behind.startswith(token)), key=len, default=None)
    return None if found is None else (found, special[found])


def _told_apart(options: ExportOptions, parts: ChatParts, special: Mapping[str, int]) -> Reasoning | None:
    """The markers by which answers are parted, where that is asked for."""
    if options.reasoning == "keep":
        return None
    found = parts.reasoning
    if found is None:
        raise OptionError(f"reasoning: {options.reasoning}: the chat template knows of no thinking")
    if hidden := [marker for marker in found.markers if marker in special or "<|" in marker]:
        raise UnsupportedError(
            f"reasoning {options.reasoning!r}: {hidden[0]!r} is a special token, which answers leave out"
        )
    return found
