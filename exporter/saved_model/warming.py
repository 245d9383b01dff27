"""The signature ``warm_up``: any program in any bucket, for as few tokens as asked.

Warmup records go through it, so that a server compiles and runs every program once and generates nothing to
speak of. Its requests hold numbers alone; applications have no use for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import tensorflow as tf

from exporter.devices import CPU
from exporter.generation.rows import default_rows
from exporter.saved_model.programs import GenerationProgram, Program
from exporter.saved_model.requests import Rows
from exporter.saved_model.signatures import Policy, Signature, longest_prompt, trace

#: int32 [batch] each; the first row's ``program`` counts for all.
INPUTS: Mapping[str, tf.TensorSpec] = {
    name: tf.TensorSpec([None], tf.int32) for name in ("program", "prompt_tokens", "new_tokens")
}


def warm_up_signature(programs: Sequence[GenerationProgram | Program], policy: Policy) -> Signature:
    """``program``, ``prompt_tokens``, ``new_tokens`` int32[batch] -> ``num_tokens`` int32[batch].

    Runs program number ``program`` with prompts of so many tokens, each for at most ``new_tokens``; values
    out of range count as the nearest one inside.
    """

    def warm_up(program: tf.Tensor, prompt_tokens: tf.Tensor, new_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            chosen = tf.concat([program, [0]], axis=0)[0]  # an empty batch has none
        branches = [partial(_run, own, prompt_tokens, new_tokens, policy) for own in programs]
        return {"num_tokens": tf.switch_case(tf.clip_by_value(chosen, 0, len(programs) - 1), branches)}

    return trace(warm_up, **INPUTS)


def _run(
    program: GenerationProgram | Program, prompt_tokens: tf.Tensor, new_tokens: tf.Tensor, policy: Policy
) -> tf.Tensor:
    """int32 [batch]: how many tokens each row's first sequence has."""
    if isinstance(program, GenerationProgram):
        with tf.device(CPU):
            most = program.options.max_new_tokens
            options = default_rows(program.options, tf.shape(new_tokens)[0])
            if program.piece:
                lengths = tf.clip_by_value(prompt_tokens, 1, program.program.longest)
                options = options._replace(
                    num_generated=tf.minimum(lengths, most) - 1,
                    piece_tokens=tf.clip_by_value(new_tokens, 1, program.piece),
                )
            else:
                lengths = tf.clip_by_value(prompt_tokens, 1, longest_prompt(program, policy))
                options = options._replace(max_new_tokens=tf.clip_by_value(new_tokens, 1, most))
            rows = _prompts(lengths)
        return program.run(rows, options)["num_tokens"][:, 0]
    with tf.device(CPU):
        rows = _prompts(tf.clip_by_value(prompt_tokens, 1, program.longest))
        batch = tf.shape(prompt_tokens)[0]
        inputs = {
            name: tf.ones([batch, *spec.shape[1:]], spec.dtype) for name, spec in program.per_row.items()
        }
    answer = program.run(rows, inputs)
    with tf.control_dependencies(list(answer.values())):
        return tf.ones_like(prompt_tokens)


def _prompts(lengths: tf.Tensor) -> Rows:
    """Rows of the vocabulary's first token."""
    tokens = tf.RaggedTensor.from_row_lengths(
        tf.zeros([tf.reduce_sum(lengths)], tf.int32), tf.cast(lengths, tf.int64), validate=False
    )
    none = tf.zeros_like(lengths, tf.bool)
    return Rows(tokens=tokens, error=tf.where(none, "x", ""), truncated=none)
