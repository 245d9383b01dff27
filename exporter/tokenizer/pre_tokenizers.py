"""Pre-tokenizers: each puts ``CUT`` marks into the texts, or splits them where it must see single pieces.

Every pattern is explicit ranges (``chars``, ``regex``). A pre-tokenizer changes pieces, never rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import chars, nodes, pieces, regex
from exporter.tokenizer.pieces import CUT, Pieces
from exporter.tokenizer.regex import Translation

Stage = Callable[[Pieces], Pieces]

# The pattern of the library's ByteLevel with use_regex (openai/gpt-2 encoder.py).
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def isolate(found: Translation) -> Stage:
    """Every match is a piece, and so is every text between matches."""
    marked = b"\\0" + CUT if found.total else CUT + b"\\0" + CUT
    return _marking(found, found.pattern, marked)


def keep_matches(found: Translation) -> Stage:
    """Every match is a piece; what lies between goes."""
    if found.total:
        return isolate(found)
    anything = chars.re2_class(chars.complement(chars.charset([])))
    return _marking(found, f"({found.pattern})|{anything}", b"\\1" + CUT)


def _marking(found: Translation, pattern: str, rewrite: bytes) -> Stage:
    """Rewrites every match, after the pattern's own cuts."""

    def stage(source: Pieces) -> Pieces:
        texts = source.texts
        if found.cut:
            texts = tf.strings.regex_replace(texts, found.cut, b"\\1" + CUT + b"\\2")
        return source.with_texts(tf.strings.regex_replace(texts, pattern, rewrite))

    return stage


def split_stage(found: Translation, behavior: nodes.Behavior, invert: bool, path: str) -> Stage:
    """The five behaviors of the library's split; ``invert`` swaps matches and what lies between.

    Texts between matches never touch each other, so that an inverted "merge with the previous" is a cut
    before every match, and so on.
    """
    if behavior == "Isolated":
        return isolate(found)
    if behavior == "Removed":
        return keep_matches(found) if invert else _marking(found, found.pattern, CUT)
    if behavior == "Contiguous":
        if found.cut:
            raise TokenizerUnsupportedError(path, "Contiguous with a look-ahead pattern")
        return isolate(found._replace(pattern=f"(?:{found.pattern})+", total=False))
    before = (behavior == "MergedWithNext") != invert
    return _marking(found, found.pattern, CUT + b"\\0" if before else b"\\0" + CUT)


def prefix_stage(prefix: str, begins: str) -> Stage:
    """Puts ``prefix`` before every non-empty text that does not begin with ``begins``; tokens stay."""

    def stage(source: Pieces) -> Pieces:
        texts = source.texts
        start = tf.strings.substr(texts, 0, len(begins.encode()))
        wanted = (start != begins.encode()) & (start != b"") & ~pieces.is_token(texts)
        return source.with_texts(tf.where(wanted, prefix.encode() + texts, texts))

    return stage


@dataclass(frozen=True)
class PreTokenizer:
    """The stages in order. ``byte_level``: afterwards the model reads the words as bytes."""

    stages: tuple[Stage, ...]
    byte_level: bool

    def __call__(self, source: Pieces) -> Pieces:
        for stage in self.stages:
            source = stage(source)
        return source


def build_pre_tokenizer(node: nodes.PreTokenizer | None, path: str = "pre_tokenizer") -> PreTokenizer:
    """Compiles a pre-tokenizer node.

    Raises:
      TokenizerUnsupportedError: a node or pattern has no exact translation.
    """
    children = list(_flat(node, path))
    stages = [stage for child, place in children for stage in _stages(child, place)]
    return PreTokenizer(tuple(stages), any(child.type == "ByteLevel" for child, _ in children))


def _flat(node: nodes.PreTokenizer | None, path: str) -> Iterator[tuple[nodes.PreTokenizer, str]]:
    """The nodes of nested sequences in order, each with its path."""
    if isinstance(node, nodes.PreTokenizerSequence):
        for index, child in enumerate(node.pretokenizers):
            yield from _flat(child, f"{path}.pretokenizers[{index}]")
    elif node is not None:
        yield node, path


def _stages(node: nodes.PreTokenizer, path: str) -> list[Stage]:
    match node:
        case nodes.ByteLevelPreTokenizer():
            return _byte_level(node, path)
        case nodes.Split(pattern=pattern, behavior=behavior, invert=invert):
            return [split_stage(_translation(pattern, path), behavior, invert, path)]
    raise TokenizerUnsupportedError(path, f"{node.type} is not supported")


def _byte_level(node: nodes.ByteLevelPreTokenizer, path: str) -> list[Stage]:
    stages: list[Stage] = []
    if node.add_prefix_space:
        stages += [pieces.split_at_cuts, prefix_stage(" ", " ")]
    if node.use_regex:
        stages.append(isolate(regex.translate(GPT2_PATTERN, path)))
    return stages


def _translation(pattern: nodes.Pattern, path: str) -> Translation:
    if pattern.regex is not None:
        return regex.translate(pattern.regex, path)
    if not pattern.string:
        raise TokenizerUnsupportedError(path, "an empty pattern")
    literal = regex.translate_literal(pattern.string)
    return Translation(literal, None, total=False, single=len(pattern.string) == 1)
