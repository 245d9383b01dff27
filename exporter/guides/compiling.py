"""A guide and a vocabulary -> the table that generation masks by."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from exporter.errors import OptionError
from exporter.guides import patterns
from exporter.guides.automaton import machine_of
from exporter.guides.guide import Guide
from exporter.guides.machine import Machine
from exporter.guides.syntax import OneOf, Syntax, Text
from exporter.guides.table import GuideTable, token_table

#: The most states of an automaton, unless an option says otherwise.
DEFAULT_LIMIT = 16384


def compile_guide(
    guide: Guide,
    vocabulary: Sequence[bytes],
    eos_token_id: Sequence[int],
    special_ids: Collection[int],
    *,
    first: Sequence[bytes] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> GuideTable:
    """The table of a guide; the decoded text of whatever it lets through to the end is an answer.

    Args:
      vocabulary: the bytes that each token adds to decoded text; empty for tokens that are left out.
      eos_token_id: the tokens that end an answer, at least one.
      special_ids: tokens that no answer holds.
      first: the bytes that each token adds as an answer's first one, where that differs; a token that adds
        nothing there alone (a leading space that is taken away) may begin any answer.
      limit: most states of the automaton over bytes; checked before the table is built.

    Raises:
      OptionError: the guide is wrong, too large, or allows nothing that the vocabulary can spell.
      UnsupportedError: it asks for something that a table cannot say; the message names it.
    """
    outside = [token for token in eos_token_id if not 0 <= token < len(vocabulary)]
    if outside:
        raise OptionError(f"{guide.name}: eos_token_id {outside}; allowed: 0 to {len(vocabulary) - 1}")
    if not eos_token_id:
        raise OptionError(f"{guide.name}: the model has no end-of-sequence token to end an answer with")
    machine = language(guide, limit)
    if machine.empty:
        raise OptionError(f"{guide.name}: it allows no text at all")
    return token_table(
        machine, vocabulary, vocabulary if first is None else first, eos_token_id, special_ids, guide.name
    )


def language(guide: Guide, limit: int = DEFAULT_LIMIT) -> Machine:
    """The automaton over the UTF-8 of every answer that a guide allows."""
    try:
        return machine_of(_syntax(guide, limit), limit)
    except OptionError as problem:
        raise OptionError(_named(guide, str(problem))) from None
    except RecursionError:
        raise OptionError(f"{guide.name}: its parts nest too deep in each other to be read") from None


def _named(guide: Guide, message: str) -> str:
    return message if message.startswith(guide.name) else f"{guide.name}: {message}"


def _syntax(guide: Guide, limit: int) -> Syntax:
    if guide.kind == "regex":
        return patterns.parse(guide.source, guide.name)
    if guide.kind == "choice":
        return OneOf(tuple(Text(text) for text in guide.source))
    from exporter.guides.schema import syntax_of

    return syntax_of(guide, limit)
