r"""The Precompiled normalizer: SentencePiece's character map, as the library applies it.

The library walks over grapheme clusters. A cluster of fewer than six bytes of which any beginning is a key
becomes the shortest such key's value, whole: what follows the key in the cluster is lost. In every other
cluster each character that is a key becomes its value.

Worked example, with the keys ``e\u0301 -> \u00e9`` and ``\uff45 -> e``: ``e\u0301x`` -> ``\u00e9x``;
``\uff45\u0301`` -> ``e``, its accent lost; ``\uff45\u0301\u0301`` (seven bytes) -> ``e\u0301\u0301``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from exporter.tokenizer import chars, tables
from exporter.tokenizer.charsmap import parse_charsmap
from exporter.tokenizer.clusters import Clusters
from exporter.tokenizer.codepoints import CharMap, CodePoints

_LONGEST = 5  # bytes of a cluster that is looked up whole
_BITS = 21  # of a code point


class _Keys(NamedTuple):
    """The keys that can matter: of one character, and longer ones that none of these begins."""

    single: dict[str, str]
    longer: dict[str, str]


class Precompiled(tf.Module):
    """Code points -> code points."""

    def __init__(self, encoded: str) -> None:
        super().__init__(name="precompiled")
        keys = _keys(parse_charsmap(encoded, _LONGEST))
        self._clusters = Clusters()
        longer = sorted((_pack(key), value) for key, value in keys.longer.items())
        # Found keys are marked by numbers above the code points, which the map then turns into values.
        self._longer = tables.array([key for key, _ in longer] or [-1], np.int64, "charsmap_keys")
        values = {chars.CODE_POINTS + index: _points(value) for index, (_, value) in enumerate(longer)}
        self._map = CharMap(
            {**{ord(k): _points(v) for k, v in keys.single.items()}, **values}, "charsmap_all"
        )

    def __call__(self, points: CodePoints) -> CodePoints:
        # Only a character outside ASCII, or CR before LF, makes a cluster of several.
        plain = tf.reduce_all((points.values < 0x80) & (points.values != 0x0D))
        return self._map(tf.cond(plain, lambda: points, lambda: self._whole_clusters(points)))

    def _whole_clusters(self, points: CodePoints) -> CodePoints:
        """Replaces each small cluster that begins with a key by the key's mark."""
        begins = self._clusters(points)
        cluster = tf.cumsum(tf.cast(begins, tf.int32)) - 1
        sizes = tf.math.segment_sum(_utf8_size(points.values), cluster)
        small = tf.gather(sizes, cluster) <= _LONGEST
        number = self._map.number(points.values)
        key, found = self._find(points.values, begins & small & (number == 0), cluster)
        replaced = begins & small & ((number > 0) | found)
        lost = tf.gather(replaced, tf.gather(tf.where(begins)[:, 0], cluster)) & ~begins
        values = tf.where(found, chars.CODE_POINTS + key, points.values)
        return CodePoints(values, points.splits).keep(~lost)

    def _find(self, values: tf.Tensor, asked: tf.Tensor, cluster: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """For every character: the number of the longer key that begins here, and whether there is one.

        A key of two characters comes first; no key of three begins with one of two.
        """
        wide = tf.cast(values, tf.int64)
        second, third = (_within(wide, cluster, by) for by in (1, 2))
        two = tf.bitwise.left_shift(wide, _shift(2)) + tf.bitwise.left_shift(second, _shift(1))
        number, found = self._lookup(two)
        number3, found3 = self._lookup(two + third)
        return tf.where(found, number, number3), asked & (found | found3)

    def _lookup(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        place = tf.minimum(tf.searchsorted(tables.read(self._longer), key), self._longer.shape[0] - 1)
        return place, tf.gather(self._longer, place) == key


def _keys(entries: dict[str, str]) -> _Keys:
    single = {key: value for key, value in entries.items() if len(key) == 1}
    longer = {
        key: value
        for key, value in entries.items()
        if len(key) > 1 and not any(key[:end] in entries for end in range(1, len(key)))
    }
    return _Keys(single, longer)


def _points(value: str) -> tuple[int, ...]:
    return tuple(map(ord, value))


def _pack(key: str) -> int:
    """Two or three characters as one number; a missing third is 0 (NUL begins no key)."""
    first, second, third = (*_points(key), 0)[:3]
    return first << 2 * _BITS | second << _BITS | third


def _shift(places: int) -> tf.Tensor:
    return tf.constant(places * _BITS, tf.int64)


def _within(values: tf.Tensor, cluster: tf.Tensor, by: int) -> tf.Tensor:
    """int64 [n]: the value ``by`` places on in the same cluster, 0 where there is none."""
    padding = tf.fill([by], -1)
    beyond = tf.concat([cluster, padding], 0)[by:]
    return tf.where(beyond == cluster, tf.concat([values, tf.cast(padding, tf.int64)], 0)[by:], 0)


def _utf8_size(values: tf.Tensor) -> tf.Tensor:
    """int32 [n]: how many bytes each code point takes."""
    limits = (0x80, 0x800, 0x10000)
    return 1 + tf.add_n([tf.cast(values >= limit, tf.int32) for limit in limits])
