"""Places in a text that no token, and no decision of a tokenizer, ever reaches across.

At a *barrier* between ``left`` and ``right``, whatever is appended,

    tokens(left + right + more) = tokens(left) + tokens_after(left, right + more)

and the second part is the same behind every left side that ends with the same character. Proven stage by
stage from tokenizer.json, never guessed: a stage that is not understood has no barriers. With ``·`` for a
space, byte-level BPE has one at ``You·are|·kind``: the pattern reads ``are``, meets the space, starts anew
there. None at ``ki|nd``, and none at ``kind|`` alone: ``ness`` may follow.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache as memo
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from exporter.tokenizer import nodes
from exporter.tokenizer.normalizers import flatten_normalizer
from exporter.tokenizer.pre_tokenizers import GPT2_PATTERN, flatten_pre_tokenizer
from exporter.tokenizer.regex.automaton import Automaton
from exporter.tokenizer.regex.lookahead import without_lookahead
from exporter.tokenizer.regex.parsing import parse
from exporter.tokenizer.regex.runs import as_runs
from exporter.tokenizer.regex.syntax import UNBOUNDED, Alternate, Chars, Repeat, UntranslatableError
from exporter.tokenizer.sources import JsonSource

_WHITE = " \n\t"

#: A stage's verdict: it cuts here for certain, it does not reach across, or the reason why it might.
_CUTS, _LOCAL = "cuts", "local"


class Barriers:
    """Finds out about the barriers of one tokenizer."""

    def __init__(self, source: JsonSource) -> None:
        self._file = source.file
        self._full = source.tokenizer
        self._added = source.tokenizer.get_added_tokens_decoder()
        self._normalizers = [
            (node, _normalize_by(node)) for node, _ in flatten_normalizer(source.file.normalizer, "")
        ]
        self._stages = [node for node, _ in flatten_pre_tokenizer(source.file.pre_tokenizer, "")]
        self._vocabulary = set(_pieces(source.file.model))
        self._joined = "\0".join(self._vocabulary)

    def why_not(self, left: str, right: str) -> str:
        """Why there may be none between two texts that are not empty; "" where there is a barrier."""
        reason = self._characters(left, right) or self._added_tokens(left, right, normalized=False)
        if reason:
            return reason
        for node, normalize in self._normalizers:
            reason = _normalizer(node, left, right)
            both = normalize(left + right)
            left = normalize(left)
            if reason or not left or not both.startswith(left) or both == left:
                return reason or f"the normalizer {node.type} does not treat both sides alike"
            right = both[len(left) :]
        return self._added_tokens(left, right, normalized=True) or self._words(left, right)

    def _characters(self, left: str, right: str) -> str:
        """Both sides keep what they are when something follows: no mark joins, nothing is stripped away."""
        before, after = left[-1], right[0]
        if unicodedata.category(before)[0] not in "LNPS" or not right.strip():
            return "white space or a mark stands before it, or only white space behind it"
        if self._normalizers and not (len(right) > 1 and right[:2].isascii()):
            return f"the normalizer may join {after!r} with what stands beside it"
        return ""

    def _added_tokens(self, left: str, right: str, *, normalized: bool) -> str:
        """No added token ends at the place, lies across it, starts there, or takes its white space."""
        text, place = left + right, len(left)
        for token in self._added.values():
            if token.normalized != normalized:
                continue
            content = token.content
            if normalized and self._full.normalizer:
                content = self._full.normalizer.normalize_str(content)
            last = place + 1 if token.lstrip else place
            for start in range(max(0, place - len(content)), last + 1):
                if content.startswith(text[start : start + len(content)]):
                    return f"the added token {token.content!r} may stand there"
        return ""

    def _words(self, left: str, right: str) -> str:
        """A pre-tokenizer cuts for certain, or none reaches across and the model never merges there."""
        for node in self._stages:
            if isinstance(node, nodes.Metaspace):
                left, right = (side.replace(" ", node.replacement) for side in (left, right))
            verdict = _pre_tokenizer(node, left, right)
            if verdict == _CUTS:
                return ""
            if verdict != _LOCAL:
                return verdict
            if isinstance(node, nodes.ByteLevelPreTokenizer):
                left, right = _as_bytes(left), _as_bytes(right)
        return self._model(left[-1], right[0])

    def _model(self, before: str, after: str) -> str:
        """No vocabulary entry holds the two characters side by side, so that nothing is merged across."""
        model = self._file.model
        if not isinstance(model, nodes.BPE | nodes.Unigram):
            return f"{model.type} reads whole words, and no pre-tokenizer cuts one there"
        if isinstance(model, nodes.BPE) and (model.continuing_subword_prefix or model.end_of_word_suffix):
            return "BPE with an affix reads whole words, and no pre-tokenizer cuts one there"
        if not {before, after} <= self._vocabulary:
            return f"{before!r} or {after!r} is unknown to the model"
        if before + after in self._joined:
            return f"a token may hold {before + after!r}"
        return ""

    def tokens_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Where an added token of ``text`` starts and ends for certain, whatever follows the text.

        Both are barriers too: what stands on either side of a token is tokenized by itself. Only tokens that
        are looked for before anything is normalized.
        """
        encoding = self._full.encode(text, add_special_tokens=False)
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            token = self._added.get(token_id)
            if token is None or token.normalized or (token.special and self._full.encode_special_tokens):
                continue
            settled = end < len(text) or not token.single_word
            if settled and text[start:end].strip() == token.content and not self._grows(text, end):
                yield start, end

    def _grows(self, text: str, end: int) -> bool:
        """Whether some added token could begin before ``end`` and go on behind the text."""
        return any(
            token.content.startswith(text[start:])
            for token in self._added.values()
            for start in range(max(0, len(text) - len(token.content) + 1), end)
        )


def _normalize_by(node: nodes.Normalizer) -> Callable[[str], str]:
    """One node, as the library applies it."""
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    content = {"normalizer": node.model_dump(by_alias=True, exclude_none=True), "model": empty}
    return Tokenizer.from_str(json.dumps(content)).normalizer.normalize_str


def _pieces(model: nodes.Model) -> list[str]:
    return [piece for piece, _ in model.vocab] if isinstance(model, nodes.Unigram) else list(model.vocab)


def _as_bytes(text: str) -> str:
    """UTF-8 in GPT-2's characters."""
    words = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return "".join(word for word, _ in words)


def _normalizer(node: nodes.Normalizer, left: str, right: str) -> str:
    """Why a normalizer might reach across: the others look at characters, and at marks behind them."""
    if isinstance(node, nodes.Precompiled) and not (left[-1].isascii() and right[0].isascii()):
        return "Precompiled maps clusters of characters"
    if isinstance(node, nodes.ReplaceNormalizer):
        return _pattern(node.pattern, left, right)
    return ""


def _pre_tokenizer(node: nodes.PreTokenizer, left: str, right: str) -> str:
    """The verdict about one pre-tokenizer on the piece of text that holds the place."""
    white = right[0] in _WHITE  # no white space stands before it
    match node:
        case nodes.Split(pattern=pattern, behavior=behavior, invert=invert):
            reason = _pattern(pattern, left, right)
            keeps_matches = (behavior, invert) in {("Isolated", False), ("Isolated", True), ("Removed", True)}
            if not reason and pattern.regex is not None and keeps_matches and _automaton(pattern.regex)[1]:
                return _CUTS
            return reason or _LOCAL
        case nodes.ByteLevelPreTokenizer(use_regex=True):
            return _reach(GPT2_PATTERN, left, right) or _CUTS
        case nodes.Metaspace(replacement=replacement, split=True):
            return _CUTS if right[0] == replacement != left[-1] else _LOCAL
        case nodes.Whitespace() | nodes.WhitespaceSplit() | nodes.BertPreTokenizer():
            return _CUTS if white else _LOCAL
        case nodes.CharDelimiterSplit(delimiter=delimiter):
            return _CUTS if right[0] == delimiter else _LOCAL
        case (
            nodes.Digits() | nodes.Punctuation() | nodes.ByteLevelPreTokenizer() | nodes.Metaspace()
        ):  # cut between two characters by what these are
            return _LOCAL
    return f"{node.type} counts from the beginning of a text"


def _pattern(pattern: nodes.Pattern, left: str, right: str) -> str:
    """Why a match might lie across the place, or be decided behind it."""
    if pattern.regex is not None:
        try:
            return _reach(pattern.regex, left, right)
        except UntranslatableError as problem:
            return f"the pattern {pattern.regex!r} is not compiled: {problem}"
    literal, text, place = pattern.string or "", left + right, len(left)
    for start in range(max(0, place - len(literal) + 1), place):
        if literal.startswith(text[start : start + len(literal)]):
            return f"{literal!r} may stand across it"
    return ""


def _reach(pattern: str, left: str, right: str) -> str:
    """Whether some attempt to match that starts on the left reads on behind the first character on the right.

    If none does, all matches before the place are decided, and end there at the latest. Where every character
    starts a match (the pattern is total) one ends exactly there.
    """
    automaton, _ = _automaton(pattern)
    text = left + right[:1]
    for start in range(len(left)):
        states = automaton.start()
        for character in text[start:]:
            states = _step(pattern, states, character)
            if not states:
                break
        if states:
            return f"the pattern {pattern!r} may read across it"
    return ""


@memo
def _step(pattern: str, states: frozenset[int], character: str) -> frozenset[int]:
    return _automaton(pattern)[0].step(states, ord(character))


@memo
def _automaton(pattern: str) -> tuple[Automaton, bool]:
    """The pattern's automaton (it may match more, never less), and whether the pattern is total."""
    syntax: Any = parse(pattern)
    runs = as_runs(syntax)
    if runs is not None:  # it matches within a run, by what the run is and the one character behind it
        return Automaton(Repeat(Chars(runs.members), 1, UNBOUNDED)), False
    arms, _ = without_lookahead(syntax.arms if isinstance(syntax, Alternate) else (syntax,))
    automaton = Automaton(Alternate(arms))
    return automaton, automaton.is_total()
