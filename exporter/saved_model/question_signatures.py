"""The serving signatures that ask how probable tokens are, and write none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from exporter.devices import CPU
from exporter.saved_model.programs import Program
from exporter.saved_model.requests import rows_from_ids, rows_from_text, with_errors
from exporter.saved_model.signatures import (
    TEXT,
    Policy,
    Signature,
    answered,
    detokenize,
    ids_specs,
    prompts_from_text,
    trace,
)

if TYPE_CHECKING:
    from exporter.tokenizer import TokenizerGraph


def score_signature(
    program: Program,
    tokenizer: TokenizerGraph,
    targets: TokenizerGraph,
    policy: Policy,
) -> Signature:
    """``text`` and ``continuation`` string[batch] -> ``score`` float32[batch], the log-likelihood of the
    continuation's tokens after the prompt, ``num_tokens`` (of the continuation), ``greedy`` bool, ``error``.

    Both texts are tokenized by themselves, the continuation by ``targets``. An encoder-decoder model scores
    it with the special tokens that this adds (the end of sequence), a decoder-only model without.
    """

    width = program.per_row["continuation"].shape[1]

    def score_text(text: tf.Tensor, continuation: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            rows = prompts_from_text(tokenizer, text, policy.longest, policy)
            scored = rows_from_text(
                targets,
                continuation,
                longest=width,
                overflow="error",
                field="continuation",
                add_special_tokens=program.encodes,
                vocab_size=policy.vocab_size,
            )
            rows = with_errors(rows, scored.error)
            count = tf.cast(scored.tokens.row_lengths(), tf.int32)
            dense = scored.tokens.to_tensor(0, shape=[None, width])
        answer = program.run(rows, {"continuation": dense, "count": count})
        with tf.device(CPU):
            good = tf.equal(rows.error, "")
            return {
                "score": tf.where(good, answer["score"], 0.0),
                "num_tokens": tf.where(good, count, 0),
                "greedy": good & answer["greedy"],
                "error": answered(rows.error, policy.row_errors),
            }

    return trace(score_text, text=TEXT, continuation=TEXT)


def next_token_signature(program: Program, tokenizer: TokenizerGraph, policy: Policy) -> Signature:
    """``text`` string[batch] -> the n most probable next tokens, best first: ``tokens`` int32[batch, n],
    ``token_texts`` string[batch, n], ``probabilities`` float32[batch, n], and ``error`` string[batch]."""

    def next_token(text: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            rows = prompts_from_text(tokenizer, text, policy.longest, policy)
        answer = program.run(rows, {})
        with tf.device(CPU):
            good = tf.equal(rows.error, "")[:, None]
            tokens = tf.where(good, answer["tokens"], 0)
            texts = detokenize(tokenizer, tokens[:, :, None], tf.cast(good, tf.int32) * tf.ones_like(tokens))
            return {
                "tokens": tokens,
                "token_texts": texts,
                "probabilities": tf.where(good, answer["probabilities"], 0.0),
                "error": answered(rows.error, policy.row_errors),
            }

    return trace(next_token, text=TEXT)


def prompt_logprobs_signature(program: Program, *, vocab_size: int, policy: Policy) -> Signature:
    """The inputs of ``tokens`` -> ``logprobs`` float32[batch, longest] of each token given those before, 0
    of a first one that none comes before and of padding, ``num_tokens`` int32 and ``error`` string[batch].

    And, where the export asks for them, ``top_tokens`` and ``top_logprobs`` [batch, longest, n].
    """

    def prompt_logprobs(input_ids: tf.Tensor, num_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            rows = rows_from_ids(input_ids, num_tokens, vocab_size=vocab_size, longest=policy.longest)
        answer = program.run(rows, {})
        with tf.device(CPU):
            good = tf.equal(rows.error, "")

            def of_good(value: tf.Tensor) -> tf.Tensor:
                mask = tf.reshape(good, [-1] + [1] * (len(value.shape) - 1))
                return tf.where(mask, value, tf.zeros_like(value))

            return {
                **{name: of_good(value) for name, value in answer.items()},
                "num_tokens": tf.cast(rows.tokens.row_lengths(), tf.int32),
                "error": answered(rows.error, policy.row_errors),
            }

    return trace(prompt_logprobs, **ids_specs(policy.longest))
