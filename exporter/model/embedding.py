"""From token ids to the hidden state, and from the hidden state to logits."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.model.layers import Weights, linear, norm
from exporter.spec import EmbeddingSpec, ModelSpec, PositionKind


def embed(spec: ModelSpec, weights: Weights, tokens: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """int32 [rows, k] tokens and positions -> [rows, k, hidden]."""
    embedding, table = spec.decoder.embedding, weights["embedding.tokens"]
    if spec.head.tied:
        # The table is [hidden, vocab]: [hidden, rows, k] -> [rows, k, hidden].
        x = tf.transpose(tf.gather(table, tokens, axis=1), [1, 2, 0])
    else:
        x = tf.gather(table, tokens)
    if embedding.scale != 1.0:
        x *= tf.cast(embedding.scale, x.dtype)
    if "embedding.project_in.kernel" in weights:
        x = linear(x, weights, "embedding.project_in")
    if embedding.positions is not PositionKind.NONE:
        table = _position_table(spec, weights, x.dtype)
        x += tf.gather(table, positions + embedding.position_offset)
    return norm(x, weights, "embedding.norm", embedding.norm)


def logits_of(spec: ModelSpec, weights: Weights, x: tf.Tensor) -> tf.Tensor:
    """[rows, k, hidden] after the final norm -> float32 [rows, k, vocab]."""
    if "head.project_out.kernel" in weights:
        x = linear(x, weights, "head.project_out")
    kernel = "embedding.tokens" if spec.head.tied else "head.kernel"
    head = {"head.kernel": weights[kernel]}
    if spec.head.bias:
        head["head.bias"] = weights["head.bias"]
    logits = tf.cast(linear(x, head, "head"), tf.float32)
    if spec.head.scale != 1.0:
        logits *= spec.head.scale
    if spec.head.softcap is not None:
        logits = spec.head.softcap * tf.tanh(logits / spec.head.softcap)
    return logits


def _position_table(spec: ModelSpec, weights: Weights, dtype: tf.DType) -> tf.Tensor:
    if spec.decoder.embedding.positions is PositionKind.LEARNED:
        return weights["embedding.positions"]
    return tf.cast(sinusoids(spec.decoder.embedding, spec.hidden_size), dtype)


def sinusoids(embedding: EmbeddingSpec, hidden: int) -> npt.NDArray[np.float32]:
    """float32 [positions, hidden]: sines, then cosines (the tensor2tensor order of fairseq's models)."""
    half = hidden // 2
    rates = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10000) / (half - 1)))
    count = embedding.position_count + embedding.position_offset
    turned = np.arange(count, dtype=np.float32)[:, None] * rates
    table = np.concatenate([np.sin(turned), np.cos(turned)], axis=1)
    return np.pad(table, [(0, 0), (0, hidden - 2 * half)])
