"""Python's ``str.lower``: a map by character, and the one rule that looks around, final sigma.

The character tables are asked of Python itself at export.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from exporter.tokenizer import chars, codepoints, tables
from exporter.tokenizer.tables import on_cpu

_CAPITAL, _FINAL = ord("Σ"), ord("ς")


class Lower(tf.Module):
    """string[n] -> string[n]; each string is a text of its own."""

    def __init__(self) -> None:
        super().__init__(name="lower")
        changes = {
            point: tuple(map(ord, chr(point).lower()))
            for point in chars.scalar_values().tolist()
            if chr(point).lower() != chr(point)
        }
        self._map = codepoints.CharMap(changes, "lower")
        self._around = tables.CharTable(_around_sigma(), "around_sigma")

    @on_cpu
    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        points = codepoints.decode(texts)
        final = self._final_sigmas(points)
        values = tf.where(final, _FINAL, points.values)
        return codepoints.encode(self._map(codepoints.CodePoints(values, points.splits)))

    def _final_sigmas(self, points: codepoints.CodePoints) -> tf.Tensor:
        """bool[characters]: a capital sigma behind a cased letter and not before one.

        Case-ignorable characters on both sides do not count (Unicode, section 3.13, Final_Sigma).
        """
        kinds = self._around(points.values)
        places = tf.where(kinds < 2)[:, 0]
        cased = tf.equal(tf.gather(kinds, places), 1)
        text = tf.gather(points.text(), places)
        together = tf.equal(text[1:], text[:-1])
        no = tf.zeros_like(cased[:1])
        behind = tf.concat([no, cased[:-1] & together], 0)
        before = tf.concat([cased[1:] & together, no], 0)
        sigma = tf.equal(tf.gather(points.values, places), _CAPITAL)
        return tf.scatter_nd(
            places[:, None], sigma & behind & ~before, tf.shape(points.values, out_type=tf.int64)
        )


@functools.cache
def _around_sigma() -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """By code point: 2 case-ignorable, 1 cased, 0 neither, as Python's own rule sees them."""
    kinds = np.zeros(chars.CODE_POINTS, np.int32)
    for point in chars.scalar_values().tolist():
        if f"{chr(point)}Σ".lower().endswith("ς"):
            kinds[point] = 1
        elif f"A{chr(point)}Σ".lower().endswith("ς"):
            kinds[point] = 2
    return kinds
