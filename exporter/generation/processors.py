"""Logits processors: everything that changes the logits before a token is chosen, sampling or not.

Each is pure, float32 [rows, vocab] -> [rows, vocab], and is the counterpart of the class of transformers'
generation/logits_process.py that its docstring names. ``build_processors`` puts them in the order of
``GenerationMixin._get_logits_processor``. All of them see a row as if it stood alone, unpadded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from exporter.generation.generation_options import GenerationOptions
from exporter.generation.history import IN_PROMPT, NO_TOKEN, History, row_indices, seen_mask, source_tokens
from exporter.generation.rows import RowOptions
from exporter.generation.step import Prompt


class Context(NamedTuple):
    """Where the loop stands when it is about to choose a token.

    Attributes:
      step: int32 [], how many tokens each row has generated; [rows] where answers go on from earlier pieces.
      history: the rows' past.
      lengths: int32 [rows], of the prompts.
      limits: int32 [rows], how many tokens each row may generate.
      width: static T, the number of columns of ``history.tokens`` after what was read.
      written: int32 [], how many of these columns are filled; None: ``step``.
    """

    step: tf.Tensor
    history: History
    lengths: tf.Tensor
    limits: tf.Tensor
    width: int
    written: tf.Tensor | None = None

    @property
    def step_column(self) -> tf.Tensor:
        """``step`` beside [rows, vocab]: [], or [rows, 1]."""
        step = tf.convert_to_tensor(self.step)
        return step[:, None] if len(step.shape) else step

    def suffix(self, size: int) -> tf.Tensor:
        """int32 [rows, size]: the newest ``size`` tokens; NO_TOKEN before the first."""
        padded = tf.pad(self.history.tokens, [[0, 0], [size, 0]], constant_values=NO_TOKEN)
        written = self.step if self.written is None else self.written
        end = tf.shape(self.history.tokens)[1] - self.width + written
        rows = tf.shape(padded)[0]
        return tf.slice(padded, tf.stack([0, end]), tf.stack([rows, size]))


Processor = Callable[[tf.Tensor, Context], tf.Tensor]
# A number of the signature, or a [rows] tensor of the request.
Number: TypeAlias = "float | tf.Tensor"


def needs_tokens(options: GenerationOptions) -> bool:
    """Whether some processor reads ``History.tokens``."""
    biased = any(len(tokens) > 1 for tokens, _ in options.sequence_bias)
    bad = any(len(tokens) > 1 for tokens in options.bad_words_ids)
    return bool(options.no_repeat_ngram_size or options.encoder_no_repeat_ngram_size or biased or bad)


def needs_counts(options: GenerationOptions, row_options: bool) -> bool:
    """Whether some processor reads ``History.counts``."""
    static = (
        options.repetition_penalty != 1 or options.presence_penalty != 0 or options.frequency_penalty != 0
    )
    return row_options or static


def can_ban(options: GenerationOptions, rows: RowOptions) -> bool:
    """Whether some processor makes logits -inf; penalties never do."""
    bans = (
        *(options.no_repeat_ngram_size, options.encoder_no_repeat_ngram_size, options.bad_words_ids),
        *(options.min_length, options.min_new_tokens, options.forced_eos_token_id, options.suppress_tokens),
        *(options.begin_suppress_tokens, options.sequence_bias, options.forced_bos_token_id is not None),
        rows.bad_token_ids is not None,
    )
    return any(bans)


def build_processors(
    options: GenerationOptions,
    rows: RowOptions,
    prompt: Prompt,
    vocab_size: int,
    n: int,
    *,
    row_options: bool,
) -> list[Processor]:
    """The signature's processors, in transformers' order; an option at its neutral value costs nothing.

    Args:
      options: the signature's options.
      rows: per-row options of the expanded rows [batch * n]; read only with ``row_options``.
      prompt: what was read, [batch]: the prompts, and after them ``rows.num_generated`` tokens of the answer.
      vocab_size: width of the logits.
      n: rows per prompt.
      row_options: whether the penalties come from ``rows`` instead of ``options``, and extras count.
    """
    penalties = rows if row_options else options
    eos = options.eos_token_id
    ends = _ends(options, rows, vocab_size) if eos or rows.stop_token_ids is not None else None
    found: list[Processor] = []

    def source() -> tf.Tensor:
        return tf.repeat(source_tokens(prompt, rows.num_generated), n, axis=0)

    if rows.logit_bias_ids is not None:
        found.append(row_biases(rows, eos, vocab_size))
    if options.sequence_bias:
        found.append(sequence_bias(options.sequence_bias, vocab_size))
    if options.encoder_repetition_penalty != 1:
        found.append(encoder_repetition_penalty(options.encoder_repetition_penalty, source(), vocab_size))
    if row_options or options.repetition_penalty != 1:
        found.append(repetition_penalty(penalties.repetition_penalty))
    if row_options or options.presence_penalty != 0 or options.frequency_penalty != 0:
        found.append(count_penalties(penalties.presence_penalty, penalties.frequency_penalty))
    if options.no_repeat_ngram_size:
        found.append(no_repeat_ngram(options.no_repeat_ngram_size))
    if options.encoder_no_repeat_ngram_size:
        found.append(encoder_no_repeat_ngram(options.encoder_no_repeat_ngram_size, source()))
    if options.bad_words_ids:
        found.append(bad_words(options.bad_words_ids, eos, vocab_size))
    if options.min_length and ends is not None:
        found.append(min_length(options.min_length, ends))
    if options.min_new_tokens and ends is not None:
        found.append(min_new_tokens(options.min_new_tokens, ends))
    if options.forced_bos_token_id is not None:
        found.append(forced_bos(options.forced_bos_token_id, vocab_size))
    if options.forced_eos_token_id:
        found.append(forced_eos(options.forced_eos_token_id, vocab_size))
    if options.remove_invalid_values:
        found.append(remove_invalid_values)
    if options.exponential_decay_length_penalty is not None and ends is not None:
        found.append(exponential_decay(*options.exponential_decay_length_penalty, ends))
    if options.suppress_tokens:
        found.append(suppress(options.suppress_tokens, vocab_size))
    if options.begin_suppress_tokens:
        after_bos = options.forced_bos_token_id is not None
        found.append(begin_suppress(options.begin_suppress_tokens, vocab_size, after_bos))
    return found


def _mask(tokens: Sequence[int], vocab_size: int) -> tf.Tensor:
    """bool [vocab]: which tokens are among ``tokens``; ids without a logit are passed over."""
    mask = np.zeros(vocab_size, bool)
    mask[[token for token in tokens if 0 <= token < vocab_size]] = True
    return tf.constant(mask)


def _ends(options: GenerationOptions, rows: RowOptions, vocab_size: int) -> tf.Tensor:
    """bool [vocab], with extras [rows, vocab]: the ids that end a row."""
    mask = _mask(options.eos_token_id, vocab_size)
    if rows.stop_token_ids is None:
        return mask
    return mask | (seen_mask(rows.stop_token_ids, vocab_size, tf.int32) > 0)


def row_biases(rows: RowOptions, eos: Sequence[int], vocab_size: int) -> Processor:
    """Each row's biases, bad and allowed ids as one sum, which is made once before the loop.

    The counterparts of SequenceBiasLogitsProcessor and NoBadWordsLogitsProcessor for single tokens.
    """
    ids, bad = tf.convert_to_tensor(rows.logit_bias_ids), rows.bad_token_ids
    # Spare columns take what is no id.
    column = tf.where(ids < 0, vocab_size, ids)
    total = tf.zeros([tf.shape(ids)[0], vocab_size + 1])
    total = tf.tensor_scatter_nd_add(total, row_indices(column), rows.logit_bias_values)[:, :vocab_size]
    banned = (seen_mask(bad, vocab_size, tf.int32) > 0) & ~_mask(eos, vocab_size)
    allowed = seen_mask(rows.allowed_token_ids, vocab_size, tf.int32) > 0
    banned |= tf.reduce_any(allowed, axis=1, keepdims=True) & ~allowed
    total = tf.where(banned, -math.inf, total)
    return lambda logits, context: logits + total


def _column(value: Number) -> Number:
    """A [rows] tensor as [rows, 1]; a number as it is."""
    return value[:, None] if isinstance(value, tf.Tensor) else value


def sequence_bias(biases: Sequence[tuple[Sequence[int], float]], vocab_size: int) -> Processor:
    """Adds a bias to a token where it would complete a sequence (SequenceBiasLogitsProcessor)."""
    # A repeated sequence counts once, with its last bias: a dict in the reference.
    by_sequence = {tuple(tokens): bias for tokens, bias in biases}
    single = np.zeros(vocab_size, np.float32)
    groups: dict[int, list[tuple[tuple[int, ...], float]]] = {}
    for tokens, bias in by_sequence.items():
        if len(tokens) == 1:
            single[tokens[0]] = bias
        else:
            groups.setdefault(len(tokens) - 1, []).append((tokens, bias))

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        total = tf.zeros_like(logits) + tf.constant(single)
        for size, group in groups.items():
            total = _add_completed(total, context.suffix(size), group)
        return logits + total

    return process


def _add_completed(
    total: tf.Tensor, suffix: tf.Tensor, group: Sequence[tuple[tuple[int, ...], float]]
) -> tf.Tensor:
    """Adds the biases of the sequences whose prefix is ``suffix`` (int32 [rows, size])."""
    prefixes = tf.constant([tokens[:-1] for tokens, _ in group], tf.int32)  # [sequences, size]
    last = tf.constant([tokens[-1] for tokens, _ in group], tf.int32)
    bias = tf.constant([bias for _, bias in group], tf.float32)
    matches = tf.reduce_all(suffix[:, None, :] == prefixes, axis=-1)  # [rows, sequences]
    indices = row_indices(tf.zeros_like(matches, tf.int32) + last)
    return tf.tensor_scatter_nd_add(total, indices, tf.where(matches, bias, 0.0))


def bad_words(words: Sequence[Sequence[int]], eos: Sequence[int], vocab_size: int) -> Processor:
    """Bans the last token of every sequence it would complete (NoBadWordsLogitsProcessor)."""
    kept = [tuple(word) for word in words if not (len(word) == 1 and word[0] in eos)]
    return sequence_bias([(word, -math.inf) for word in kept], vocab_size)


def repetition_penalty(penalty: Number) -> Processor:
    """Shrinks the logits of tokens in prompt or answer (RepetitionPenaltyLogitsProcessor)."""

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        return tf.where(context.history.counts > 0, _penalised(logits, _column(penalty)), logits)

    return process


def encoder_repetition_penalty(penalty: float, source: tf.Tensor, vocab_size: int) -> Processor:
    """Raises the logits of tokens of the source (EncoderRepetitionPenaltyLogitsProcessor)."""
    seen = seen_mask(source, vocab_size, tf.int32) > 0

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        return tf.where(seen, _penalised(logits, 1 / penalty), logits)

    return process


def _penalised(logits: tf.Tensor, penalty: Number) -> tf.Tensor:
    return tf.where(logits < 0, logits * penalty, logits / penalty)


def count_penalties(presence: Number, frequency: Number) -> Processor:
    """OpenAI's ``logit - count * frequency - (count > 0) * presence`` over the generated tokens.

    https://platform.openai.com/docs/guides/text-generation (frequency and presence penalties).
    """

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        count = tf.cast(tf.bitwise.bitwise_and(context.history.counts, IN_PROMPT - 1), tf.float32)
        present = tf.cast(count > 0, tf.float32)
        return logits - count * _column(frequency) - present * _column(presence)

    return process


def no_repeat_ngram(size: int) -> Processor:
    """Bans every token that would complete an n-gram of the row (NoRepeatNGramLogitsProcessor)."""

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        return _ban_completions(logits, context.history.tokens, context.suffix(size - 1), size)

    return process


def encoder_no_repeat_ngram(size: int, source: tf.Tensor) -> Processor:
    """Bans completions of the source's n-grams (EncoderNoRepeatNGramLogitsProcessor)."""

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        return _ban_completions(logits, source, context.suffix(size - 1), size)

    return process


def _ban_completions(logits: tf.Tensor, tokens: tf.Tensor, suffix: tf.Tensor, size: int) -> tf.Tensor:
    """-inf for the last token of every window of ``tokens`` that starts with ``suffix``.

    Args:
      logits: float32 [rows, vocab].
      tokens: int32 [rows, columns], NO_TOKEN where there is none.
      suffix: int32 [rows, size - 1].
      size: static, of the n-grams.
    """
    # Windows that run over the end are completed with NO_TOKEN and ban nothing.
    columns = tf.shape(tokens)[1]
    padded = tf.pad(tokens, [[0, 0], [0, size - 1]], constant_values=NO_TOKEN)
    last = padded[:, size - 1 :]  # [rows, columns]
    matches = (last >= 0) & (last < tf.shape(logits)[1])
    for offset in range(size - 1):
        window = tf.slice(padded, [0, offset], tf.stack([-1, columns]))
        # A suffix that reaches into the padding is no n-gram.
        matches &= (window == suffix[:, offset : offset + 1]) & (window >= 0)
    banned = tf.where(matches, -math.inf, math.inf)
    return tf.tensor_scatter_nd_min(logits, row_indices(tf.where(matches, last, 0)), banned)


def min_length(length: int, mask: tf.Tensor) -> Processor:
    """No end (``mask``) before prompt and answer have this length (MinLengthLogitsProcessor)."""

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        short = context.lengths + context.step < length
        return tf.where(short[:, None] & mask, -math.inf, logits)

    return process


def min_new_tokens(count: int, mask: tf.Tensor) -> Processor:
    """No end (``mask``) before this many new tokens (MinNewTokensLengthLogitsProcessor)."""

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        return tf.where((context.step_column < count) & mask, -math.inf, logits)

    return process


def _force(logits: tf.Tensor, where: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """In the rows of ``where`` (bool [rows]): 0 for the tokens of ``mask``, -inf for all others."""
    return tf.where(where[:, None], tf.where(mask, 0.0, -math.inf), logits)


def forced_bos(token: int, vocab_size: int) -> Processor:
    """Forces the second token of a sequence (ForcedBOSTokenLogitsProcessor)."""
    mask = _mask([token], vocab_size)

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        return _force(logits, context.lengths + context.step == 1, mask)

    return process


def forced_eos(tokens: Sequence[int], vocab_size: int) -> Processor:
    """Forces the last token of the longest length (ForcedEOSTokenLogitsProcessor)."""
    mask = _mask(tokens, vocab_size)

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        return _force(logits, context.step == context.limits - 1, mask)

    return process


def remove_invalid_values(logits: tf.Tensor, context: Context) -> tf.Tensor:
    """NaN becomes 0, infinities the largest finite values (InfNanRemoveLogitsProcessor)."""
    finite = tf.clip_by_value(logits, tf.float32.min, tf.float32.max)
    return tf.where(tf.math.is_nan(logits), 0.0, finite)


def exponential_decay(start: int, factor: float, mask: tf.Tensor) -> Processor:
    """Raises the logits of ends (``mask``) after ``start`` new tokens (ExponentialDecayLengthPenalty)."""

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        late = context.step_column - start
        growth = tf.pow(factor, tf.cast(late, tf.float32)) - 1.0
        penalty = tf.where(tf.math.is_finite(logits), tf.abs(logits) * growth, 0.0)
        return tf.where((late > 0) & mask, logits + penalty, logits)

    return process


def suppress(tokens: Sequence[int], vocab_size: int) -> Processor:
    """Bans tokens (SuppressTokensLogitsProcessor)."""
    mask = _mask(tokens, vocab_size)
    return lambda logits, context: tf.where(mask, -math.inf, logits)


def begin_suppress(tokens: Sequence[int], vocab_size: int, after_bos: bool) -> Processor:
    """Bans tokens at the beginning (SuppressTokensAtBeginLogitsProcessor).

    The beginning is the first new token, or the second where the first is a forced one (``after_bos`` and a
    prompt of one token).
    """
    mask = _mask(tokens, vocab_size)

    def process(logits: tf.Tensor, context: Context) -> tf.Tensor:
        begin = tf.where(context.lengths > 1, 0, 1) if after_bos else tf.zeros_like(context.lengths)
        return tf.where((context.step == begin)[:, None] & mask, -math.inf, logits)

    return process
