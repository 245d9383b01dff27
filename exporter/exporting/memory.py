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
    model keeps its encoder's keys in the place of the prompt's. A state is kept once per beam or sequence.

    Args:
      spec: the model.
      length: the bucket's prompt length, in tokens.
      programs: the generation options of every program.
      dtype: type of keys and values.
    """
    return max(_row_bytes(spec, length, options, dtype) for options in programs)


def _row_bytes(spec: ModelSpec, length: int, options: GenerationOptions, dtype: str) -> int:
    rows = max(options.num_beams, options.num_return_sequences)
    numbers = _numbers(spec, length, options.max_new_tokens * rows)
    return ITEM_BYTES[dtype] * numbers + rows * state_bytes(spec, dtype)


def baked_bytes(spec: ModelSpec, tokens: int, dtype: str) -> int:
    """What a baked prefix of ``tokens`` tokens keeps, once for all rows: layers' parts and the last state."""
    return ITEM_BYTES[dtype] * (_numbers(spec, tokens) + spec.hidden_size) + state_bytes(spec, dtype)


def state_bytes(spec: ModelSpec, dtype: str) -> int:
    """What the layers of one row carry, however long it is."""
    states = spec.decoder.states
    windows, memories = sum(prod(s.window) for s in states), sum(prod(s.memory or (0,)) for s in states)
    return ITEM_BYTES[dtype] * windows + ITEM_BYTES["float32"] * memories


def _numbers(spec: ModelSpec, read: int, generated: int = 0) -> int:
    """In keys and values of all layers; of what was read, a windowed layer keeps its window."""
    return sum(
        attention.cached_numbers * (min(read, attention.window or read) + generated)
        for attention in spec.decoder.attentions
    )
