"""Graph stages over code points: context-free maps, canonical ordering, canonical composition.

Tables are made by ``forms`` and live in variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.tokenizer import chars, forms, tables
from exporter.tokenizer.bytestream import byte_alphabet
from exporter.tokenizer.tables import CharTable


class CodePoints(NamedTuple):
    """Texts as code points.

    Attributes:
      values: int32 [characters], all texts' in order.
      splits: int64 [texts + 1].
    """

    values: tf.Tensor
    splits: tf.Tensor

    def starts(self) -> tf.Tensor:
        """bool [characters]: where a text begins."""
        firsts = tf.boolean_mask(self.splits[:-1], self.splits[1:] > self.splits[:-1])
        ones = tf.ones_like(firsts, tf.bool)
        return tf.scatter_nd(firsts[:, tf.newaxis], ones, tf.shape(self.values, tf.int64))

    def text(self) -> tf.Tensor:
        """int64 [characters]: the index of the text that a character stands in."""
        place = tf.range(tf.size(self.values, tf.int64), dtype=tf.int64)
        return tf.searchsorted(self.splits, place, side="right", out_type=tf.int64) - 1

    def keep(self, kept: tf.Tensor) -> CodePoints:
        """Without the characters for which ``kept`` (bool [characters]) is False."""
        counts = tf.concat([[0], tf.cumsum(tf.cast(kept, tf.int64))], 0)
        return CodePoints(tf.boolean_mask(self.values, kept), tf.gather(counts, self.splits))


def decode(texts: tf.Tensor) -> CodePoints:
    """string [texts], valid UTF-8 -> code points."""
    decoded = tf.raw_ops.UnicodeDecode(input=texts, input_encoding="UTF-8", errors="replace")
    return CodePoints(decoded.char_values, decoded.row_splits)


def decode_bytes(texts: tf.Tensor) -> CodePoints:
    """string [texts] -> each byte as a number."""
    splits = tf.concat([[0], tf.cumsum(tf.cast(tf.strings.length(texts), tf.int64))], 0)
    values = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
    return CodePoints(tf.cast(values, tf.int32), splits)


def encode(points: CodePoints) -> tf.Tensor:
    """Code points -> string [texts]."""
    return tf.raw_ops.UnicodeEncode(
        input_values=points.values, input_splits=points.splits, output_encoding="UTF-8", errors="replace"
    )


class CharMap(tf.Module):
    """A context-free map: each character becomes none, one or several.

    Keys above the code points are allowed: marks that a caller sets itself.
    """

    def __init__(self, changes: Mapping[int, tuple[int, ...]], name: str) -> None:
        super().__init__(name=name)
        replacements = sorted(set(changes.values()))
        row = {replacement: number for number, replacement in enumerate(replacements, start=1)}
        numbers = np.zeros(max([chars.CODE_POINTS - 1, *changes]) + 1, np.int32)  # 0: the character stays
        for point, replacement in changes.items():
            numbers[point] = row[replacement]
        self.number = CharTable(numbers, f"{name}_number")
        lengths = [0, 1, *map(len, replacements)]  # row 0 holds one place, for the character itself
        self._splits = tables.array(np.cumsum(lengths), np.int64, f"{name}_splits")
        self._values = tables.array(np.concatenate([[0], *replacements]), np.int32, f"{name}_values")

    def __call__(self, points: CodePoints) -> CodePoints:
        number = self.number(points.values)
        return tf.cond(tf.reduce_any(number > 0), lambda: self._map(points, number), lambda: points)

    def _map(self, points: CodePoints, number: tf.Tensor) -> CodePoints:
        gathered = tf.raw_ops.RaggedGather(
            params_nested_splits=[tables.read(self._splits)],
            params_dense_values=tables.read(self._values),
            indices=number,
            OUTPUT_RAGGED_RANK=1,
        )
        splits = gathered.output_nested_splits[0]
        stays = tf.where(number == 0)
        places = tf.gather(splits, stays)
        itself = tf.gather(points.values, stays[:, 0])
        values = tf.tensor_scatter_nd_update(gathered.output_dense_values, places, itself)
        return CodePoints(values, tf.gather(splits, points.splits))


def byte_characters() -> CharMap:
    """The characters by which GPT-2's vocabularies write bytes: printable ones stand for themselves."""
    stand_ins = {byte: (ord(character),) for character, byte in byte_alphabet().items()}
    return CharMap(
        {byte: points for byte, points in stand_ins.items() if points != (byte,)}, "byte_characters"
    )


class Reorder(tf.Module):
    """Canonical ordering: within a run of combining marks, by class; equal classes keep their order."""

    def __init__(self, name: str = "reorder") -> None:
        super().__init__(name=name)
        self.ranks = CharTable(_ranks(), f"{name}_ranks")

    def __call__(self, points: CodePoints) -> CodePoints:
        ranks = self.ranks(points.values)
        before = shifted(ranks, 0)
        wrong = (before > ranks) & (ranks > 0) & ~points.starts()
        return tf.cond(tf.reduce_any(wrong), lambda: self._sort(points, ranks), lambda: points)

    def _sort(self, points: CodePoints, ranks: tf.Tensor) -> CodePoints:
        run = tf.cumsum(tf.cast((ranks == 0) | points.starts(), tf.int64))
        order = tf.argsort(run * 512 + tf.cast(ranks, tf.int64), stable=True)
        return CodePoints(tf.gather(points.values, order), points.splits)


def _ranks() -> npt.NDArray[np.int32]:
    ranks = np.zeros(chars.CODE_POINTS, np.int32)
    for point, rank in forms.combining_classes().items():
        ranks[point] = rank
    return ranks


class Compose(tf.Module):
    """Canonical composition of canonically ordered text.

    A mark joins the last starter before it unless something between them blocks it (a starter, or a mark of
    its own class or above). Each round joins at most one character to every starter, the leftmost that can:
    characters up to it are never asked again.
    """

    def __init__(self, name: str = "compose") -> None:
        super().__init__(name=name)
        pairs = forms.compositions()
        self._keys = tables.array(pairs.keys, np.int64, f"{name}_keys")
        self._composites = tables.array(pairs.composites, np.int32, f"{name}_composites")
        self._ranks = CharTable(_ranks(), f"{name}_ranks")

    def __call__(self, points: CodePoints) -> CodePoints:
        asked = tf.zeros_like(points.values, tf.bool)
        composite, starter = self._candidates(points, asked)
        state = tf.while_loop(
            lambda points, asked, composite, starter: tf.reduce_any(composite >= 0),
            self._round,
            (points, asked, composite, starter),
            shape_invariants=(
                CodePoints(tf.TensorShape([None]), points.splits.shape),
                tf.TensorShape([None]),
                tf.TensorShape([None]),
                tf.TensorShape([None]),
            ),
        )
        return state[0]

    def _candidates(self, points: CodePoints, asked: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """For every character: what it and its starter become (-1: nothing), and its starter's place."""
        ranks, starts = self._ranks(points.values), points.starts()
        place = tf.range(tf.size(points.values))
        is_starter = ranks == 0
        text = tf.cumsum(tf.cast(starts, tf.int32))
        starter = shifted(last_place(is_starter), -1)
        safe = tf.maximum(starter, 0)
        same_text = (starter >= 0) & (tf.gather(text, safe) == text)
        before = shifted(ranks, 0)
        open_ = (starter == place - 1) | (before < ranks)
        first = tf.cast(tf.gather(points.values, safe), tf.int64)
        key = tf.bitwise.left_shift(first, tf.constant(21, tf.int64)) + tf.cast(points.values, tf.int64)
        found = tf.minimum(tf.searchsorted(tables.read(self._keys), key), self._keys.shape[0] - 1)
        joins = same_text & open_ & ~asked & (tf.gather(self._keys, found) == key)
        return tf.where(joins, tf.gather(self._composites, found), -1), safe

    def _round(
        self, points: CodePoints, asked: tf.Tensor, composite: tf.Tensor, starter: tf.Tensor
    ) -> tuple[CodePoints, tf.Tensor, tf.Tensor, tf.Tensor]:
        size, place = tf.size(points.values), tf.range(tf.size(points.values))
        # Of each starter's candidates the leftmost; none of a starter that itself may join the one before.
        joins = composite >= 0
        leftmost = tf.math.unsorted_segment_min(tf.where(joins, place, size), starter, size)
        joins = (tf.gather(leftmost, starter) == place) & ~tf.gather(joins, starter)
        joined, target = tf.where(joins), tf.boolean_mask(starter, joins)[:, tf.newaxis]
        values = tf.tensor_scatter_nd_update(points.values, target, tf.gather_nd(composite, joined))
        upto = tf.where(tf.gather(joins, tf.minimum(leftmost, size - 1)) & (leftmost < size), leftmost, -1)
        asked = asked | ((place <= tf.gather(upto, starter)) & (place > starter))
        kept = ~joins
        points = CodePoints(values, points.splits).keep(kept)
        asked = tf.boolean_mask(asked, kept)
        return points, asked, *self._candidates(points, asked)


def shifted(values: tf.Tensor, first: int) -> tf.Tensor:
    """int32 [n]: each place holds its predecessor's value, the first one ``first``."""
    return tf.concat([tf.fill(tf.shape(values[:1]), first), values[:-1]], 0)


def last_place(flags: tf.Tensor) -> tf.Tensor:
    """int32 [n]: the last place up to each one whose flag is set, -1 before the first."""
    places = tf.concat([[-1], tf.cast(tf.where(flags)[:, 0], tf.int32)], 0)
    return tf.gather(places, tf.cumsum(tf.cast(flags, tf.int32)))
