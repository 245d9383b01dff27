"""A tokenizer graph for texts behind a baked prefix, and the prefix put back before prompts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf

from exporter.devices import CPU
from exporter.generation.step import Prompt
from exporter.prompts.parts import behind
from exporter.prompts.prefix import Prefix
from exporter.tokenizer import TokenizerAround, TokenizerGraph


class PrefixTokenizer(TokenizerAround):
    """Encodes what comes behind the baked tokens: the rest of the prefix and the text, tokenized together.

    Texts that are no prompts (``add_special_tokens=False``) are encoded as the inner tokenizer does.
    """

    def __init__(self, inner: TokenizerGraph, prefix: Prefix) -> None:
        super().__init__(inner, "prefix_tokenizer")
        self._before = (prefix.anchor + prefix.rest).encode()
        self._skip = prefix.skip

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
