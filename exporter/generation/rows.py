"""Options of single rows: tensors of a request, so changing one never retraces or recompiles."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from exporter.devices import CPU
from exporter.generation.generation_options import UNPREDICTABLE_SEED, GenerationOptions


class RowOptions(NamedTuple):
    """Per-row options, every field of shape [batch].

    Attributes:
      max_new_tokens: int32, 1 to the exported cap.
      temperature: float32; 0 is greedy search.
      top_k: int32; 0 keeps every token.
      top_p: float32 in (0, 1]; 1 keeps every token.
      min_p: float32 in [0, 1]; 0 keeps every token.
      repetition_penalty: float32 above 0; 1 is none.
      presence_penalty: float32; 0 is none.
      frequency_penalty: float32; 0 is none.
      seed: int64, not negative; -1 is replaced by an unpredictable one (``resolve_seeds``).
      finished: bool; a pad or error row, which is answered with no tokens and costs no steps.
    """

    max_new_tokens: tf.Tensor
    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor
    min_p: tf.Tensor
    repetition_penalty: tf.Tensor
    presence_penalty: tf.Tensor
    frequency_penalty: tf.Tensor
    seed: tf.Tensor
    finished: tf.Tensor


class Field(NamedTuple):
    """A per-row option as a signature's input: its dtype, the value that switches it off, what is allowed."""

    dtype: tf.DType
    neutral: float | int
    allowed: str


# The inputs of the ``generate`` signature, in order; ``finished`` is the signature layer's own.
ROW_FIELDS: dict[str, Field] = {
    "max_new_tokens": Field(tf.int32, 0, "1 to {cap}"),
    "temperature": Field(tf.float32, 0.0, "0 (greedy) to 100"),
    "top_k": Field(tf.int32, 0, "0 (off) or more"),
    "top_p": Field(tf.float32, 1.0, "above 0, at most 1 (off)"),
    "min_p": Field(tf.float32, 0.0, "0 (off) to 1"),
    "repetition_penalty": Field(tf.float32, 1.0, "above 0, at most 100; 1 is off"),
    "presence_penalty": Field(tf.float32, 0.0, "-100 to 100; 0 is off"),
    "frequency_penalty": Field(tf.float32, 0.0, "-100 to 100; 0 is off"),
    "seed": Field(tf.int64, UNPREDICTABLE_SEED, "0 or more, or -1 (unpredictable)"),
}

MAX_TEMPERATURE = 100.0
MAX_PENALTY = 100.0


def default_rows(options: GenerationOptions, batch: tf.Tensor | int) -> RowOptions:
    """The options' own values for ``batch`` rows, none of them finished."""
    values = {name: getattr(options, name) for name in ROW_FIELDS}
    if not options.do_sample:
        values |= {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    rows = {
        name: tf.fill([batch], tf.constant(values[name], field.dtype)) for name, field in ROW_FIELDS.items()
    }
    return RowOptions(**rows, finished=tf.fill([batch], False))


def neutral_row(rows: RowOptions) -> RowOptions:
    """Every option switched off and one token allowed, finished: what stands in for a bad row."""
    neutral = {
        name: tf.fill(tf.shape(rows.seed), tf.constant(f.neutral, f.dtype)) for name, f in ROW_FIELDS.items()
    }
    neutral["max_new_tokens"] += 1
    return RowOptions(**neutral, finished=tf.fill(tf.shape(rows.seed), True))


def check_rows(rows: RowOptions, options: GenerationOptions) -> tf.Tensor:
    """string [batch]: "" for a good row, else option, value and what is allowed. Runs on the host.

    The first wrong option of a row is named, in the order of ROW_FIELDS. NaN is outside every range.
    """
    cap = options.max_new_tokens
    inside = {
        "max_new_tokens": (rows.max_new_tokens >= 1) & (rows.max_new_tokens <= cap),
        "temperature": (rows.temperature >= 0) & (rows.temperature <= MAX_TEMPERATURE),
        "top_k": rows.top_k >= 0,
        "top_p": (rows.top_p > 0) & (rows.top_p <= 1),
        "min_p": (rows.min_p >= 0) & (rows.min_p <= 1),
        "repetition_penalty": (rows.repetition_penalty > 0) & (rows.repetition_penalty <= MAX_PENALTY),
        "presence_penalty": tf.abs(rows.presence_penalty) <= MAX_PENALTY,
        "frequency_penalty": tf.abs(rows.frequency_penalty) <= MAX_PENALTY,
        "seed": rows.seed >= UNPREDICTABLE_SEED,
    }
    with tf.device(CPU):
        message = tf.fill(tf.shape(rows.seed), "")
        for name in reversed(ROW_FIELDS):
            value = tf.strings.as_string(getattr(rows, name), shortest=ROW_FIELDS[name].dtype.is_floating)
            allowed = ROW_FIELDS[name].allowed.format(cap=cap)
            message = tf.where(
                inside[name], message, tf.strings.join([f"{name}=", value, f": allowed: {allowed}"])
            )
        return message


def mask_rows(rows: RowOptions, bad: tf.Tensor) -> RowOptions:
    """Replaces the rows where ``bad`` (bool [batch]) holds by finished rows with neutral options."""
    return RowOptions(*(tf.where(bad, new, old) for new, old in zip(neutral_row(rows), rows, strict=True)))


def resolve_seeds(seed: tf.Tensor) -> tf.Tensor:
    """Replaces -1 by a random seed of the row's own. Runs on the host, outside the compiled function.

    The raw op with both seeds 0 is seeded by the operating system wherever the graph is loaded, even if
    ``tf.random.set_seed`` was called at export.
    """
    with tf.device(CPU):
        random = tf.raw_ops.RandomUniformInt(
            shape=tf.shape(seed), minval=tf.constant(0, tf.int64), maxval=tf.constant(2**63 - 1, tf.int64)
        )
        return tf.where(seed == UNPREDICTABLE_SEED, random, seed)


def expand_rows(rows: RowOptions, n: int) -> RowOptions:
    """[batch] -> [batch * n], a prompt's rows adjacent; sample i of a row has the row's seed + i."""
    if n == 1:
        return rows
    expanded = RowOptions(*(tf.repeat(field, n) for field in rows))
    # [batch * n], 0 .. n - 1 repeated; int64 wraps around at the largest seeds
    sample = tf.tile(tf.range(n, dtype=tf.int64), tf.shape(rows.seed))
    return expanded._replace(seed=expanded.seed + sample)
