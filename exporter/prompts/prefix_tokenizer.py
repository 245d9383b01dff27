"""A tokenizer graph for texts behind a baked prefix, and the prefix put back before prompts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf

from exporter.devices import CPU
from exporter.generation.step import Prompt
from exporter.prompts.language_tokenizer import behind
from exporter.prompts.prefix import Prefix
from exporter.tokenizer import TokenizerGraph


class PrefixTokenizer(TokenizerGraph):
    """Encodes what comes behind the baked tokens: the rest of the prefix and the text, tokenized together.

    Texts that are no prompts (``add_special_tokens=False``) are encoded as the inner tokenizer does.
    """

    def __init__(self, inner: TokenizerGraph, prefix: Prefix) -> None:
        super().__init__(name="prefix_tokenizer")
        self.inner = inner
        self._before = (prefix.anchor + prefix.rest).encode()
        self._skip = prefix.skip
        self.kind = inner.kind
        self.vocab_size = inner.vocab_size
        self.bos_token_id = inner.bos_token_id
        self.eos_token_id = inner.eos_token_id
        self.pad_token_id = inner.pad_token_id

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        """string [batch], valid UTF-8 -> int32 RaggedTensor [batch, (length)]."""
        if not add_special_tokens:
            return self.inner.encode(text, add_special_tokens)
        with tf.device(CPU):
            joined = tf.strings.join([tf.constant(self._before), text])
            return self.inner.encode(joined, add_special_tokens)[:, self._skip :]

    def encode_parts(
        self,
        texts: tf.Tensor,
        trusted: Sequence[bool],
        guarded: Collection[str] = (),
        add_special_tokens: bool = False,
    ) -> tf.RaggedTensor:
        """Parts behind the baked tokens, where the first part is trusted; see ``TokenizerGraph``."""
        if not add_special_tokens:
            return self.inner.encode_parts(texts, trusted, guarded)
        with tf.device(CPU):
            whole = behind(self._before, texts)
            return self.inner.encode_parts(whole, trusted, guarded, add_special_tokens)[:, self._skip :]

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """int32 [rows, length], of each row its first ``lengths`` (int32 [rows]) -> string [rows]."""
        return self.inner.decode(ids, lengths)

    def settled(self, ids: tf.Tensor, lengths: tf.Tensor, tail: tf.Tensor) -> tf.Tensor:
        """See ``TokenizerGraph.settled``."""
        return self.inner.settled(ids, lengths, tail)

    def token_bytes(self, size: int, *, first: bool = False) -> list[bytes]:
        """What each id adds to decoded text; see ``TokenizerGraph.token_bytes``."""
        return self.inner.token_bytes(size, first=first)


def with_prefix(prefix: Sequence[int], prompt: Prompt) -> Prompt:
    """The whole prompts: each row's own tokens behind ``prefix``, left-padded as before.

    [batch, length] -> [batch, len(prefix) + length]
    """
    if not prefix:
        return prompt
    count, length = len(prefix), tf.shape(prompt.tokens)[1]
    # The place among the whole prompt's tokens; < 0 in the padding.
    place = tf.range(count + length) - (length - prompt.lengths[:, tf.newaxis])
    front = tf.gather(tf.constant(list(prefix), tf.int32), tf.clip_by_value(place, 0, count - 1))
    own = tf.pad(prompt.tokens, [[0, 0], [count, 0]])
    return prompt._replace(tokens=tf.where(place < count, front, own), lengths=count + prompt.lengths)
