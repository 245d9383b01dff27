"""Oniguruma patterns of real tokenizers -> RE2, exactly, or a refusal.

The two engines agree on leftmost, first-alternative, greedy matching. They differ in character classes,
look-around, possessive quantifiers and case folding; so

* every class becomes explicit ranges, asked of the library (``chars.regex_class``);
* a possessive quantifier becomes greedy where giving characters back could never help;
* ``\\s+(?!\\S)|\\s+`` (all white space but the last, if a word follows) becomes a cut: before matching, each
  white-space run is cut before its last character, and the two arms become ``\\s+``. ``lookahead`` proves
  that no other arm would have matched across the cut, and that where it cuts nothing the look-ahead is
  never reached;
* a pattern that is one look-ahead or anchor and nothing else becomes a rule about runs (``runs``).

Worked example, with ``·`` for a space and ``|`` for the cut: ``a···b`` -> ``a··|·b`` -> ``a``,
``··``, ``·b``.

Source: Oniguruma doc/RE (Ruby syntax); https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from typing import NamedTuple

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import chars
from exporter.tokenizer.regex.automaton import Automaton
from exporter.tokenizer.regex.lookahead import without_lookahead
from exporter.tokenizer.regex.parsing import parse
from exporter.tokenizer.regex.possessive import made_greedy
from exporter.tokenizer.regex.runs import RunKind, Runs, as_runs
from exporter.tokenizer.regex.syntax import (
    UNBOUNDED,
    Alternate,
    Chars,
    Concat,
    Repeat,
    Syntax,
    UntranslatableError,
    why_untranslatable,
)

__all__ = ["RunKind", "Runs", "Translation", "translate", "translate_literal"]


class Translation(NamedTuple):
    """What the graph needs of a pattern.

    Attributes:
      pattern: RE2, without look-around; never matches the empty string.
      cut: RE2 with two groups; a cut belongs between them, before ``pattern`` is applied. Or None.
      total: whether every character starts a match, so that nothing is left between matches.
      runs: the whole pattern as a rule about runs; ``pattern`` is then empty.
    """

    pattern: str
    cut: str | None
    total: bool
    runs: Runs | None = None


def translate(pattern: str, path: str) -> Translation:
    """Translates an Oniguruma pattern; TokenizerUnsupportedError names ``path`` where it cannot be exact."""
    try:
        syntax = parse(pattern)
        runs = as_runs(syntax)
        if runs is not None:
            return Translation("", None, total=False, runs=runs)
        arms = syntax.arms if isinstance(syntax, Alternate) else (syntax,)
        arms, cut = without_lookahead(arms)
        arms = tuple(made_greedy(arm) for arm in arms)
        automaton = Automaton(Alternate(arms))
        if automaton.accepts(automaton.start()):
            raise UntranslatableError("it matches the empty string")
        return Translation(
            pattern="|".join(_emit(arm) for arm in arms),
            cut=cut,
            total=automaton.is_total(),
        )
    except UntranslatableError as problem:
        raise TokenizerUnsupportedError(path, f"regex {pattern!r}: {problem}") from None


def translate_literal(text: str) -> str:
    """RE2 for exactly this text."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)


def _emit(syntax: Syntax) -> str:
    """RE2 text; every part is an atom, so that a quantifier may follow."""
    match syntax:
        case Chars(members):
            return chars.re2_class(members)
        case Concat(items):
            return "".join(
                f"(?:{_emit(item)})" if isinstance(item, Alternate) else _emit(item) for item in items
            )
        case Alternate(arms):
            return "|".join(_emit(arm) for arm in arms)
        case Repeat(item, minimum, maximum, greedy):
            body = _emit(item) if isinstance(item, Chars) else f"(?:{_emit(item)})"
            return f"{body}{_quantifier(minimum, maximum)}{'' if greedy else '?'}"
    raise why_untranslatable(syntax)


def _quantifier(minimum: int, maximum: int) -> str:
    simple = {(0, UNBOUNDED): "*", (1, UNBOUNDED): "+", (0, 1): "?"}.get((minimum, maximum))
    return simple or f"{{{minimum},{'' if maximum == UNBOUNDED else maximum}}}"
