"""Multi-head latent attention (DeepSeek-AI 2024, section 2.1): the cache keeps one vector for all heads.

A token's latent is a compressed vector ``c`` [rank] and a rotated part [rotated] of the key. A head's key is
(``c`` times its part of ``k_b``, rotated part), its value ``c`` times its part of ``v_b``.

A step never makes these: a head's score is its query times ``k_b``, times ``c``, and what the shares make of
many ``c`` is multiplied by ``v_b`` once. So the latents are keys of one head that all heads share, and they
are the values too (of which the rotated part is dropped), read from the one segment that holds them. A
prompt, whose tokens are as many queries as keys, is read with keys and values made for the layer at hand:
there they cost less than scores over the wider latents would; they are gone behind the layer.

Example: with 128 heads of 128 + 64 features, values of 128 and a rank of 512, a token is 576 numbers a layer,
not 128 * (192 + 128) = 40,960.
"""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from exporter.model.attention import Segment, attend
from exporter.model.blocks import Span, attend_in_blocks
from exporter.model.layers import Weights, linear, norm
from exporter.model.rotary import Position, rotate
from exporter.spec import AttentionSpec, LatentSpec


def project_latent(
    x: tf.Tensor, weights: Weights, spec: AttentionSpec, position: Position
) -> tuple[tf.Tensor, tf.Tensor, tuple[()]]:
    """[rows, k, hidden] -> query [rows, k, heads, plain + rotated], latents [rows, k, rank + rotated], ()."""
    latent = _latent(spec)
    query = _by_heads(_queries(x, weights, latent), spec.heads)
    kept = linear(x, weights, "attention.kv_a")
    compressed = norm(kept[..., : latent.rank], weights, "attention.kv_a_norm", latent.norm)
    plain, turned, shared = query[..., : latent.plain], query[..., latent.plain :], kept[..., latent.rank :]
    if spec.rotary is not None:
        turned = rotate(turned, position.cosine, position.sine, spec.rotary)
        shared = rotate(shared[:, :, tf.newaxis], position.cosine, position.sine, spec.rotary)[:, :, 0]
    query = tf.concat([plain, turned], axis=-1)
    if position.query_scale is not None:
        query *= tf.cast(position.query_scale, query.dtype)[:, :, tf.newaxis, tf.newaxis]
    return query, tf.concat([compressed, shared], axis=-1), ()


def attend_latent(
    query: tf.Tensor, segments: list[tuple[Segment, int | None]], spec: AttentionSpec, weights: Weights
) -> tf.Tensor:
    """As ``attend``, over segments of latents.

    Args:
      query: [rows, k, heads, plain + rotated].

    Returns:
      [rows, k, heads * value].
    """
    latent = _latent(spec)
    plain, turned = query[..., : latent.plain], query[..., latent.plain :]
    # [rows, k, heads, plain] times [heads, plain, rank]
    plain = tf.einsum("rkhn,hnc->rkhc", plain, weights["attention.k_b.kernel"])
    context = attend(tf.concat([plain, turned], axis=-1), segments, spec, weights)
    context = _by_heads(context, spec.heads)[..., : latent.rank]
    # [rows, k, heads, rank] times [heads, rank, value]
    values = tf.einsum("rkhc,hcv->rkhv", context, weights["attention.v_b.kernel"])
    return tf.reshape(values, tf.concat([tf.shape(query)[:2], [spec.heads * latent.value]], axis=0))


def attend_latent_in_blocks(
    query: tf.Tensor, spans: list[Span], spec: AttentionSpec, weights: Weights
) -> tf.Tensor:
    """As ``attend_in_blocks``, over spans of latents; see ``attend_latent``."""
    latent = _latent(spec)
    made = [_opened(span, latent, weights) for span in spans]
    whole = replace(spec, kv_heads=spec.heads, head_dim=spec.widths[0], latent=None)
    return attend_in_blocks(query, made, whole, weights)


def _opened(span: Span, latent: LatentSpec, weights: Weights) -> Span:
    """Latents [rows, length, rank + rotated] as keys and values [rows * heads, length, ...]."""
    compressed, shared = span.keys[..., : latent.rank], span.keys[..., latent.rank :]
    plain = tf.einsum("rlc,hnc->rhln", compressed, weights["attention.k_b.kernel"])
    shared = tf.broadcast_to(
        shared[:, tf.newaxis], tf.concat([tf.shape(plain)[:3], [latent.rotated]], axis=0)
    )
    keys = tf.concat([plain, shared], axis=-1)
    values = tf.einsum("rlc,hcv->rhlv", compressed, weights["attention.v_b.kernel"])
    return span._replace(keys=_all_heads(keys), values=_all_heads(values))


def _all_heads(x: tf.Tensor) -> tf.Tensor:
    """[rows, heads, length, n] -> [rows * heads, length, n]."""
    rows, heads, _, size = x.shape
    return tf.reshape(x, [-1 if rows is None else rows * heads, tf.shape(x)[2], size])


def _queries(x: tf.Tensor, weights: Weights, latent: LatentSpec) -> tf.Tensor:
    """[rows, k, hidden] -> [rows, k, heads * (plain + rotated)]."""
    if latent.query_rank is None:
        return linear(x, weights, "attention.q")
    compressed = norm(linear(x, weights, "attention.q_a"), weights, "attention.q_a_norm", latent.norm)
    return linear(compressed, weights, "attention.q_b")


def _by_heads(x: tf.Tensor, heads: int) -> tf.Tensor:
    """[rows, k, heads * n] -> [rows, k, heads, n]."""
    return tf.reshape(x, tf.concat([tf.shape(x)[:2], [heads, x.shape[-1] // heads]], axis=0))


def _latent(spec: AttentionSpec) -> LatentSpec:
    assert spec.latent is not None
    return spec.latent
