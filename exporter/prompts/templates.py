"""Prompt templates: literals and fields, written with braces as ``str.format`` has them.

    Question: {question:strip}\nAnswer:      one input, "question", without white space around it
    {{literally}} {a} {b}                    two inputs

Imports no TensorFlow.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from exporter.chat import Field, Prompt, Strip
from exporter.errors import OptionError, did_you_mean, shown
from exporter.options import ExportOptions
from exporter.tokenizer.guards import guarded_ids, named_in
from exporter.tokenizer.sources import JsonSource, PythonSource

#: What may stand behind a field's colon.
_STRIPS: Mapping[str, Literal["left", "right", "both"]] = {
    "strip": "both",
    "lstrip": "left",
    "rstrip": "right",
}


@dataclass(frozen=True)
class Template:
    """A prompt template.

    Attributes:
      prompt: its literals and fields.
      guarded: added tokens beside the special ones that count in its literals alone.
    """

    prompt: Prompt
    guarded: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the inputs, in order, each once."""
        names = [piece.name for piece in self.prompt.pieces if isinstance(piece, Field)]
        return tuple(dict.fromkeys(names))


def resolve_templates(
    options: ExportOptions, source: JsonSource | PythonSource | None
) -> dict[str, Template]:
    """Templates by preset; that of the signature ``template`` as "serving_default".

    Raises:
      OptionError: a text that is no template, or one without a tokenizer that tells its parts apart.
      TokenizerUnsupportedError: its tokens cannot be told from those of people's texts.
    """
    asked = {
        name: ("signatures." + name, preset["template"])
        for name, preset in options.signatures.items()
        if "template" in preset
    }
    if (own := options.template_text()) is not None:
        asked = {"serving_default": ("template", own), **asked}
    found = {}
    for name, (where, text) in asked.items():
        if not isinstance(source, JsonSource):
            raise OptionError(f"{where}: a template needs a compiled tokenizer with a tokenizer.json")
        if options.prefix() is not None and not options.special_tokens_in_text:
            raise OptionError(f"{where}: behind prefix_text a template needs special_tokens_in_text")
        prompt = parse_template(text, where)
        added = source.tokenizer.get_added_tokens_decoder()
        literals = "\0".join(piece for piece in prompt.pieces if isinstance(piece, str))
        guarded = named_in(added, literals)
        guarded_ids(added, guarded, normalizes=source.tokenizer.normalizer is not None)
        found[name] = Template(prompt, guarded)
    return found


def parse_template(text: Any, where: str = "template") -> Prompt:
    """The pieces of a template; ``where`` names it in errors.

    Raises:
      OptionError: single braces, a field without a name, or anything else behind it than a strip.
    """
    if not isinstance(text, str):
        raise OptionError(f"{where}: {shown(text)} must be a text such as 'Question: {{question}}'")
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise OptionError(
            f"{where}: {error} in {shown(text)}; braces of the text itself are doubled"
        ) from None
    pieces: list[str | Field] = []
    for literal, name, strip, conversion in parsed:
        if literal and pieces and isinstance(pieces[-1], str):
            pieces[-1] += literal
        elif literal:
            pieces.append(literal)
        if name is not None:
            pieces.append(_field(where, name, strip or "", conversion))
    if not any(isinstance(piece, Field) for piece in pieces):
        raise OptionError(
            f"{where}: {shown(text)} has no field; allowed: a text such as 'Question: {{question}}'"
        )
    return Prompt(tuple(pieces))


def _field(where: str, name: str, strip: str, conversion: str | None) -> Field:
    if not name.isascii() or not name.isidentifier():
        raise OptionError(f"{where}: {{{name}}} is no name of an input; allowed: letters, digits and '_'")
    if conversion or (strip and strip not in _STRIPS):
        given = f"!{conversion}" if conversion else f":{strip}"
        hint = did_you_mean(strip, _STRIPS)
        raise OptionError(
            f"{where}: {{{name}{given}}}{hint}; allowed: " + ", ".join(f":{one}" for one in _STRIPS)
        )
    return Field(name, (Strip(_STRIPS[strip]),) if strip else ())
