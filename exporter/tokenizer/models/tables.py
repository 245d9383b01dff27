"""Tables of the served graph: hash tables in assets, arrays and strings in variables.

Nothing here becomes a GraphDef constant, and everything lives on the CPU. A word is recognised by its
farmhash fingerprint and then compared byte by byte with the entry found, so that any byte string can be
a key (the text files behind ``StaticHashTable`` could hold neither newlines nor bytes that are no text).
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

CPU = "/device:CPU:0"
_FINGERPRINT_BUCKETS = 2**63 - 1  # the largest modulus that the hashing op takes

F = TypeVar("F", bound=Callable[..., Any])


def on_cpu(function: F) -> F:
    """Pins every op that ``function`` creates to the CPU; needed again inside loop and branch bodies."""

    @functools.wraps(function)
    def pinned(*args: Any, **kwargs: Any) -> Any:
        with tf.device(CPU):
            return function(*args, **kwargs)

    return pinned  # type: ignore[return-value]


@on_cpu
def int_variable(values: Any, dtype: tf.DType = tf.int32) -> tf.Variable:
    """A non-trainable variable of numbers."""
    return tf.Variable(tf.constant(np.asarray(values), dtype), trainable=False, dtype=dtype)


@on_cpu
def string_variable(values: Sequence[bytes]) -> tf.Variable:
    """string[len(values)]; Python bytes go in directly, because NumPy would drop trailing NULs."""
    initial = tf.constant(list(values), tf.string) if values else tf.zeros([0], tf.string)
    return tf.Variable(initial, trainable=False, shape=[len(values)])


@functools.cache
def _asset_directory() -> tempfile.TemporaryDirectory[str]:
    """Holds the tables' text files until the process ends: a later save copies them."""
    return tempfile.TemporaryDirectory(prefix="genserve-tables-")


class IntTable(tf.Module):  # type: ignore[misc]
    """int64 -> int64, -1 or ``default`` for an unknown key; stored as an asset."""

    @on_cpu
    def __init__(self, name: str, entries: Mapping[int, int], default: int = -1) -> None:
        super().__init__(name=name)
        directory = Path(tempfile.mkdtemp(dir=_asset_directory().name))
        path = directory / f"{name}.tsv"
        # An empty file is no valid table; this key can not be asked for.
        lines = (f"{key}\t{value}\n" for key, value in (entries or {-(2**62): default}).items())
        path.write_text("".join(lines), encoding="ascii")
        self.size = len(entries)
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(str(path), tf.int64, 0, tf.int64, 1), default
        )

    def __call__(self, keys: tf.Tensor) -> tf.Tensor:
        """int64[...] -> int64[...]."""
        return self._table.lookup(keys)


class WordTable(tf.Module):  # type: ignore[misc]
    """bytes -> id, -1 for an unknown word: a fingerprint finds the candidate, a comparison confirms it."""

    @on_cpu
    def __init__(self, name: str, ids: Mapping[bytes, int]) -> None:
        super().__init__(name=name)
        words = list(ids)
        marks = self._fingerprint(tf.constant(words, tf.string)).numpy().tolist() if words else []
        if len(set(marks)) != len(words):
            raise AssertionError("two words of a vocabulary have the same 63-bit fingerprint")
        self._words = string_variable([*words, b""])
        self._ids = int_variable([*ids.values(), -1])
        self._table = IntTable(f"{name}_words", {mark: i for i, mark in enumerate(marks)}, len(words))

    @staticmethod
    def _fingerprint(words: tf.Tensor) -> tf.Tensor:
        return tf.strings.to_hash_bucket_fast(words, _FINGERPRINT_BUCKETS)

    def __call__(self, words: tf.Tensor) -> tf.Tensor:
        """string[n] -> int32[n]."""
        place = self._table(self._fingerprint(words))
        found = tf.equal(tf.gather(self._words, place), words)
        return tf.where(found, tf.gather(self._ids, place), -1)


class CodePointTable(tf.Module):  # type: ignore[misc]
    """code point -> int32, ``default`` elsewhere: pages of 256, equal pages stored once."""

    def __init__(self, name: str, entries: Mapping[int, int], default: int = -1) -> None:
        super().__init__(name=name)
        dense = np.full(_CODE_POINTS, default, np.int32)
        dense[np.fromiter(entries.keys(), np.int64, len(entries))] = list(entries.values())
        pages, index = np.unique(dense.reshape(-1, 256), axis=0, return_inverse=True)
        self._pages = int_variable(pages.reshape(-1))
        self._index = int_variable(index.reshape(-1) * 256)

    def __call__(self, code_points: tf.Tensor) -> tf.Tensor:
        """int32[n] (0 ... 0x1100FF) -> int32[n]."""
        page = tf.gather(self._index, tf.bitwise.right_shift(code_points, 8))
        return tf.gather(self._pages, page + tf.bitwise.bitwise_and(code_points, 255))


END = 0xFF
"""Byte after each word of a flat byte stream: it occurs in no UTF-8 text."""
END_CODE_POINT = 0x110000
"""What ``END`` decodes to; ``CodePointTable`` may give it an entry."""
_CODE_POINTS = 0x110100


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
