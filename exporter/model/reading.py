"""What each place of a run reads besides its input: turned positions, segments of keys, and biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache as memo
from typing import Any

import tensorflow as tf

from exporter.model.attention import Bias, Segment
from exporter.model.bias import Sight, generated_bias, past_bias, prefix_bias
from exporter.model.cache import Baked, KVCache
from exporter.model.rotary import Position, Turning, position_at
from exporter.model.runs import Place


def lender_of(place: Place, places: Sequence[Place]) -> int | None:
    """The place whose keys and values a borrowing layer reads; it stands alone. None for other layers."""
    layer = place.spec.attention.borrowed if place.spec.attention else None
    return None if layer is None else next(other.index for other in places if other.layer == layer)


def turned_at(places: Sequence[Place], positions: tf.Tensor, seen: tf.Tensor) -> list[Position]:
    """What each place's attention turns queries and keys by; places that turn alike share it.

    Args:
      positions: int32 [rows, k].
      seen: as ``position_at`` takes it.
    """
    position = memo(lambda turning: position_at(turning, positions, seen))
    return [position(Turning.of(place.spec.attention)) for place in places]


def relative_table(weights: Mapping[str, tf.Tensor], sight: Sight) -> tf.Tensor | None:
    """The table of relative biases that layers of one sight share."""
    return weights[f"relative.{sight.table}"] if sight.relative else None


def prefix_segments(baked: Baked, places: Sequence[Place], positions: tf.Tensor) -> Sequence[Segment | None]:
    """Each place's part of the baked prefix, as tokens at ``positions`` (int32 [rows, k]) see it."""
    if not baked.layers:
        return [None] * len(places)
    bias = memo(lambda sight, kept: prefix_bias(sight, baked.length - kept, positions, tf.range(kept)))
    lenders = [lender_of(place, places) for place in places]
    read = [baked.layers[index if at is None else at] for index, at in enumerate(lenders)]
    return [
        part and Segment(*part, bias(Sight.of(place.spec.attention, place.layer), part.keys.shape[-2]))
        for place, part in zip(places, read, strict=True)
    ]


def step_biases(
    cache: KVCache, places: Sequence[Place], positions: tf.Tensor, k: int, weights: Mapping[str, tf.Tensor]
) -> dict[int, tuple[Bias, Bias]]:
    """Biases of a step over the prompt and over the generated tokens, by place; one sight shares them."""
    found: dict[Sight, tuple[Bias, Bias]] = {}
    sights = {p.index: Sight.of(p.spec.attention, p.layer) for p in places if p.spec.attention}
    for index, sight in sights.items():
        if sight not in found and lender_of(places[index], places) is None:
            found[sight] = _biases(cache, positions, k, sight, index, relative_table(weights, sight))
    return {index: found[sight] for index, sight in sights.items()}


def _biases(
    cache: KVCache, positions: tf.Tensor, k: int, sight: Sight, place: int, table: tf.Tensor | None
) -> tuple[Bias, Bias]:
    """Of one sight; ``place``: one that has it."""
    lengths, start = cache.prompt_lengths(), cache.baked.length
    prompt = cache.prompts[place]
    assert prompt is not None
    kept = tf.shape(prompt.keys)[-2]
    query = tf.reshape(cache.state.count, [-1, 1]) + tf.range(k)
    past = past_bias(sight, lengths, cache.prompt_length, kept, positions, table, start)
    tokens, owned = cache.slot_tokens(place, k), cache.owned(place, k)
    return past, generated_bias(sight, start + lengths, tokens, query, table, owned)


def step_segments(
    cache: KVCache, place: int, written: tuple[Any, Any], biases: tuple[Bias, Bias] | None
) -> tuple[Segment | None, Segment | None]:
    """Of the prompt and of what is generated; None in a layer without attention."""
    prompt = cache.prompts[place]
    if prompt is None or biases is None:
        return None, None
    past, generated = biases
    return Segment(*prompt, past), Segment(*written, generated)
