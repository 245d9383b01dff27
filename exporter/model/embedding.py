"""From token ids to the hidden state, and from the hidden state to logits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import tensorflow as tf

from exporter.model.layers import (
    INT8_UNIT,
    Weights,
    capped,
    linear,
    norm,
    plain,
    rounded,
    scoped,
    times,
)
from exporter.spec import EmbeddingSpec, LayerInputsSpec, MediaTableSpec, ModelSpec, PositionKind


def embed(
    embedding: EmbeddingSpec,
    weights: Weights,
    tokens: tf.Tensor,
    positions: tf.Tensor,
    *,
    prompt: tf.Tensor | None = None,
    start: int = 0,
    by_column: bool = False,
    dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """int32 [rows, k] tokens and positions -> [rows, k, hidden].

    Args:
      dtype: of the result where the token table is in int8.
      prompt: bool [rows, k]: where a prompt's tokens are, if these are whole prompts.
      start: the position of their first token.
      by_column: the token table is [hidden, vocab], as one tied to the head is.
    """
    x = _looked_up(weights, tokens, by_column, dtype)
    x = _scaled(x, embedding.scale, round_factor=embedding.rounded_scale)
    for index, table in enumerate(embedding.media):
        x = _of_media(table, scoped(weights, f"embedding.media.{index}."), tokens, x)
    if "embedding.project_in.kernel" in weights:
        x = linear(x, weights, "embedding.project_in")
    if embedding.norm_first:
        x = norm(x, weights, "embedding.norm", embedding.norm)
    if embedding.positions is not PositionKind.NONE:
        x += _place(embedding, weights, tokens, positions, prompt, start, x)
    return x if embedding.norm_first else norm(x, weights, "embedding.norm", embedding.norm)


def layer_inputs(spec: LayerInputsSpec, weights: Weights, tokens: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Per-layer embeddings, [rows, k, layers, width], of tokens [rows, k] and their embeddings ``x``."""
    shape = tf.concat([tf.shape(tokens), [spec.layers, spec.width]], axis=0)
    projected = linear(x, weights, "embedding.layer_inputs")
    projected = _scaled(projected, x.shape[-1] ** -0.5, round_factor=spec.rounded)
    projected = norm(tf.reshape(projected, shape), weights, "embedding.layer_inputs_norm", spec.norm)
    own = tf.gather(weights["embedding.layer_tokens"], tf.where(tokens < spec.vocab, tokens, 0))
    own = tf.reshape(_scaled(own, math.sqrt(spec.width), round_factor=True), shape)
    return _scaled(projected + own, math.sqrt(0.5), round_factor=spec.rounded)


def logits_of(spec: ModelSpec, weights: Weights, x: tf.Tensor) -> tf.Tensor:
    """[rows, k, hidden] after the final norm -> [rows, k, vocab]: float32 numbers of the model's dtype."""
    x = times(x, spec.head.input_scale)
    if "head.project_out.kernel" in weights:
        x = linear(x, weights, "head.project_out")
    if block := spec.head.block:
        x = plain(block.activation, linear(x, weights, "head.dense"))
        x = norm(x, weights, "head.norm", block.norm)
    kernel = "head.kernel" if "head.kernel" in weights else "embedding.tokens"
    head = {"head.kernel": weights[kernel]}
    if f"{kernel}_scale" in weights:
        head["head.kernel_scale"] = weights[f"{kernel}_scale"]
    if spec.head.bias:
        head["head.bias"] = weights["head.bias"]
    product = linear(x, head, "head", bias_apart=spec.head.bias_apart)
    logits = rounded(product, product.dtype)
    if spec.head.scale != 1.0:
        logits = rounded(logits * spec.head.scale, product.dtype)
    return logits if spec.head.softcap is None else capped(logits, spec.head.softcap, product.dtype)


def _looked_up(weights: Weights, tokens: tf.Tensor, by_column: bool, dtype: tf.DType) -> tf.Tensor:
    """[rows, k, size]: the tokens' entries of the table."""
    x = tf.gather(weights["embedding.tokens"], tokens, axis=1 if by_column else 0)
    if by_column:
        x = tf.transpose(x, [1, 2, 0])  # [hidden, rows, k] -> [rows, k, hidden]
    if "embedding.tokens_scale" not in weights:
        return x
    scale = tf.gather(weights["embedding.tokens_scale"], tokens)[:, :, tf.newaxis] / INT8_UNIT
    return tf.cast(tf.cast(x, tf.float32) * scale, dtype)


def _scaled(x: tf.Tensor, factor: float, *, round_factor: bool) -> tf.Tensor:
    """``x * factor``; ``round_factor``: the factor is a number of the model's dtype."""
    return x * tf.cast(factor, x.dtype) if round_factor else times(x, factor)


def _of_media(spec: MediaTableSpec, weights: Weights, tokens: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """``x`` with the embeddings of those tokens that a table of media has."""
    own = tf.clip_by_value(tokens - spec.first, 0, spec.vocab - 1)
    entries = norm(tf.gather(weights["tokens"], own), weights, "norm", spec.norm)
    entries = norm(linear(entries, weights, "project"), weights, "out_norm", replace(spec.norm, scale=False))
    return tf.where((tokens >= spec.first)[:, :, tf.newaxis], entries, x)


def _place(
    embedding: EmbeddingSpec,
    weights: Weights,
    tokens: tf.Tensor,
    positions: tf.Tensor,
    prompt: tf.Tensor | None,
    start: int,
    x: tf.Tensor,
) -> tf.Tensor:
    """What positions add to ``x``: [rows, k, hidden]."""
    padding = None if embedding.padding_token is None else tokens == embedding.padding_token
    if padding is not None and prompt is not None:
        positions = tf.cumsum(tf.cast(prompt & ~padding, tf.int32), axis=1) - 1 + start
    positions += embedding.position_offset
    if embedding.positions is PositionKind.SINUSOIDAL:
        placed = tf.cast(sinusoids(positions, x.shape[-1]), x.dtype)
    else:
        placed = tf.gather(weights["embedding.positions"], positions)
    return placed if padding is None else tf.where(padding[:, :, tf.newaxis], tf.zeros_like(placed), placed)


def sinusoids(positions: tf.Tensor, hidden: int) -> tf.Tensor:
    """float32 [rows, k, hidden]: sines, then cosines (the tensor2tensor order of fairseq's models)."""
    half = hidden // 2
    rates = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10000) / (half - 1)))
    turned = tf.cast(positions, tf.float32)[:, :, tf.newaxis] * rates
    waves = tf.concat([tf.sin(turned), tf.cos(turned)], axis=-1)
    return tf.pad(waves, [(0, 0), (0, 0), (0, hidden - 2 * half)])
