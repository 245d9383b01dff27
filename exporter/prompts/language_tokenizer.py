"""A tokenizer graph that puts a translation model's languages around every text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

import tensorflow as tf

from exporter.errors import OptionError
from exporter.prompts.languages import Languages, framed
from exporter.prompts.parts import behind
from exporter.tokenizer import TokenizerAround, TokenizerGraph


class LanguageTokenizer(TokenizerAround):
    """Encodes as the reference does with its languages set; decodes as the inner tokenizer."""

    def __init__(self, inner: TokenizerGraph, languages: Languages, *, of_target: bool = False) -> None:
        """``of_target``: texts are in the target language, as the reference encodes ``text_target``."""
        super().__init__(inner, "language_tokenizer")
        self._languages = languages
        self._frame = languages.target if of_target else languages.source
        self._before = b"" if of_target else languages.text_prefix.encode()

    def of_target(self) -> LanguageTokenizer:
        """The tokenizer of texts in the target language; raises OptionError where none is named."""
        if self._languages.source is not None and self._languages.target is None:
            raise OptionError("extra_signatures: score reads texts in the target language: give target_lang")
        return LanguageTokenizer(self.inner, self._languages, of_target=True)

    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        """string [batch], valid UTF-8 -> int32 RaggedTensor [batch, (length)]."""
        if self._before:
            text = tf.strings.join([tf.constant(self._before), text])
        return self._framed(partial(self.inner.encode, text), add_special_tokens)

    def encode_parts(
        self,
        texts: tf.Tensor,
        trusted: Sequence[bool],
        guarded: Collection[str] = (),
        add_special_tokens: bool = False,
    ) -> tf.RaggedTensor:
        """Parts of texts as ``encode`` reads a text; see ``TokenizerGraph``."""
        if self._before:
            texts = behind(self._before, texts)
        return self._framed(partial(self.inner.encode_parts, texts, trusted, guarded), add_special_tokens)

    def _framed(self, encode: Callable[[bool], tf.RaggedTensor], add_special_tokens: bool) -> tf.RaggedTensor:
        """The ids that ``encode`` answers with special tokens or without, the languages' around them."""
        if self._frame is None or not add_special_tokens:
            return encode(add_special_tokens)
        return framed(encode(False), self._frame)
