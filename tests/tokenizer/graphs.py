"""What every graph module of the tokenizer room is put through."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

WORDS = [tf.TensorSpec([None], tf.string)]
ROWS = [tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64)]


def graph(module: Any, signature: Sequence[Any]) -> Any:
    """``module`` as one traced function; every op must be pinned to the CPU."""
    function = tf.function(lambda *arguments: module(*arguments), input_signature=signature)
    concrete = function.get_concrete_function()
    assert_on_cpu(concrete)
    return concrete


def assert_on_cpu(concrete: Any) -> None:
    """Fails for an op without device, in the graph or in a function of it, and for a forbidden op."""
    definition = concrete.graph.as_graph_def()
    bodies = [
        ("main", definition.node),
        *((f.signature.name, f.node_def) for f in definition.library.function),
    ]
    # Arguments and results are placed by whoever calls.
    free = {"Placeholder", "Identity", "NoOp", "_Arg", "_Retval"}
    unpinned = [
        (body, node.op, node.name)
        for body, body_nodes in bodies
        for node in body_nodes
        if node.op not in free and "CPU:0" not in node.device
    ]
    assert not unpinned, unpinned[:10]
    ops = {node.op for _, body_nodes in bodies for node in body_nodes}
    assert not ops & {"PyFunc", "EagerPyFunc", "PyFuncStateless", "MutableHashTableV2", "UnicodeTranscode"}


def encode_words(function: Callable[..., Any], words: Sequence[bytes]) -> list[list[int]]:
    """Ids of each word."""
    ragged: list[list[int]] = function(tf.constant(list(words), tf.string)).to_list()
    return ragged


def decode_rows(function: Callable[..., Any], rows: Sequence[Sequence[int]]) -> list[bytes]:
    """Text of each row."""
    ragged = tf.ragged.constant([list(row) for row in rows], tf.int32, ragged_rank=1)
    texts: list[bytes] = function(ragged).numpy().tolist()
    return texts


_RELOAD = """
import sys
sys.modules["exporter"] = sys.modules["transformers"] = sys.modules["tokenizers"] = None
import tensorflow as tf
import tensorflow_text
words = [bytes.fromhex(word) for word in sys.argv[2:]]
loaded = tf.saved_model.load(sys.argv[1])
print(loaded.encode(tf.constant(words, tf.string)).to_list())
"""


def reloaded_encode(module: Any, words: Sequence[bytes], directory: Path) -> list[list[int]]:
    """Ids from a SavedModel of ``module``, loaded in a process with TensorFlow and tf.Text alone."""
    saved = tf.Module()
    saved.module = module
    encode = getattr(module, "encode", module)
    saved.encode = tf.function(lambda words: encode(words), input_signature=WORDS)
    tf.saved_model.save(saved, str(directory))
    arguments = [sys.executable, "-c", _RELOAD, str(directory), *(word.hex() for word in words)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=300)
    ids: list[list[int]] = json.loads(result.stdout.strip().splitlines()[-1])
    return ids
