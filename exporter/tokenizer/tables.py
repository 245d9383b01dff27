"""Where the graph's data lives: asset files and variables on the CPU, never GraphDef constants.

* numbers -> numbers in a ``StaticHashTable`` read from an asset (``IntTable``);
* bytes -> ids by fingerprint (``WordTable``): the fingerprint finds the candidate, which is then compared
  byte by byte, so that any byte string can be a key. The text files behind ``StaticHashTable`` could hold
  neither newlines nor bytes that are no text;
* arrays, strings and maps of all code points in non-trainable variables.

Everything here is created and used on the CPU, also inside function bodies: a GPU server must place no
tokenizer op on the device.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.devices import CPU

_FINGERPRINT_BUCKETS = 2**63 - 1  # the largest modulus that the hashing op takes
_PAGE_BITS = 7
_PAGE = 1 << _PAGE_BITS

F = TypeVar("F", bound=Callable[..., Any])


def cpu() -> AbstractContextManager[Any]:
    """The device scope of every tokenizer op."""
    scope: AbstractContextManager[Any] = tf.device(CPU)
    return scope


def on_cpu(function: F) -> F:
    """Pins every op that ``function`` creates to the CPU; needed again inside loop and branch bodies."""

    @functools.wraps(function)
    def pinned(*args: Any, **kwargs: Any) -> Any:
        with cpu():
            return function(*args, **kwargs)

    return pinned  # type: ignore[return-value]


@on_cpu
def array(values: Any, dtype: Any = np.int32, name: str | None = None) -> tf.Variable:
    """A non-trainable variable of numbers."""
    return tf.Variable(np.asarray(values, dtype), trainable=False, name=name)


@on_cpu
def string_array(values: Sequence[bytes]) -> tf.Variable:
    """string[len(values)]; Python bytes go in directly, because NumPy would drop trailing NULs."""
    initial = tf.constant(list(values), tf.string) if values else tf.zeros([0], tf.string)
    return tf.Variable(initial, trainable=False, shape=[len(values)])


def read(variable: tf.Variable) -> tf.Tensor:
    """The variable's value. Inside branches and loops TensorFlow's own implicit read loses the device."""
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


@functools.cache
def _asset_directory() -> tempfile.TemporaryDirectory[str]:
    """Holds the tables' text files until the process ends: a later save copies them."""
    return tempfile.TemporaryDirectory(prefix="genserve-tables-")


class IntTable(tf.Module):
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


class WordTable(tf.Module):
    """bytes -> id, -1 for an unknown word."""

    @on_cpu
    def __init__(self, name: str, ids: Mapping[bytes, int]) -> None:
        super().__init__(name=name)
        words = list(ids)
        marks = self._fingerprint(tf.constant(words, tf.string)).numpy().tolist() if words else []
        if len(set(marks)) != len(words):
            raise AssertionError("two words of a vocabulary have the same 63-bit fingerprint")
        self._words = string_array([*words, b""])
        self._ids = array([*ids.values(), -1])
        self._table = IntTable(f"{name}_words", {mark: i for i, mark in enumerate(marks)}, len(words))

    @staticmethod
    def _fingerprint(words: tf.Tensor) -> tf.Tensor:
        return tf.strings.to_hash_bucket_fast(words, _FINGERPRINT_BUCKETS)

    def __call__(self, words: tf.Tensor) -> tf.Tensor:
        """string[n] -> int32[n]."""
        place = self._table(self._fingerprint(words))
        found = tf.equal(tf.gather(self._words, place), words)
        return tf.where(found, tf.gather(self._ids, place), -1)


class CharTable(tf.Module):
    """code point -> int32, kept in two steps: the character's page, then its place there.

    Equal pages are stored once.
    """

    def __init__(self, values: npt.NDArray[Any], name: str) -> None:
        """``values`` by code point; they may go on above the code points, for marks of the caller's own."""
        super().__init__(name=name)
        padded = np.pad(values, [0, -len(values) % _PAGE])
        pages, index = np.unique(padded.reshape(-1, _PAGE), axis=0, return_inverse=True)
        self._pages = array(pages.ravel(), np.int32, f"{name}_pages")
        self._index = array(index.ravel() * _PAGE, np.int32, f"{name}_index")

    def __call__(self, points: tf.Tensor) -> tf.Tensor:
        """int32[n] -> int32[n]."""
        page = tf.gather(self._index, tf.bitwise.right_shift(points, _PAGE_BITS))
        return tf.gather(self._pages, page + tf.bitwise.bitwise_and(points, _PAGE - 1))
