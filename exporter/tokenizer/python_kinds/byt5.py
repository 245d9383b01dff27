"""ByT5: UTF-8 bytes, three places up, and sentinels.

Source: ``ByT5Tokenizer`` of transformers 5.
"""

from __future__ import annotations

import tensorflow as tf

from exporter.tokenizer.detokenizer import Chain, Decoder
from exporter.tokenizer.python_kinds.base import AddedTokenCutter, PythonKind
from exporter.tokenizer.sources import PythonSource
from exporter.tokenizer.tables import on_cpu


class _Bytes(tf.Module):
    """string[n] -> RaggedTensor int32 [n, (bytes)]."""

    def __init__(self, offset: int) -> None:
        super().__init__(name="bytes")
        self._offset = offset

    @on_cpu
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        stream = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
        lengths = tf.cast(tf.strings.length(texts), tf.int64)
        splits = tf.concat([tf.zeros([1], tf.int64), tf.cumsum(lengths)], 0)
        ids = tf.cast(stream, tf.int32) + self._offset
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)


class _EndOnce(tf.Module):
    """Appends the end token to rows that do not end with it already."""

    def __init__(self, eos: int) -> None:
        super().__init__(name="end_once")
        self._eos = eos

    @on_cpu
    def __call__(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        ends = ids.row_splits[1:]
        last = tf.gather(tf.concat([[-1], ids.flat_values], 0), tf.where(ids.row_lengths() > 0, ends, 0))
        missing = tf.cast(tf.not_equal(last, self._eos), tf.int64)
        splits = tf.concat([tf.zeros([1], tf.int64), tf.cumsum(missing)], 0)
        more = tf.fill(splits[-1:], self._eos)
        return tf.concat([ids, tf.RaggedTensor.from_row_splits(more, splits, validate=False)], 1)


def build_byt5(source: PythonSource, *, special_tokens_in_text: bool, clean_up: bool) -> PythonKind:
    """ByT5 in the graph."""
    tokenizer = source.tokenizer
    added = tokenizer.added_tokens_decoder
    size = max([*added, tokenizer.offset + 255]) + 1
    special = set(tokenizer.all_special_ids)
    texts: list[bytes | None] = [None] * size
    for byte in range(256):
        texts[tokenizer.offset + byte] = bytes([byte])
    for i, token in added.items():
        texts[i] = None if i in special else token.content.encode()
    return PythonKind(
        source,
        "ByT5 bytes",
        model=_Bytes(tokenizer.offset),
        cutter=AddedTokenCutter(tokenizer) if special_tokens_in_text else None,
        post_processor=_EndOnce(tokenizer.eos_token_id),
        # Python leaves out what is ill-formed, in the same parts that others replace.
        decoder=Decoder(Chain(join="bytes", replacement=b""), texts, clean_up=clean_up),
        vocab_size=size,
    )
