"""Bytes that a version needs, from its spec and options: nothing is read or traced for them."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from exporter.generation.generation_options import GenerationOptions
from exporter.spec import ModelSpec

#: Bytes of one number.
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def cache_bytes_per_row(
    spec: ModelSpec, length: int, programs: Iterable[GenerationOptions], dtype: str
) -> int:
    """Keys, values and states of one row of a bucket, in the program that keeps most of them.

    The prompt's are kept once, those of the generated tokens once per beam or sequence; an encoder-decoder
    model keeps its encoder's keys, and those of the one token that its decoder starts from. A state is kept
    once per beam or sequence.

    Args:
      spec: the model.
      length: the bucket's prompt length, in tokens.
      programs: the generation options of every program.
      dtype: type of keys and values.
    """
    return max(_row_bytes(spec, length, options, dtype) for options in programs)


def _row_bytes(spec: ModelSpec, length: int, options: GenerationOptions, dtype: str) -> int:
    rows = max(options.num_beams, options.num_return_sequences)
    numbers = _read_numbers(spec, length) + rows * _generated_numbers(spec, options)
    return ITEM_BYTES[dtype] * numbers + rows * state_bytes(spec, dtype)


def baked_bytes(spec: ModelSpec, tokens: int, dtype: str) -> int:
    """What a baked prefix of ``tokens`` tokens keeps, once for all rows: layers' parts and the last state."""
    return ITEM_BYTES[dtype] * (_read_numbers(spec, tokens) + spec.hidden_size) + state_bytes(spec, dtype)


def state_bytes(spec: ModelSpec, dtype: str) -> int:
    """What the layers of one row carry, however long it is."""
    states = spec.decoder.states
    windows, memories = sum(prod(s.window) for s in states), sum(prod(s.memory or (0,)) for s in states)
    return ITEM_BYTES[dtype] * windows + ITEM_BYTES["float32"] * memories


def _read_numbers(spec: ModelSpec, length: int) -> int:
    """In keys and values of a prompt, of all layers; a windowed layer keeps its window."""
    own = spec.decoder.attentions
    crossed = [layer.cross_attention for layer in spec.decoder.layers if layer.cross_attention]
    if crossed:
        return sum(cross.cached_numbers for cross in crossed) * length + sum(a.cached_numbers for a in own)
    return sum(attention.cached_numbers * min(length, attention.window or length) for attention in own)


def _generated_numbers(spec: ModelSpec, options: GenerationOptions) -> int:
    """In keys and values of a sequence's new tokens; a windowed layer has a ring (``exporter.model.cache``).

    Guessed tokens have places of their own: the last ones may go beyond ``max_new_tokens``.
    """
    guessed = options.prompt_lookup_num_tokens
    slots, step = options.max_new_tokens + (guessed + 1 if guessed else 0), guessed + 1
    return sum(
        attention.cached_numbers * (min(slots, attention.window + step) if attention.window else slots)
        for attention in spec.decoder.attentions
    )
