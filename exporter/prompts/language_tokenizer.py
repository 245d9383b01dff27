"""A tokenizer graph that puts a translation model's languages around every text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf

from exporter.errors import OptionError
from exporter.prompts.languages import Languages, framed
from exporter.tokenizer import TokenizerAround, TokenizerGraph


class LanguageTokenizer(TokenizerAround):
    """Encodes as the reference does with its languages set; decodes as the inner tokenizer."""

    def __init__(self, inner: TokenizerGraph, languages: Languages, *, of_target: bool = False) -> None:
        """``of_target``: texts are in the target language, as the reference encodes ``text_target``."""
        super().__init__(inner, "language_tokenizer")
        self._languages = languages
        self._of_target = of_target

    def of_target(self) -> LanguageTokenizer:
        """The tokenizer of texts in the target language; raises OptionError where none is named."""
        if self._languages.source is not None and self._languages.target is None:
            raise OptionError("extra_signatures: score reads texts in the target language: give target_lang")
        return LanguageTokenizer(self.inner, self._languages, of_target=True)

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        """string [batch], valid UTF-8 -> int32 RaggedTensor [batch, (length)]."""
        languages = self._languages
        frame = languages.target if self._of_target else languages.source
        if languages.text_prefix and not self._of_target:
            text = tf.strings.join([tf.constant(languages.text_prefix.encode()), text])
        if frame is None or not add_special_tokens:
            return self.inner.encode(text, add_special_tokens)
        return framed(self.inner.encode(text, False), frame)

    def encode_parts(
        self,
        texts: tf.Tensor,
        trusted: Sequence[bool],
        guarded: Collection[str] = (),
        add_special_tokens: bool = False,
    ) -> tf.RaggedTensor:
        """Parts of texts as ``encode`` reads a text; see ``TokenizerGraph``."""
        languages = self._languages
        frame = languages.target if self._of_target else languages.source
        if languages.text_prefix and not self._of_target:
            texts = behind(languages.text_prefix.encode(), texts)
        if frame is None or not add_special_tokens:
            return self.inner.encode_parts(texts, trusted, guarded, add_special_tokens)
        return framed(self.inner.encode_parts(texts, trusted, guarded), frame)


def behind(before: bytes, texts: tf.Tensor) -> tf.Tensor:
    """string [batch, parts]: ``before`` in front of every row's first part."""
    first = tf.strings.join([tf.constant(before), texts[:, :1]])
    return tf.concat([first, texts[:, 1:]], 1)
