"""What a request says, turned into rows of tokens, with each row's own error beside it.

Under server batching an op that fails fails every client of the merged batch, so a bad row is data: it
goes on as a finished pad row and answers with its message. All ops here run on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from exporter.choices import Overflow

if TYPE_CHECKING:
    from exporter.tokenizer import TokenizerGraph


class Rows(NamedTuple):
    """Rows ready for a program.

    Attributes:
      tokens: RaggedTensor int32 [batch, (length)]; a row with an error is empty.
      error: string [batch]; "" for a good row.
      truncated: bool [batch].
    """

    tokens: tf.RaggedTensor
    error: tf.Tensor
    truncated: tf.Tensor


def first_error(*messages: tf.Tensor) -> tf.Tensor:
    """string [batch]: each row's first non-empty message, or ""."""
    result = messages[0]
    for message in messages[1:]:
        result = tf.where(tf.equal(result, ""), message, result)
    return result


def message_where(bad: tf.Tensor, parts: list[str | tf.Tensor]) -> tf.Tensor:
    """string [batch]: the joined ``parts`` (texts, or int [batch] tensors) where ``bad``, else ""."""
    texts = [part if isinstance(part, str) else tf.strings.as_string(part) for part in parts]
    return tf.where(bad, tf.strings.join(texts), "")


def utf8_error(text: tf.Tensor, field: str = "text") -> tf.Tensor:
    """string [batch]: a message for every row that is not valid UTF-8.

    Transcoding with replacement changes a string exactly when it is invalid; that depends on no Unicode
    table (checked over all code points and random byte strings in the tests).
    """
    clean = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replacement_char=0xFFFD)
    return message_where(tf.not_equal(clean, text), [f"{field}: not valid UTF-8"])


def encode_parts(
    tokenizer: TokenizerGraph,
    parts: tf.Tensor,
    error: tf.Tensor,
    *,
    field: str,
    guarded: Sequence[str],
    vocab_size: int | None = None,
    add_special_tokens: bool = False,
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Tokenizes string [batch, parts], every other part a template's own, beginning with the first.

    Rows with an ``error`` come back empty, and so do those with a token outside the model's ``vocab_size``.
    """
    good = tf.equal(error, "")
    trusted = [place % 2 == 0 for place in range(parts.shape[1])]
    tokens = tokenizer.encode_parts(
        tf.where(good[:, tf.newaxis], parts, ""), trusted, guarded, add_special_tokens
    )
    if vocab_size is not None and tokenizer.vocab_size > vocab_size:
        error = first_error(error, _id_error(tokens, vocab_size, f"{field}: token "))
    return _keep(tokens, tf.equal(error, ""), tokens.row_lengths(), from_left=True), error


def encode_rows(
    tokenizer: TokenizerGraph,
    text: tf.Tensor,
    *,
    field: str = "text",
    add_special_tokens: bool = True,
    vocab_size: int | None = None,
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Tokenizes string [batch]; rows that are not UTF-8 come back empty with their error.

    So do rows with a token outside the model's ``vocab_size``, which costs nothing where there is none.
    """
    error = utf8_error(text, field)
    tokens = tokenizer.encode(tf.where(tf.equal(error, ""), text, ""), add_special_tokens)
    if vocab_size is not None and tokenizer.vocab_size > vocab_size:
        error = first_error(error, _id_error(tokens, vocab_size, f"{field}: token "))
    return _keep(tokens, tf.equal(error, ""), tokens.row_lengths(), from_left=True), error


def rows_from_text(
    tokenizer: TokenizerGraph,
    text: tf.Tensor,
    *,
    longest: int,
    overflow: Overflow,
    field: str = "text",
    add_special_tokens: bool = True,
    keep_first: int = 0,
    advice: str = "",
    vocab_size: int | None = None,
) -> Rows:
    """string [batch] -> rows of at most ``longest`` tokens; ``field`` names the input in errors.

    A row with a token outside ``vocab_size`` is refused, wherever in the text it stands.

    ``keep_first`` tokens are never truncated from the left: the oldest behind them are. ``advice`` ends the
    error of a row that is too long.
    """
    tokens, error = encode_rows(
        tokenizer, text, field=field, add_special_tokens=add_special_tokens, vocab_size=vocab_size
    )
    return fit_rows(
        tokens,
        error,
        field=field,
        longest=longest,
        overflow=overflow,
        keep_first=min(keep_first, longest),
        advice=advice,
    )


def rows_from_ids(
    input_ids: tf.Tensor, num_tokens: tf.Tensor, *, vocab_size: int, longest: int, advice: str = ""
) -> Rows:
    """int32 [batch, width] right-padded ids and int32 [batch] counts -> rows of at most ``longest``."""
    tokens, error = checked_ids(input_ids, num_tokens, vocab_size=vocab_size)
    return fit_rows(tokens, error, field="num_tokens", longest=longest, overflow="error", advice=advice)


def with_errors(rows: Rows, error: tf.Tensor) -> Rows:
    """Adds string [batch] errors to rows that have none yet; a row with an error is emptied."""
    error = first_error(rows.error, error)
    ok = tf.equal(error, "")
    tokens = _keep(rows.tokens, ok, rows.tokens.row_lengths(), from_left=True)
    return Rows(tokens=tokens, error=error, truncated=ok & rows.truncated)


def checked_ids(
    input_ids: tf.Tensor,
    num_tokens: tf.Tensor,
    *,
    vocab_size: int,
    field: str = "input_ids",
    count: str = "num_tokens",
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Ragged rows of right-padded ids; a row with a count or an id out of range is empty, with its error.

    ``field`` and ``count`` name the two inputs in errors.
    """
    width = tf.shape(input_ids)[1]
    count_error = message_where(
        (num_tokens < 0) | (num_tokens > width),
        [
            f"{count}: ",
            num_tokens,
            " is out of range; allowed: 0 to ",
            tf.fill(tf.shape(num_tokens), width),
        ],
    )
    ok = tf.equal(count_error, "")
    counts = tf.where(ok, num_tokens, 0)
    tokens = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(input_ids, tf.sequence_mask(counts, width)), tf.cast(counts, tf.int64), validate=False
    )
    error = first_error(count_error, _id_error(tokens, vocab_size, f"{field}: "))
    return _keep(tokens, tf.equal(error, ""), tokens.row_lengths(), from_left=True), error


def _id_error(tokens: tf.RaggedTensor, vocab_size: int, before: str) -> tf.Tensor:
    """string [batch]: a message for every row with an id out of range, naming the smallest of them."""
    bad_values = tf.where((tokens.values < 0) | (tokens.values >= vocab_size), tokens.values, _NO_BAD_ID)
    first_bad = tf.math.unsorted_segment_min(bad_values, tokens.value_rowids(), tokens.nrows())
    # An empty segment's minimum is the type's largest value, which is the sentinel too.
    return message_where(
        tf.not_equal(first_bad, _NO_BAD_ID),
        [before, first_bad, f" is not in the vocabulary; allowed: 0 to {vocab_size - 1}"],
    )


#: No row's id: marks "all ids are good" in a minimum over a row's bad ids.
_NO_BAD_ID = tf.int32.max


def fit_rows(
    tokens: tf.RaggedTensor,
    error: tf.Tensor,
    *,
    field: str,
    longest: int,
    overflow: Overflow,
    keep_first: int = 0,
    advice: str = "",
) -> Rows:
    """Refuses empty rows; refuses or truncates rows of more than ``longest`` tokens."""
    lengths = tokens.row_lengths()  # int64 [batch]
    error = first_error(
        error, message_where(lengths < 1, [f"{field}: the prompt is empty; allowed: 1 to {longest} tokens"])
    )
    too_long = lengths > longest
    if overflow == "error":
        error = first_error(
            error,
            message_where(
                too_long, [f"{field}: the prompt has ", lengths, f" tokens; allowed: 1 to {longest}{advice}"]
            ),
        )
    ok = tf.equal(error, "")
    kept = tf.minimum(lengths, longest)
    tokens = _keep(tokens, ok, kept, from_left=overflow != "truncate_left", first=keep_first)
    return Rows(tokens=tokens, error=error, truncated=ok & too_long)


def _keep(
    tokens: tf.RaggedTensor, ok: tf.Tensor, count: tf.Tensor, *, from_left: bool, first: int = 0
) -> tf.RaggedTensor:
    """The first (or last) ``count[row]`` tokens of rows that are ``ok``; nothing of the others.

    ``first`` of the last ``count`` are the row's first tokens instead.
    """
    rows = tokens.value_rowids()
    position = tf.range(tokens.row_splits[-1]) - tf.gather(tokens.row_splits, rows)
    skipped = tf.zeros_like(count) if from_left else tokens.row_lengths() - count
    start, stop = tf.gather(skipped, rows), tf.gather(skipped + count, rows)
    inside = (position >= start + (first if not from_left else 0)) & (position < stop)
    if first and not from_left:
        inside |= position < first
    keep = tf.gather(ok, rows) & inside
    return tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(tokens.values, keep),
        tf.boolean_mask(rows, keep),
        nrows=tokens.nrows(),
        validate=False,
    )
