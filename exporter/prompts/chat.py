"""What the signature ``chat`` of an export is: the checkpoint's chat template, split, and where a turn ends.

    render  <|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n
            literal           field  literal

Decided before anything is compiled; imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.chat import ChatParts, ChatTemplate, Prompt, Reasoning, read_chat_template, split_template
from exporter.errors import GenserveError, OptionError, UnsupportedError
from exporter.options import ExportOptions
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
    """

    template: ChatTemplate
    parts: ChatParts
    guarded: tuple[str, ...]
    end_of_turn: tuple[str, int] | None
    reasoning: Reasoning | None
    apart: bool

    def segments(self, **texts: str) -> tuple[str, ...]:
        """The segments of the prompt of ``user`` alone, or of ``system`` and ``user``."""
        with_system = bool(texts.get("system"))
        prompt = self.parts.with_system if with_system else self.parts.without_system
        assert prompt is not None
        return tuple(
            piece if isinstance(piece, str) else piece.of(texts[piece.name]) for piece in both(prompt)
        )


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
    longest: int,
) -> tuple[Chat | None, str]:
    """The chat template that is served; None, and why not, "" where there is nothing to say.

    Args:
      path: the checkpoint's directory.
      source: of its tokenizer; None with ``--tokenizer none``.
      longest: tokens of the longest prompt bucket.

    Raises:
      OptionError: an option of chats where there is none, or one that the template does not know.
      UnsupportedError: ``chat`` is "on", and the template cannot be served exactly.
    """
    asked = [name for name in ("thinking", "reasoning", "chat_variables") if name in options.model_fields_set]
    if options.chat == "off":
        return None, ""
    try:
        chat = _chat(options, path, spec, source, longest)
    except UnsupportedError as error:
        if options.chat == "on" or asked:
            raise UnsupportedError(f"{asked[0] if asked else 'chat'}: no signature 'chat': {error}") from None
        return None, f"no signature 'chat': {error}"
    if chat is None and (options.chat == "on" or asked):
        raise OptionError(f"{asked[0] if asked else 'chat'}: the checkpoint has no chat template")
    return chat, ""


def _chat(
    options: ExportOptions,
    path: Path,
    spec: ModelSpec,
    source: JsonSource | PythonSource | None,
    longest: int,
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
    bare = "".join(piece for piece in parts.without_system.pieces if isinstance(piece, str))
    count = len(source.tokenizer.encode(bare, add_special_tokens=False).ids)
    if count >= longest:
        raise UnsupportedError(
            f"the chat template's own words take {count} tokens, and the longest prompt bucket has {longest}"
        )
    special = {token.content: i for i, token in added.items() if token.special}
    reasoning = _told_apart(options, parts, special)
    end_of_turn = _end_of_turn(template, special)
    return Chat(template, parts, guarded, end_of_turn, reasoning, apart=options.reasoning == "apart")


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
