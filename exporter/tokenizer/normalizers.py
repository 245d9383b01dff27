"""Normalizers: stages on strings, or on code points; neighbours of one kind share a decoding.

A context-free normalizer (a map of single characters) is asked of the library as it stands; several in a
row are asked as one. NFC and its kin are decomposition, canonical ordering and composition.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf
from tokenizers import Tokenizer
from tokenizers import normalizers as library

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import chars, codepoints, forms, nodes, regex, tables
from exporter.tokenizer.codepoints import CodePoints
from exporter.tokenizer.precompiled import Precompiled

StringStage = Callable[[tf.Tensor], tf.Tensor]
PointStage = Callable[[CodePoints], CodePoints]


@dataclass(frozen=True)
class OnStrings:
    """string [n] -> string [n]."""

    stage: StringStage


@dataclass(frozen=True)
class OnPoints:
    """Code points -> code points; ``from_bytes``: of the bytes, not the characters, of the text."""

    stage: PointStage
    from_bytes: bool = False


class Normalizer(tf.Module):
    """string [n] -> string [n]: the stages in order."""

    def __init__(self, stages: Sequence[OnStrings | OnPoints]) -> None:
        super().__init__(name="normalizer")
        self._stages = tuple(stages)
        # tf.Module finds modules, and so their variables, in attributes and containers of them.
        self._modules = [stage.stage for stage in stages]

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        points: CodePoints | None = None
        for stage in self._stages:
            if isinstance(stage, OnPoints) and not stage.from_bytes:
                points = stage.stage(points or codepoints.decode(texts))
                continue
            texts = texts if points is None else codepoints.encode(points)
            points = None
            if isinstance(stage, OnPoints):
                points = stage.stage(codepoints.decode_bytes(texts))
            else:
                texts = stage.stage(texts)
        return texts if points is None else codepoints.encode(points)


def build_normalizer(node: nodes.Normalizer | None, path: str = "normalizer") -> Normalizer | None:
    """Compiles a normalizer node; None for none.

    Raises:
      TokenizerUnsupportedError: a pattern has no exact translation.
    """
    children = list(flatten_normalizer(node, path))
    stages: list[OnStrings | OnPoints] = []
    for context_free, group in itertools.groupby(children, lambda child: _is_context_free(child[0])):
        members = list(group)
        if context_free:
            stages.append(OnPoints(_character_map([child for child, _ in members])))
        else:
            for child, place in members:
                stages += _stages(child, place)
    return Normalizer(stages) if stages else None


def flatten_normalizer(node: nodes.Normalizer | None, path: str) -> Iterator[tuple[nodes.Normalizer, str]]:
    """The nodes of nested sequences in order, each with its path."""
    if isinstance(node, nodes.NormalizerSequence):
        for index, child in enumerate(node.normalizers):
            yield from flatten_normalizer(child, f"{path}.normalizers[{index}]")
    elif node is not None:
        yield node, path


def _is_context_free(node: nodes.Normalizer) -> bool:
    if isinstance(node, nodes.BertNormalizer):
        return not _strips_accents(node)
    return isinstance(node, nodes.Lowercase | nodes.StripAccents | nodes.Nmt)


def _strips_accents(node: nodes.BertNormalizer) -> bool:
    return node.lowercase if node.strip_accents is None else node.strip_accents


def _stages(node: nodes.Normalizer, path: str) -> list[OnStrings | OnPoints]:
    match node:
        case nodes.NFC() | nodes.NFD() | nodes.NFKC() | nodes.NFKD():
            return [OnPoints(NormalForm(node.type))]
        case nodes.BertNormalizer():
            return _bert_with_accents(node)
        case nodes.StripNormalizer():
            return [OnStrings(_strip(node))]
        case nodes.Prepend():
            return [OnStrings(lambda texts: tf.where(texts == b"", texts, node.prepend.encode() + texts))]
        case nodes.ReplaceNormalizer():
            return [OnStrings(_replace(node, path))]
        case nodes.Precompiled():
            return [OnPoints(_precompiled(node, path))]
        case nodes.ByteLevelNormalizer():
            return [OnPoints(codepoints.byte_characters(), from_bytes=True)]
    raise TokenizerUnsupportedError(path, f"{node.type} is not supported")


class NormalForm(tf.Module):
    """NFC, NFD, NFKC or NFKD."""

    def __init__(self, form: str) -> None:
        super().__init__(name=form.lower())
        self._decompose = codepoints.CharMap(
            forms.decompositions("NFKD" if "K" in form else "NFD"), f"{form.lower()}_decompose"
        )
        self._reorder = codepoints.Reorder()
        self._compose = codepoints.Compose() if form.endswith("C") else None
        if self._compose:
            self._stable = tables.CharTable(forms.composition_stable(form), f"{form.lower()}_stable")

    def __call__(self, points: CodePoints) -> CodePoints:
        if not self._compose:
            return self._reorder(self._decompose(points))
        stable = tf.reduce_all(self._stable(points.values) > 0)
        return tf.cond(stable, lambda: points, lambda: self._compose(self._reorder(self._decompose(points))))


def _bert_with_accents(node: nodes.BertNormalizer) -> list[OnStrings | OnPoints]:
    """Clean, decompose; order; then drop accents and lower case."""
    rest = {"clean_text": False, "handle_chinese_chars": False}
    clean = library.Sequence(
        [
            library_normalizer(node.model_copy(update={"strip_accents": False, "lowercase": False})),
            library.NFD(),
        ]
    )
    drop = library_normalizer(node.model_copy(update={**rest, "strip_accents": True}))
    return [
        OnPoints(codepoints.CharMap(forms.changes(clean.normalize_str), "bert_clean")),
        OnPoints(codepoints.Reorder()),
        OnPoints(codepoints.CharMap(forms.changes(drop.normalize_str), "bert_drop")),
    ]


def _character_map(members: Sequence[nodes.Normalizer]) -> codepoints.CharMap:
    """What the library makes of every single character."""
    asked = library.Sequence([library_normalizer(member) for member in members])
    return codepoints.CharMap(forms.changes(asked.normalize_str), "_".join(m.type.lower() for m in members))


def library_normalizer(node: nodes.Normalizer) -> library.Normalizer:
    """The library's own normalizer of a node."""
    description = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    file = {**description, "normalizer": node.model_dump(by_alias=True, exclude_none=True)}
    return Tokenizer.from_str(json.dumps(file)).normalizer


def _precompiled(node: nodes.Precompiled, path: str) -> Precompiled:
    try:
        return Precompiled(node.precompiled_charsmap)
    except (ValueError, struct.error, IndexError) as error:
        raise TokenizerUnsupportedError(path, f"not a readable charsmap: {error}") from error


def _strip(node: nodes.StripNormalizer) -> StringStage:
    white = chars.re2_class(chars.removed_by("WhitespaceSplit"))
    ends = [f"^{white}+"] * node.strip_left + [f"{white}+$"] * node.strip_right

    def stage(texts: tf.Tensor) -> tf.Tensor:
        for end in ends:
            texts = tf.strings.regex_replace(texts, end, b"")
        return texts

    return stage


#: A text is a string of its own here, so that its start is RE2's too.
_TEXT_START = r"\A"


def _replace(node: nodes.ReplaceNormalizer, path: str) -> StringStage:
    pattern = node.pattern
    if pattern.regex is not None:
        at_start = pattern.regex.startswith(_TEXT_START) and "|" not in pattern.regex
        found = regex.translate(pattern.regex.removeprefix(_TEXT_START) if at_start else pattern.regex, path)
        if found.cut or found.runs:
            raise TokenizerUnsupportedError(path, "Replace with a look-ahead or an anchor")
        expression = f"^(?:{found.pattern})" if at_start else found.pattern
    elif pattern.string:
        expression = regex.translate_literal(pattern.string)
    else:
        raise TokenizerUnsupportedError(path, "an empty pattern")
    content = node.content.encode().replace(b"\\", b"\\\\")
    return lambda texts: tf.strings.regex_replace(texts, expression, content)
