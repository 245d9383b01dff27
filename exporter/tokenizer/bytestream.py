"""Words as one stream of bytes, and the characters by which byte-level vocabularies write bytes."""

from __future__ import annotations

import functools

import tensorflow as tf

END = 0xFF
"""Byte after each word of a flat byte stream: it occurs in no UTF-8 text."""
END_CODE_POINT = 0x110000
"""What ``END`` decodes to; a ``CharTable`` may give it an entry."""


def flat_bytes(words: tf.Tensor) -> tf.Tensor:
    """string[n] -> int32[bytes + n]: the words' bytes one after the other, ``END`` after each."""
    joined = tf.strings.reduce_join(words + tf.constant(b"\xff", tf.string))
    return tf.cast(tf.io.decode_raw(joined, tf.uint8), tf.int32)


def code_points(stream: tf.Tensor, leads: tf.Tensor) -> tf.Tensor:
    """Decodes valid UTF-8 (and ``END``).

    Args:
      stream: int32[bytes].
      leads: int32 or int64 [chars], positions of the characters' first bytes.

    Returns:
      int32[chars].
    """
    padded = tf.pad(stream, [[0, 3]])
    b0, b1, b2, b3 = (tf.gather(padded, leads + i) for i in range(4))
    b1, b2, b3 = (tf.bitwise.bitwise_and(b, 0x3F) for b in (b1, b2, b3))
    two = (b0 - 0xC0) * 64 + b1
    three = ((b0 - 0xE0) * 64 + b1) * 64 + b2
    four = (((b0 - 0xF0) * 64 + b1) * 64 + b2) * 64 + b3
    wide = tf.where(b0 < 0xF0, three, tf.where(tf.equal(b0, END), END_CODE_POINT, four))
    return tf.where(b0 < 0x80, b0, tf.where(b0 < 0xE0, two, wide))


def is_lead(stream: tf.Tensor) -> tf.Tensor:
    """Whether each byte begins a character (or is ``END``)."""
    return tf.not_equal(tf.bitwise.bitwise_and(stream, 0xC0), 0x80)


@functools.cache
def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: character -> byte.

    Printable Latin-1 bytes stand for themselves, the others, in order, for U+0100 and up.
    Source: ``bytes_to_unicode`` of GPT-2's encoder.py.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def byte_level_bytes(token: str) -> bytes | None:
    """The bytes that a byte-level token stands for, or None where it is not written in the alphabet."""
    alphabet = byte_alphabet()
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return None
