"""A tokenizer graph that puts a translation model's languages around every text."""

from __future__ import annotations

import tensorflow as tf

from exporter.languages import Languages
from exporter.tokenizer import TokenizerGraph


class LanguageTokenizer(TokenizerGraph):
    """Encodes as the reference does with its source language set; decodes as the inner tokenizer."""

    def __init__(self, inner: TokenizerGraph, languages: Languages) -> None:
        super().__init__(name="language_tokenizer")
        self.inner = inner
        self._languages = languages
        self.kind = inner.kind
        self.vocab_size = inner.vocab_size
        self.bos_token_id = inner.bos_token_id
        self.eos_token_id = inner.eos_token_id
        self.pad_token_id = inner.pad_token_id

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        """string [batch], valid UTF-8 -> int32 RaggedTensor [batch, (length)]."""
        languages = self._languages
        if languages.text_prefix:
            text = tf.strings.join([tf.constant(languages.text_prefix.encode()), text])
        if languages.prefix is None or not add_special_tokens:
            return self.inner.encode(text, add_special_tokens)
        return languages.frame(self.inner.encode(text, False))

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """int32 [rows, length], of each row its first ``lengths`` (int32 [rows]) -> string [rows]."""
        return self.inner.decode(ids, lengths)

    def token_bytes(self, size: int) -> list[bytes]:
        """What each id adds to decoded text; see ``TokenizerGraph.token_bytes``."""
        return self.inner.token_bytes(size)
