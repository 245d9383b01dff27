"""Options of single rows: tensors of a request, so changing one never retraces or recompiles."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from exporter.devices import CPU
from exporter.generation.generation_options import UNPREDICTABLE_SEED, GenerationOptions


class RowOptions(NamedTuple):
    """Per-row options, [batch] each; the extras, from ``stop_token_ids`` on, are None in programs without.

    Ids are int32 [batch, k] with -1 in the places that are not used.

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
      stop_token_ids: further ids that end the row, as end-of-sequence tokens do.
      logit_bias_ids, logit_bias_values: float32 [batch, k] biases of single tokens; of an id that is named
        twice they add up.
      allowed_token_ids: nothing else is chosen; all of them -1: everything is allowed.
      bad_token_ids: never chosen; end-of-sequence tokens are passed over, as in the reference.
      ignore_eos: bool; end-of-sequence tokens end nothing, ``stop_token_ids`` still do.
      num_generated: int32, how many tokens of the answer were read after the prompt; None in programs that
        begin answers. Steps, limits and counts go on from there.
      piece_tokens: int32, how many tokens are added now at most.
      guide: int32, which of the export's guides the row follows, -1 for none; None in programs without a
        choice of guides.
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
    stop_token_ids: tf.Tensor | None = None
    logit_bias_ids: tf.Tensor | None = None
    logit_bias_values: tf.Tensor | None = None
    allowed_token_ids: tf.Tensor | None = None
    bad_token_ids: tf.Tensor | None = None
    ignore_eos: tf.Tensor | None = None
    num_generated: tf.Tensor | None = None
    piece_tokens: tf.Tensor | None = None
    guide: tf.Tensor | None = None


class Field(NamedTuple):
    """A per-row option as a signature's input: its dtype, the value that switches it off, what is allowed.

    ``several``: k columns a row instead of one value.
    """

    dtype: tf.DType
    neutral: float | int | bool
    allowed: str
    several: bool = False

    def spec(self, k: int) -> tf.TensorSpec:
        """The input, [batch] or [batch, k]."""
        return tf.TensorSpec([None, k] if self.several else [None], self.dtype)

    def off(self, batch: tf.Tensor | int, k: int) -> tf.Tensor:
        """The neutral value for ``batch`` rows."""
        return tf.fill([batch, k] if self.several else [batch], tf.constant(self.neutral, self.dtype))


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
MAX_BIAS = 100.0
#: Stands in the places of ids that are not used.
NO_ID = -1

_ID = "0 to {last}, or -1 (none)"
# The further inputs of signatures that take ids.
EXTRA_FIELDS: dict[str, Field] = {
    "stop_token_ids": Field(tf.int32, NO_ID, _ID, several=True),
    "logit_bias_ids": Field(tf.int32, NO_ID, _ID, several=True),
    "logit_bias_values": Field(tf.float32, 0.0, "-100 to 100", several=True),
    "allowed_token_ids": Field(tf.int32, NO_ID, _ID, several=True),
    "bad_token_ids": Field(tf.int32, NO_ID, _ID, several=True),
    "ignore_eos": Field(tf.bool, False, "true or false"),
}
# The further inputs of answers in pieces.
PIECE_FIELDS: dict[str, Field] = {
    "num_generated": Field(tf.int32, 0, "0 to the row's max_new_tokens"),
    "piece_tokens": Field(tf.int32, 0, "1 to {piece}"),
}

#: A row that follows no guide.
NO_GUIDE = -1
# The further input of exports with guides.
GUIDE_FIELD: dict[str, Field] = {"guide": Field(tf.int32, NO_GUIDE, "0 to {last_guide}, or -1 (none)")}


def default_rows(options: GenerationOptions, batch: tf.Tensor | int) -> RowOptions:
    """The options' own values for ``batch`` rows, none of them finished."""
    values = {name: getattr(options, name) for name in ROW_FIELDS}
    if not options.do_sample:
        values |= {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    rows = {
        name: tf.fill([batch], tf.constant(values[name], field.dtype)) for name, field in ROW_FIELDS.items()
    }
    return RowOptions(**rows, finished=tf.fill([batch], False))


def row_fields(*, extras: bool = False, pieces: bool = False, guides: bool = False) -> dict[str, Field]:
    """Every per-row option of a program."""
    further = ((guides, GUIDE_FIELD), (extras, EXTRA_FIELDS), (pieces, PIECE_FIELDS))
    return ROW_FIELDS | {name: field for has, fields in further if has for name, field in fields.items()}


def with_extras(rows: RowOptions, k: int) -> RowOptions:
    """Neutral values for extras that ``rows`` leave out, k columns each."""
    batch = tf.shape(rows.seed)[0]
    missing = {
        name: field.off(batch, k) for name, field in EXTRA_FIELDS.items() if getattr(rows, name) is None
    }
    return rows._replace(**missing)


def neutral_row(rows: RowOptions) -> RowOptions:
    """Every option switched off and one token allowed, finished: what stands in for a bad row."""

    def off(name: str, value: tf.Tensor | None) -> tf.Tensor | None:
        field = row_fields(extras=True, pieces=True, guides=True).get(name)
        return value if value is None or field is None else tf.fill(tf.shape(value), _constant(field))

    neutral = RowOptions(**{name: off(name, value) for name, value in rows._asdict().items()})
    return neutral._replace(
        max_new_tokens=neutral.max_new_tokens + 1, finished=tf.fill(tf.shape(rows.seed), True)
    )


def _constant(field: Field) -> tf.Tensor:
    return tf.constant(field.neutral, field.dtype)


def check_rows(
    rows: RowOptions, options: GenerationOptions, vocab_size: int | None = None, guides: int = 0
) -> tf.Tensor:
    """string [batch]: "" for a good row, else option, value and what is allowed. Runs on the host.

    The first wrong option of a row is named, in the order of ROW_FIELDS. NaN is outside every range.
    ``vocab_size`` bounds the ids of extras, ``guides`` is how many a row may choose from.
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
        message = _extras_error(rows, options, vocab_size)
        fields = row_fields(guides=guides > 0)
        if rows.guide is not None:
            inside["guide"] = (rows.guide >= NO_GUIDE) & (rows.guide < guides)
        message = tf.where(_ends_guided(rows, options), _ENDS_GUIDED, message)
        for name in reversed(fields):
            allowed = fields[name].allowed.format(cap=cap, last_guide=guides - 1)
            message = tf.where(inside[name], message, _refusal(name, getattr(rows, name), allowed))
        return message


def _refusal(name: str, value: tf.Tensor, allowed: str) -> tf.Tensor:
    """string [batch]: what is said of a ``value`` [batch] that is not allowed."""
    text = tf.strings.as_string(value, shortest=value.dtype.is_floating)
    return tf.strings.join([f"{name}=", text, f": allowed: {allowed}"])


_ENDS_GUIDED = "stop_token_ids, ignore_eos: a guide says where an answer ends; allowed with one: neither"


def _ends_guided(rows: RowOptions, options: GenerationOptions) -> tf.Tensor:
    """bool [batch]: whether a row that follows a guide has ends of its own."""
    if rows.stop_token_ids is None or rows.ignore_eos is None:
        return tf.zeros_like(rows.finished)
    own = rows.ignore_eos | tf.reduce_any(tf.not_equal(rows.stop_token_ids, NO_ID), axis=1)
    if rows.guide is not None:
        return own & (rows.guide > NO_GUIDE)
    return own & (options.guide is not None)


def _extras_error(rows: RowOptions, options: GenerationOptions, vocab_size: int | None) -> tf.Tensor:
    """string [batch]: the first wrong extra of each row, by its first wrong value."""
    message = tf.fill(tf.shape(rows.seed), "")
    if rows.stop_token_ids is None or vocab_size is None:
        return message
    none_left = "bad_token_ids: none of allowed_token_ids is left"
    message = tf.where(_all_banned(rows, options), none_left, message)
    for name in reversed([name for name, field in EXTRA_FIELDS.items() if field.several]):
        value, field = getattr(rows, name), EXTRA_FIELDS[name]
        is_id = field.dtype == tf.int32
        inside = (value >= NO_ID) & (value < vocab_size) if is_id else tf.abs(value) <= MAX_BIAS
        first = tf.argmax(tf.cast(~inside, tf.int32), axis=1)
        wrong = tf.gather(value, first, axis=1, batch_dims=1)
        refusal = _refusal(name, wrong, field.allowed.format(last=vocab_size - 1))
        message = tf.where(tf.reduce_all(inside, axis=1), message, refusal)
    return message


def check_piece(rows: RowOptions, piece: int) -> tf.Tensor:
    """string [batch]: what is wrong with ``num_generated`` or ``piece_tokens``, "" where nothing is."""
    done, more = tf.convert_to_tensor(rows.num_generated), tf.convert_to_tensor(rows.piece_tokens)
    allowed = PIECE_FIELDS["piece_tokens"].allowed.format(piece=piece)
    message = tf.where((more >= 1) & (more <= piece), "", _refusal("piece_tokens", more, allowed))
    too_many = tf.strings.join(
        [
            *("num_generated=", tf.strings.as_string(done), ": allowed: 0 to max_new_tokens="),
            tf.strings.as_string(rows.max_new_tokens),
        ]
    )
    return tf.where((done >= 0) & (done <= rows.max_new_tokens), message, too_many)


def _all_banned(rows: RowOptions, options: GenerationOptions) -> tf.Tensor:
    """bool [batch]: whether every allowed id, where there are any, is a bad one."""
    allowed, bad = tf.convert_to_tensor(rows.allowed_token_ids), tf.convert_to_tensor(rows.bad_token_ids)
    banned = tf.reduce_any(allowed[:, :, None] == bad[:, None, :], axis=-1)  # [batch, k]
    eos = tf.constant(list(options.eos_token_id), tf.int32)
    banned &= ~tf.reduce_any(allowed[:, :, None] == eos, axis=-1)
    is_id = allowed != NO_ID
    return tf.reduce_any(is_id, axis=1) & tf.reduce_all(banned | ~is_id, axis=1)


def mask_rows(rows: RowOptions, bad: tf.Tensor) -> RowOptions:
    """Replaces the rows where ``bad`` (bool [batch]) holds by finished rows with neutral options."""

    def choose(new: tf.Tensor | None, old: tf.Tensor | None) -> tf.Tensor | None:
        if old is None:
            return None
        return tf.where(bad[:, None] if len(old.shape) == 2 else bad, new, old)

    return RowOptions(*map(choose, neutral_row(rows), rows))


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
    expanded = repeat_rows(rows, n)
    # [batch * n], 0 .. n - 1 repeated; int64 wraps around at the largest seeds
    sample = tf.tile(tf.range(n, dtype=tf.int64), tf.shape(rows.seed))
    return expanded._replace(seed=expanded.seed + sample)


def repeat_rows(rows: RowOptions, n: int) -> RowOptions:
    """[batch, ...] -> [batch * n, ...], each row n times."""
    return RowOptions(*(None if field is None else tf.repeat(field, n, axis=0) for field in rows))
