"""UTF-8 well-formedness of byte streams, by arithmetic alone.

Bytes that may continue a character (80 - BF) never begin one, so whether a byte belongs to a well-formed
prefix depends on at most three bytes before it: no scan is needed. Ill-formed text is divided as the
Unicode Standard recommends ("maximal subparts", section 3.9), which is what Rust's ``from_utf8_lossy`` does.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

REPLACEMENT = "\ufffd".encode()


class Utf8(NamedTuple):
    """bool[bytes] each."""

    valid: tf.Tensor  # the byte belongs to a well-formed character
    consumed: tf.Tensor  # the byte continues a (perhaps broken off) character that began before it


def inspect_utf8(stream: tf.Tensor) -> Utf8:
    """Classifies each byte of int32[bytes].

    Example: in E2 82 41, 82 is consumed by the broken off E2, and only 41 is valid.
    """
    # How many bytes must follow; -1 for what begins no character.
    need = tf.where(stream < 0xE0, 1, tf.where(stream < 0xF0, 2, 3))
    need = tf.where((stream < 0xC2) | (stream > 0xF4), -1, need)
    need = tf.where(stream < 0x80, 0, need)
    continuation = tf.equal(tf.bitwise.bitwise_and(stream, 0xC0), 0x80)
    # Whether the byte stands first, second, third behind a byte that asks for it.
    first = _may_follow(_back(stream, 1), stream) & (_back(need, 1) >= 1)
    second = continuation & _back(first, 1) & (_back(need, 2) >= 2)
    third = continuation & _back(second, 1) & (_back(need, 3) >= 3)
    whole = tf.equal(need, 0)
    for count, behind in ((1, first), (2, second), (3, third)):
        whole |= tf.equal(need, count) & tf.pad(behind[count:], [[0, count]])[: tf.size(stream)]
    valid = whole
    for count, behind in ((1, first), (2, second), (3, third)):
        valid |= behind & _back(whole, count)
    return Utf8(valid, first | second | third)


def _back(values: tf.Tensor, count: int) -> tf.Tensor:
    """The value ``count`` places before each place; zero before the beginning."""
    return tf.pad(values, [[count, 0]])[: tf.size(values)]


def _may_follow(lead: tf.Tensor, byte: tf.Tensor) -> tf.Tensor:
    """Whether ``byte`` may stand second after ``lead``; four leads allow a part of 80 - BF only."""
    low = tf.where(tf.equal(lead, 0xE0), 0xA0, tf.where(tf.equal(lead, 0xF0), 0x90, 0x80))
    high = tf.where(tf.equal(lead, 0xED), 0x9F, tf.where(tf.equal(lead, 0xF4), 0x8F, 0xBF))
    return (byte >= low) & (byte <= high)


def replace_ill_formed(
    rows: tf.Tensor, byte_strings: tf.Tensor, replacement: bytes = REPLACEMENT
) -> tf.Tensor:
    """string[rows] -> string[rows], each ill-formed part replaced by ``replacement`` (U+FFFD).

    Args:
      rows: any bytes.
      byte_strings: string[256], the one-byte strings (a variable: NumPy would lose the NUL).
    """
    # A line feed after each row keeps the next row's bytes from continuing it.
    joined = tf.strings.reduce_join(rows + tf.constant(b"\n", tf.string))
    stream = tf.cast(tf.io.decode_raw(joined, tf.uint8), tf.int32)
    lengths = tf.strings.length(rows) + 1
    row = tf.repeat(tf.range(tf.size(rows)), lengths)
    valid, consumed = inspect_utf8(stream)
    broken = tf.math.unsorted_segment_max(tf.cast(~valid, tf.int32), row, tf.size(rows)) > 0
    # Text is rebuilt byte by byte only for the rows that need it; the line feeds are left out.
    ends = tf.cumsum(lengths) - 1
    inside = tf.tensor_scatter_nd_update(tf.gather(broken, row), ends[:, None], tf.zeros_like(broken))
    places = tf.where(inside)[:, 0]
    ill = tf.where(tf.gather(consumed, places), b"", tf.constant(replacement, tf.string))
    pieces = tf.where(tf.gather(valid, places), tf.gather(byte_strings, tf.gather(stream, places)), ill)
    rebuilt = tf.strings.unsorted_segment_join(pieces, tf.gather(row, places), tf.size(rows))
    return tf.where(broken, rebuilt, rows)
