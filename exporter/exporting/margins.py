"""How sure a greedy answer is: by step, the lead of the chosen token over the next one."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from exporter.generation.generation_options import GenerationOptions
from exporter.generation.history import append, start_history
from exporter.generation.loop import row_limits
from exporter.generation.processors import Context, build_processors, needs_counts, needs_tokens
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt, StepModel
from exporter.prompts.prefix_tokenizer import with_prefix

#: Stands for the lead of a token that nothing else could have been: JSON has no infinity.
FORCED = 1e6


def is_greedy(options: GenerationOptions) -> bool:
    """Whether an answer has one sequence, each token the best one."""
    return not options.do_sample and options.num_beams == 1 and options.num_return_sequences == 1


def greedy_margins(
    model: StepModel,
    prompt: Sequence[int],
    answer: Sequence[int],
    options: GenerationOptions,
    *,
    prefix: Sequence[int] = (),
    limit: int | None = None,
) -> tuple[float, ...]:
    """The margin of every token of ``answer``: its score less the best other one's, after the processors.

    The answer is read at once, behind its prompt, by the model itself: nothing is compiled.

    Args:
      prompt: ids of one row, without a baked prefix.
      answer: the ids that greedy search wrote.
      options: those that it wrote them with.
      prefix: the baked tokens in front of every prompt.
      limit: the most tokens that it could write, where fewer than the options say.
    """
    if not answer:
        return ()
    start = _prompt(prompt, options, prefix)
    read = tf.concat([start.tokens, [list(answer[:-1])]], axis=1)
    whole = start._replace(tokens=read, lengths=tf.shape(read)[1:])
    logits, _ = model.prefill(whole, max_new_tokens=1, logits="all")
    logits = logits[:, -len(answer) :]  # [1, answer, vocab]
    rows = default_rows(options, 1)
    rows = rows._replace(max_new_tokens=tf.minimum(rows.max_new_tokens, limit or options.max_new_tokens))
    processors = build_processors(options, rows, start, model.vocab_size, 1, row_options=False)
    most, limits = options.max_new_tokens, row_limits(options, rows, start.lengths)
    tokens, counts = needs_tokens(options), needs_counts(options, False)
    history = start_history(start, most, model.vocab_size, tokens=tokens, counts=counts)
    margins = []
    for step, token in enumerate(answer):
        scores = logits[:, step]
        for process in processors:
            scores = process(scores, Context(tf.constant(step), history, start.lengths, limits, most))
        margins.append(_lead(scores[0], token))
        history = append(history, tf.constant([token]), tf.constant(step), most)
    return tuple(margins)


def _prompt(ids: Sequence[int], options: GenerationOptions, prefix: Sequence[int]) -> Prompt:
    """[1, length]: what the loop starts from."""
    tokens, lengths = tf.constant([list(ids)], tf.int32), tf.constant([len(ids)])
    if options.decoder_start_token_id is None:
        return with_prefix(prefix, Prompt(tokens, lengths))
    start = tf.constant([[options.decoder_start_token_id]])
    return Prompt(start, tf.constant([1]), encoder_tokens=tokens, encoder_lengths=lengths)


def _lead(scores: tf.Tensor, token: int) -> float:
    """By how much ``token`` is above all others; 0 where rounding here would choose another."""
    others = tf.where(tf.range(tf.shape(scores)[0]) == token, scores.dtype.min, scores)
    return round(float(tf.clip_by_value(scores[token] - tf.reduce_max(others), 0.0, FORCED)), 6)
