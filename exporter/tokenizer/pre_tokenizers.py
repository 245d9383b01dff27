"""Pre-tokenizers: each puts ``CUT`` marks into the texts, or splits them where it must see single pieces.

Every pattern is explicit ranges (``chars``, ``regex``). A pre-tokenizer changes pieces, never rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import chars, codepoints, nodes, pieces, regex, tables
from exporter.tokenizer.codepoints import CodePoints
from exporter.tokenizer.pieces import CUT, Pieces
from exporter.tokenizer.regex import Translation
from exporter.tokenizer.run_rules import RunRule

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
    if found.runs is not None:
        return ByCodePoints(RunRule(found.runs, behavior, invert))
    if behavior == "Isolated":
        return isolate(found)
    if behavior == "Removed":
        return keep_matches(found) if invert else _marking(found, found.pattern, CUT)
    if behavior == "Contiguous":
        if found.cut:
            raise TokenizerUnsupportedError(path, "Contiguous with a look-ahead pattern")
        return isolate(found._replace(pattern=f"(?:{found.pattern})+"))
    before = (behavior == "MergedWithNext") != invert
    return _marking(found, found.pattern, CUT + b"\\0" if before else b"\\0" + CUT)


def prefix_stage(prefix: str, first_only: bool) -> Stage:
    """Puts ``prefix`` before texts that do not begin with it: all, or the first of each row. Tokens stay."""

    def stage(source: Pieces) -> Pieces:
        texts, start = source.texts, tf.strings.substr(source.texts, 0, len(prefix.encode()))
        wanted = (start != prefix.encode()) & (texts != b"") & ~pieces.is_token(texts)
        if first_only:
            wanted &= pieces.begins_row(source)
        return source.with_texts(tf.where(wanted, prefix.encode() + texts, texts))

    return stage


class AsByteCharacters(tf.Module):
    """Writes bytes as GPT-2's characters: what a pre-tokenizer after ByteLevel sees."""

    def __init__(self) -> None:
        super().__init__(name="as_byte_characters")
        self._map = codepoints.byte_characters()

    def __call__(self, source: Pieces) -> Pieces:
        source = pieces.split_at_cuts(source)
        token = pieces.is_token(source.texts)
        points = codepoints.decode_bytes(tf.where(token, b"", source.texts))
        return source.with_texts(tf.where(token, source.texts, codepoints.encode(self._map(points))))


class ByCodePoints(tf.Module):
    """Cuts texts where ``rule`` says: code points -> (begins bool [characters], kept bool [characters])."""

    def __init__(self, rule: Callable[[CodePoints], tuple[tf.Tensor, tf.Tensor]]) -> None:
        super().__init__(name="by_code_points")
        self._rule = rule

    def __call__(self, source: Pieces) -> Pieces:
        source = pieces.split_at_cuts(source)
        token = pieces.is_token(source.texts)
        points = codepoints.decode(tf.where(token, b"", source.texts))
        begins, kept = self._rule(points)
        text = tf.boolean_mask(points.text(), begins)
        left = points.keep(kept)
        places = tf.cast(tf.where(tf.boolean_mask(begins, kept))[:, 0], tf.int64)
        splits = tf.concat([places, tf.size(left.values, tf.int64)[tf.newaxis]], 0)
        parts = codepoints.encode(CodePoints(left.values, splits))
        count = tf.size(source.texts)
        joined = tf.strings.unsorted_segment_join(parts, text, count, separator=CUT)
        return source.with_texts(tf.where(token, source.texts, joined))


class Scripts(tf.Module):
    """A text is cut where the script changes; characters of any script belong to what stands before them.

    Those at a text's beginning are lost, as in the library.
    """

    def __init__(self) -> None:
        super().__init__(name="scripts")
        self._scripts = tables.CharTable(chars.scripts(), "scripts")

    def __call__(self, points: CodePoints) -> tuple[tf.Tensor, tf.Tensor]:
        script, text = self._scripts(points.values), points.text()
        last = codepoints.last_place(script > 0)
        before = codepoints.shifted(last, -1)
        inside = (before >= 0) & (tf.gather(text, tf.maximum(before, 0)) == text)
        same = inside & (tf.gather(script, tf.maximum(before, 0)) == script)
        kept = (last >= 0) & (tf.gather(text, tf.maximum(last, 0)) == text)
        return (script > 0) & ~same, kept


class FixedLength:
    """A text is cut after every ``length`` characters."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __call__(self, points: CodePoints) -> tuple[tf.Tensor, tf.Tensor]:
        place = tf.range(tf.size(points.values, tf.int64), dtype=tf.int64)
        within = place - tf.gather(points.splits, points.text())
        return within % self._length == 0, tf.ones_like(within, tf.bool)


class PreTokenizer(tf.Module):
    """The stages in order. ``byte_level``: afterwards the model reads the words as bytes."""

    def __init__(self, stages: Sequence[Stage], byte_level: bool) -> None:
        super().__init__(name="pre_tokenizer")
        self._stages = list(stages)
        self.byte_level = byte_level

    def __call__(self, source: Pieces) -> Pieces:
        for stage in self._stages:
            source = stage(source)
        return source


def build_pre_tokenizer(node: nodes.PreTokenizer | None, path: str = "pre_tokenizer") -> PreTokenizer:
    """Compiles a pre-tokenizer node.

    Raises:
      TokenizerUnsupportedError: a node or pattern has no exact translation.
    """
    children = list(flatten_pre_tokenizer(node, path))
    stages: list[Stage] = []
    for index, (child, place) in enumerate(children):
        if index and isinstance(child, nodes.Metaspace) and child.prepend_scheme == "first":
            raise TokenizerUnsupportedError(place, "prepend_scheme 'first' after another pre-tokenizer")
        if index and children[index - 1][0].type == "ByteLevel":
            stages.append(AsByteCharacters())
        stages += _stages(child, place)
    return PreTokenizer(stages, bool(children) and children[-1][0].type == "ByteLevel")


def flatten_pre_tokenizer(
    node: nodes.PreTokenizer | None, path: str
) -> Iterator[tuple[nodes.PreTokenizer, str]]:
    """The nodes of nested sequences in order, each with its path."""
    if isinstance(node, nodes.PreTokenizerSequence):
        for index, child in enumerate(node.pretokenizers):
            yield from flatten_pre_tokenizer(child, f"{path}.pretokenizers[{index}]")
    elif node is not None:
        yield node, path


def _stages(node: nodes.PreTokenizer, path: str) -> list[Stage]:
    match node:
        case nodes.ByteLevelPreTokenizer():
            return _byte_level(node, path)
        case nodes.Split(pattern=pattern, behavior=behavior, invert=invert):
            return [split_stage(_translation(pattern, path), behavior, invert, path)]
        case nodes.Metaspace():
            return _metaspace(node, path)
        case nodes.Whitespace():
            return [keep_matches(_words())]
        case nodes.WhitespaceSplit():
            return [_split_on(chars.removed_by("WhitespaceSplit"), "Removed", path)]
        case nodes.BertPreTokenizer():
            white, punctuation = chars.removed_by("WhitespaceSplit"), chars.parted_by("Punctuation")
            return [_split_on(white, "Removed", path), _split_on(punctuation, "Isolated", path)]
        case nodes.Digits(individual_digits=individual):
            return [_split_on(chars.parted_by("Digits"), "Isolated" if individual else "Contiguous", path)]
        case nodes.Punctuation(behavior=behavior):
            return [_split_on(chars.parted_by("Punctuation"), behavior, path)]
        case nodes.CharDelimiterSplit(delimiter=delimiter):
            return [_split_on(chars.charset([ord(delimiter)]), "Removed", path)]
        case nodes.UnicodeScripts():
            return [ByCodePoints(Scripts())]
        case nodes.FixedLength(length=length):
            return [ByCodePoints(FixedLength(length))]
    raise TokenizerUnsupportedError(path, f"{node.type} is not supported")


def _byte_level(node: nodes.ByteLevelPreTokenizer, path: str) -> list[Stage]:
    stages: list[Stage] = []
    if node.add_prefix_space:
        stages += [pieces.split_at_cuts, prefix_stage(" ", first_only=False)]
    if node.use_regex:
        stages.append(isolate(regex.translate(GPT2_PATTERN, path)))
    return stages


def _metaspace(node: nodes.Metaspace, path: str) -> list[Stage]:
    """Spaces become the replacement, which also begins each text, or only the first."""
    replacement = node.replacement
    encoded = replacement.encode().replace(b"\\", b"\\\\")
    stages: list[Stage] = [
        pieces.split_at_cuts,
        lambda source: source.with_texts(tf.strings.regex_replace(source.texts, " ", encoded)),
    ]
    if node.prepend_scheme != "never":
        stages.append(prefix_stage(replacement, first_only=node.prepend_scheme == "first"))
    if node.split:
        stages.append(_split_on(chars.charset([ord(replacement)]), "MergedWithNext", path))
    return stages


def _split_on(members: chars.CharSet, behavior: nodes.Behavior, path: str) -> Stage:
    """Splits on the characters of a set."""
    return split_stage(Translation(chars.re2_class(members), None, total=False), behavior, False, path)


def _words() -> Translation:
    """Whitespace's ``\\w+|[^\\w\\s]+``, with the classes of Rust's regex."""
    word, white = chars.word_characters(), chars.removed_by("Whitespace")
    other = chars.complement(word | white)
    return Translation(f"{chars.re2_class(word)}+|{chars.re2_class(other)}+", None, total=False)


def _translation(pattern: nodes.Pattern, path: str) -> Translation:
    if pattern.regex is not None:
        return regex.translate(pattern.regex, path)
    if not pattern.string:
        raise TokenizerUnsupportedError(path, "an empty pattern")
    return Translation(regex.translate_literal(pattern.string), None, total=False)
