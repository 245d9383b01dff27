"""Where the graph's data lives: asset files and variables on the CPU, never GraphDef constants.

* string -> int32 in a ``StaticHashTable`` read from an asset. Keys are written in base64, because an asset
  is a file of lines and a token may hold any byte.
* arrays in non-trainable variables.

Everything here is created and used under ``on_cpu``, also inside function bodies: a GPU server must place
no tokenizer op on the device.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def on_cpu() -> AbstractContextManager[Any]:
    """The device scope of every tokenizer op."""
    return tf.device("/device:CPU:0")


def array(values: Any, dtype: Any, name: str) -> tf.Variable:
    """A non-trainable variable with these values, on the CPU."""
    with on_cpu():
        return tf.Variable(np.asarray(values, dtype), trainable=False, name=name)


def read(variable: tf.Variable) -> tf.Tensor:
    """The variable's value. Inside branches and loops TensorFlow's own implicit read loses the device."""
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


class StringTable(tf.Module):
    """Immutable bytes -> int32; unknown strings give ``default``."""

    def __init__(self, entries: Mapping[bytes, int], name: str, default: int = -1) -> None:
        super().__init__(name=name)
        lines = [
            f"{base64.urlsafe_b64encode(key).decode().rstrip('=')}\t{value}" for key, value in entries.items()
        ]
        if not lines:  # TensorFlow reads no empty file; "~" is not base64, so no string finds this line
            lines = [f"~\t{default}"]
        # SavedModel copies the file when it is written: the directory must live as long as the table.
        self._directory = tempfile.TemporaryDirectory(prefix="genserve-")
        path = Path(self._directory.name) / f"{name}.txt"
        path.write_text("".join(line + "\n" for line in lines), encoding="ascii")
        with on_cpu():
            initializer = tf.lookup.TextFileInitializer(
                str(path), tf.string, 0, tf.int64, 1, vocab_size=len(lines), delimiter="\t"
            )
            self._table = tf.lookup.StaticHashTable(initializer, default)

    def lookup(self, keys: tf.Tensor) -> tf.Tensor:
        """string tensor of any shape -> int32 of the same shape."""
        with on_cpu():
            return tf.cast(self._table.lookup(tf.io.encode_base64(keys)), tf.int32)
