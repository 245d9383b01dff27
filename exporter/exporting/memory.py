"""Bytes that a version needs, from its spec and options: nothing is read or traced for them."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.generation.generation_options import GenerationOptions
from exporter.spec import ModelSpec

#: Bytes of one number.
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def cache_bytes_per_row(
    spec: ModelSpec, length: int, programs: Iterable[GenerationOptions], dtype: str
) -> int:
    """Keys and values of one row of a bucket, in the program that keeps most of them.

    The prompt's are kept once, those of the generated tokens once per beam or sequence; an encoder-decoder
    model keeps its encoder's keys in the place of the prompt's.

    Args:
      spec: the model.
      length: the bucket's prompt length, in tokens.
      programs: the generation options of every program.
      dtype: type of keys and values.
    """
    return ITEM_BYTES[dtype] * max(_places(spec, length, options) for options in programs)


def _places(spec: ModelSpec, length: int, options: GenerationOptions) -> int:
    """How many numbers one row keeps."""
    generated = options.max_new_tokens * max(options.num_beams, options.num_return_sequences)
    return _numbers(spec, length, generated)


def baked_bytes(spec: ModelSpec, tokens: int, dtype: str) -> int:
    """Keys and values of a baked prefix of ``tokens`` tokens, and its last state, kept once for all rows."""
    return ITEM_BYTES[dtype] * (_numbers(spec, tokens) + spec.hidden_size)


def _numbers(spec: ModelSpec, read: int, generated: int = 0) -> int:
    """In keys and values of all layers; of what was read, a windowed layer keeps its window."""
    return sum(
        layer.attention.cached_numbers * (min(read, layer.attention.window or read) + generated)
        for layer in spec.decoder.layers
    )
