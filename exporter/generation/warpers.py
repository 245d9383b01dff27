"""Warpers: what sampling does to the processed logits before it draws.

Each is pure, float32 [rows, vocab] -> [rows, vocab], with -inf for what is cut off, and is the counterpart
of the class of transformers' generation/logits_process.py that its docstring names; the order is that of
``GenerationMixin._get_logits_processor``. Two differences are on purpose: tokens that tie with the last
one kept are kept too (a sort keeps an arbitrary one of them), and nothing is sorted.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import RowOptions
from exporter.generation.thresholds import find_cutoff

# Below it float32 logits overflow; the best token has all the probability long before.
_COLDEST = 1e-30

Warper = Callable[[tf.Tensor], tf.Tensor]

# TopHLogitsWarper looks at no more tokens than this.
_TOP_H_TOKENS = 100


def build_warpers(options: GenerationOptions, rows: RowOptions, *, row_options: bool) -> list[Warper]:
    """The signature's warpers in transformers' order; an option at its neutral value costs nothing.

    Args:
      options: the signature's options.
      rows: options of the rows; temperature, top_k, top_p and min_p come from here with ``row_options``.
      row_options: whether they do.
    """
    # Beam sampling needs a token besides every end-of-sequence token to go on with.
    keep = 1 if options.num_beams == 1 else max(2, len(options.eos_token_id) + 1)
    found: list[Warper] = []
    if row_options:
        found.append(lambda x: temperature(x, tf.where(rows.temperature > 0, rows.temperature, 1.0)[:, None]))
    elif options.temperature != 1:
        found.append(lambda x: temperature(x, options.temperature))
    if options.top_h is not None:
        found.append(lambda x: top_h(x, options.top_h or 1.0))
    found += _row_cuts(rows, keep) if row_options else _static_cuts(options, keep)
    if options.typical_p < 1:
        found.append(lambda x: typical(x, options.typical_p, keep))
    if 0 < options.epsilon_cutoff < 1:
        found.append(lambda x: epsilon(x, options.epsilon_cutoff, keep))
    if 0 < options.eta_cutoff < 1:
        found.append(lambda x: eta(x, options.eta_cutoff, keep))
    return found


def _static_cuts(options: GenerationOptions, keep: int) -> list[Warper]:
    found: list[Warper] = []
    if options.top_k:
        found.append(lambda x: top_k(x, float(max(options.top_k, keep))))
    if options.top_p < 1:
        found.append(lambda x: top_p(x, options.top_p, keep))
    if options.min_p > 0:
        found.append(lambda x: min_p(x, options.min_p, keep))
    return found


def _row_cuts(rows: RowOptions, keep: int) -> list[Warper]:
    k = tf.cast(tf.maximum(rows.top_k, keep), tf.float32)
    k = tf.where(rows.top_k > 0, k, math.inf)[:, None]
    p = tf.where(rows.top_p < 1, rows.top_p, math.inf)[:, None]
    return [
        lambda x: top_k(x, k),
        lambda x: top_p(x, p, keep),
        lambda x: min_p(x, rows.min_p[:, None], keep),
    ]


def temperature(logits: tf.Tensor, value: tf.Tensor | float) -> tf.Tensor:
    """Divides by the temperature (TemperatureLogitsWarper)."""
    return logits / tf.maximum(value, _COLDEST)


def top_k(logits: tf.Tensor, k: tf.Tensor | float) -> tf.Tensor:
    """Keeps the k largest and what ties with the last of them (TopKLogitsWarper); inf keeps all."""
    return tf.where(logits > find_cutoff(logits, k).low, logits, -math.inf)


def top_p(logits: tf.Tensor, p: tf.Tensor | float, keep: int = 1) -> tf.Tensor:
    """Keeps the fewest largest tokens with at least the probability p (TopPLogitsWarper); inf keeps all."""
    weights = _weights(logits)
    # The weights order tokens as the logits do, and one array is read faster than two.
    low = find_cutoff(weights, p * tf.reduce_sum(weights, axis=-1, keepdims=True), weights).low
    return tf.where((weights > low) | _largest(logits, keep), logits, -math.inf)


def min_p(logits: tf.Tensor, p: tf.Tensor | float, keep: int = 1) -> tf.Tensor:
    """Keeps tokens with at least p times the largest probability (MinPLogitsWarper)."""
    return tf.where((_weights(logits) >= p) | _largest(logits, keep), logits, -math.inf)


def top_h(logits: tf.Tensor, share: float) -> tf.Tensor:
    """Keeps the largest tokens up to a share of the entropy of the 100 largest (TopHLogitsWarper)."""
    largest = top_k(logits, float(_TOP_H_TOKENS))
    log_probs = tf.nn.log_softmax(largest, axis=-1)
    terms = _entropy_terms(log_probs)
    budget = share * tf.reduce_sum(terms, axis=-1, keepdims=True)
    high = find_cutoff(log_probs, budget, terms, inclusive=False).high
    return tf.where((log_probs > high) | _largest(log_probs, 1), logits, -math.inf)


def typical(logits: tf.Tensor, mass: float, keep: int = 1) -> tf.Tensor:
    """Keeps the tokens nearest to the expected information with this mass (TypicalLogitsWarper)."""
    log_probs = tf.nn.log_softmax(logits, axis=-1)
    entropy = tf.reduce_sum(_entropy_terms(log_probs), axis=-1, keepdims=True)
    # Nearest first: the largest of the negated distances; -inf for what is cut off already.
    nearness = -tf.abs(-log_probs - entropy)
    low = find_cutoff(nearness, mass, tf.exp(log_probs)).low
    return tf.where((nearness > low) | _largest(nearness, keep), logits, -math.inf)


def epsilon(logits: tf.Tensor, cutoff: float, keep: int = 1) -> tf.Tensor:
    """Keeps tokens with at least this probability (EpsilonLogitsWarper)."""
    kept = tf.nn.softmax(logits, axis=-1) >= cutoff
    return tf.where(kept | _largest(logits, keep), logits, -math.inf)


def eta(logits: tf.Tensor, cutoff: float, keep: int = 1) -> tf.Tensor:
    """Epsilon sampling with a cutoff that falls with the entropy (EtaLogitsWarper)."""
    log_probs = tf.nn.log_softmax(logits, axis=-1)
    entropy = tf.reduce_sum(_entropy_terms(log_probs), axis=-1, keepdims=True)
    lowest = tf.minimum(cutoff, math.sqrt(cutoff) * tf.exp(-entropy))
    return tf.where((tf.exp(log_probs) >= lowest) | _largest(logits, keep), logits, -math.inf)


def _weights(logits: tf.Tensor) -> tf.Tensor:
    """Probabilities relative to the largest one: float32 [rows, vocab] in [0, 1]."""
    return tf.exp(logits - tf.reduce_max(logits, axis=-1, keepdims=True))


def _entropy_terms(log_probs: tf.Tensor) -> tf.Tensor:
    """-p log p, 0 for what is cut off."""
    return tf.where(tf.math.is_finite(log_probs), -log_probs * tf.exp(log_probs), 0.0)


def _largest(keys: tf.Tensor, keep: int) -> tf.Tensor:
    """bool [rows, vocab]: the ``keep`` largest keys, ties included."""
    if keep == 1:
        return keys >= tf.reduce_max(keys, axis=-1, keepdims=True)
    return keys > find_cutoff(keys, float(keep)).low
