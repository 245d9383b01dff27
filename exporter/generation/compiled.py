"""Several sums in one pass over what they share.

Sums of one row under different conditions are a pass each for XLA:GPU, or, as one tensor with an axis more,
one kernel that reads the row once per sum. ``XlaVariadicReduceV2`` is one reduction with several results: the
row is read once. It is registered in every TensorFlow build with XLA, stock TensorFlow Serving included, but
has no kernel outside compiled code.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.ops import control_flow_util


def in_compiled_code() -> bool:
    """Whether operations made now are traced under ``jit_compile=True``."""
    if tf.executing_eagerly():
        return False
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def sums(terms: Sequence[tf.Tensor]) -> tf.Tensor:
    """float32 [rows, n]: the sums over the last axis of n tensors, float32 [rows, size] each."""
    if not in_compiled_code():
        return tf.stack([tf.reduce_sum(term, axis=-1) for term in terms], axis=-1)
    n = len(terms)
    add = tf.function(
        lambda *parts: tuple(a + b for a, b in zip(parts[:n], parts[n:], strict=True)), autograph=False
    )
    totals = gen_xla_ops.xla_variadic_reduce_v2(
        inputs=list(terms),
        init_values=[tf.zeros([])] * n,
        dimensions_to_reduce=[1],
        reducer=add.get_concrete_function(*[tf.TensorSpec([], tf.float32)] * (2 * n)),
    )
    return tf.stack(totals, axis=-1)
