"""What the Python-only kinds share: added tokens are cut out first, then each piece of text is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import chars, pieces, regex
from exporter.tokenizer.base import TokenizerGraph
from exporter.tokenizer.detokenizer import Decoder
from exporter.tokenizer.post_processors import PostProcessor
from exporter.tokenizer.sources import PythonSource
from exporter.tokenizer.tables import WordTable, on_cpu

Model = Callable[[tf.Tensor], tf.RaggedTensor]
"""string[n] -> RaggedTensor int32 [n, (ids)]; an empty string has no ids."""


class PythonKind(TokenizerGraph):
    """text -> added tokens -> model on what is left -> special tokens around it."""

    def __init__(
        self,
        source: PythonSource,
        kind: str,
        *,
        model: Model,
        cutter: AddedTokenCutter | None,
        post_processor: Callable[[tf.RaggedTensor], tf.RaggedTensor],
        decoder: Decoder,
        vocab_size: int,
    ) -> None:
        super().__init__(name="tokenizer")
        settings = source.settings
        self.kind = kind
        self.vocab_size = vocab_size
        self.bos_token_id, self.eos_token_id, self.pad_token_id = settings.bos, settings.eos, settings.pad
        self._model, self._cutter, self._post_processor = model, cutter, post_processor
        self._decoder = decoder

    @on_cpu
    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        """See ``TokenizerGraph``."""
        found = pieces.from_rows(text)
        if self._cutter is None:
            ids = self._model(found.texts)
        else:
            found, tokens = self._cutter(found)
            is_token = tokens >= 0
            ends = tf.cumsum(tf.cast(is_token, tf.int64))
            splits = tf.concat([tf.zeros([1], tf.int64), ends], 0)
            own = tf.RaggedTensor.from_row_splits(tf.boolean_mask(tokens, is_token), splits, validate=False)
            ids = tf.concat([own, self._model(tf.where(is_token, "", found.texts))], 1)
        splits = tf.gather(ids.row_splits, found.splits)
        ids = tf.RaggedTensor.from_row_splits(ids.flat_values, splits, validate=False)
        return self._post_processor(ids) if add_special_tokens else ids

    @on_cpu
    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """See ``TokenizerGraph``."""
        return self._decoder(tf.RaggedTensor.from_tensor(ids, tf.cast(lengths, tf.int64)))

    @on_cpu
    def settled(self, ids: tf.Tensor, lengths: tf.Tensor, tail: tf.Tensor) -> tf.Tensor:
        """See ``TokenizerGraph``."""
        return self._decoder.settled(tf.RaggedTensor.from_tensor(ids, tf.cast(lengths, tf.int64)), tail)

    def token_bytes(self, size: int, *, first: bool = False) -> list[bytes]:
        """See ``TokenizerGraph``."""
        return self._decoder.token_bytes(size, first=first)


class AddedTokenCutter(tf.Module):
    """Cuts a Python tokenizer's added tokens out: the longest at the leftmost place.

    ``lstrip`` and ``rstrip`` tokens take Python's white space beside them along.
    """

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(name="added_tokens")
        tokens = {token.content: (i, token) for i, token in tokenizer.added_tokens_decoder.items()}
        name = type(tokenizer).__name__
        for content, (_, token) in tokens.items():
            if token.single_word or token.lstrip != token.rstrip:
                reason = f"{content!r} is a single_word token, or is stripped on one side only"
                raise TokenizerUnsupportedError(f"{name}.added_tokens", reason)
        stripping = [content for content, (_, token) in tokens.items() if token.lstrip]
        plain = [content for content in tokens if content not in stripping]
        white = chars.re2_class(chars.white_space())
        self._pattern = "|".join(
            f"{around}({_any_of(contents)}){around}"
            for contents, around in ((stripping, f"{white}*"), (plain, ""))
            if contents
        )
        groups = b"\\1\\2" if stripping and plain else b"\\1"
        self._rewrite = pieces.CUT + groups + pieces.CUT
        self._ids = WordTable("added_tokens", {content.encode(): i for content, (i, _) in tokens.items()})

    @on_cpu
    def __call__(self, source: pieces.Pieces) -> tuple[pieces.Pieces, tf.Tensor]:
        """Pieces without empty ones, and int32[pieces]: the token's id, -1 for text."""
        cut = tf.strings.regex_replace(source.texts, self._pattern, self._rewrite)
        found = pieces.split_at_cuts(source.with_texts(cut))
        return found, self._ids(found.texts)


def stripped(text: tf.Tensor) -> tf.Tensor:
    """Python's ``str.strip``; string[n] -> string[n]."""
    for pattern in chars.at_ends(chars.white_space()):
        text = tf.strings.regex_replace(text, pattern, "", replace_global=False)
    return text


def affixes(before: Iterable[int], after: Iterable[int]) -> PostProcessor:
    """The post-processor that puts fixed ids around a row."""
    return PostProcessor([list(before), list(after)])


def _any_of(contents: list[str]) -> str:
    longest_first = sorted(contents, key=lambda content: -len(content))
    return "|".join(regex.translate_literal(content) for content in longest_first)
