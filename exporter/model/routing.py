"""Which experts a token gets, and what they weigh: what ``RouterSpec`` says, on logits [tokens, experts]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import tensorflow as tf

from exporter.model.layers import Weights, linear, norm, rounded, times
from exporter.spec import ChoiceSpec, RouterSpec, Score


def routed(tokens: tf.Tensor, weights: Weights, spec: ChoiceSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Each token's experts and their weights: float32 and int32 [tokens, top_k].

    Of equal logits the first are chosen; which ones the reference takes is not specified.
    """
    router = spec.router
    if router.norm is not None:
        tokens = times(norm(tokens, weights, "moe.router_norm", router.norm), tokens.shape[-1] ** -0.5)
    found = linear(tokens, weights, "moe.router")
    logits = rounded(found, found.dtype)
    if router.score is Score.SPARSEMIXER:
        return _sparsemixer(logits, spec)
    kept = partial(rounded, dtype=found.dtype if router.rounded else tf.float32)
    scores = kept(_SCORES[router.score](logits))
    chosen = tf.math.top_k(_preferences(logits, scores, weights, router), spec.top_k).indices
    shares = tf.gather(scores, chosen, batch_dims=1)
    if router.normalise:
        shares = kept(shares / _divisor(shares, router, kept))
    if router.expert_scale:
        shares *= tf.gather(tf.cast(weights["moe.router.expert_scale"], tf.float32), chosen)
    return kept(times(shares, router.scale)), chosen


_SCORES: Mapping[Score, Callable[[tf.Tensor], tf.Tensor]] = {
    Score.SOFTMAX: tf.nn.softmax,
    Score.SIGMOID: tf.sigmoid,
}


def _preferences(logits: tf.Tensor, scores: tf.Tensor, weights: Weights, router: RouterSpec) -> tf.Tensor:
    """What the chosen experts have most of, [tokens, experts].

    The logits where they alone decide: scores grow with them, but differ less. Rounded scores may be equal
    where logits are not, and so decide themselves.
    """
    if router.correction:
        scores += tf.cast(weights["moe.router.correction"], tf.float32)
    elif router.groups == router.chosen_groups and not router.rounded:
        return logits
    return _in_best_groups(scores, router)


def _in_best_groups(scores: tf.Tensor, router: RouterSpec) -> tf.Tensor:
    """[tokens, experts], with minus infinity for the experts of groups that are not chosen."""
    if router.groups == router.chosen_groups:
        return scores
    grouped = tf.reshape(scores, [-1, router.groups, scores.shape[1] // router.groups])
    worth = tf.reduce_sum(tf.math.top_k(grouped, router.group_best).values, axis=-1)  # [tokens, groups]
    best = tf.math.top_k(worth, router.chosen_groups).indices
    kept = tf.reduce_any(tf.one_hot(best, router.groups, on_value=True, off_value=False), axis=1)
    return tf.reshape(tf.where(kept[:, :, tf.newaxis], grouped, -np.inf), tf.shape(scores))


def _divisor(shares: tf.Tensor, router: RouterSpec, kept: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """[tokens, 1]."""
    total = kept(tf.reduce_sum(shares, axis=-1, keepdims=True))
    total = kept(total + router.added) if router.added else total
    return tf.maximum(total, router.least) if router.least else total


def _sparsemixer(logits: tf.Tensor, spec: ChoiceSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """As ``routed``: the best expert, then the best of the others (Liu et al. 2024; at inference).

    An expert weighs its probability among those that are left and whose logits come near its own; how near is
    in proportion to their size.
    """
    left, shares, chosen = logits, [], []
    for _ in range(spec.top_k):
        best, index = tf.reduce_max(left, axis=-1, keepdims=True), tf.argmax(left, -1, tf.int32)
        far = (best - logits) / tf.maximum(tf.abs(logits), best) > 2 * spec.router.tolerance
        near = tf.nn.softmax(tf.where(far, -np.inf, left))
        shares.append(tf.gather(near, index, batch_dims=1))
        chosen.append(index)
        left = tf.where(tf.one_hot(index, spec.experts, on_value=True, off_value=False), -np.inf, left)
    return tf.stack(shares, axis=1), tf.stack(chosen, axis=1)
