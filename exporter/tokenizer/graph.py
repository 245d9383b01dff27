"""Assembly: tokenizer.json nodes -> one module that encodes and decodes in the graph.

    text -> added tokens (raw) -> normalizer -> added tokens (normalized) -> pre-tokenizer
         -> unique words -> model -> ids by word -> post-processor

A batch is one flat list of pieces all the way (``pieces.Pieces``), so that the work does not depend on how
texts are spread over rows: batched and one by one give the same ids.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.choices import TokenizerReference
from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes, pieces, tables
from exporter.tokenizer.added_tokens import AddedTokenSplitter, Wanted
from exporter.tokenizer.base import TokenizerGraph
from exporter.tokenizer.decoders import build_decoder, special_strings, token_strings
from exporter.tokenizer.guards import guarded_ids
from exporter.tokenizer.models import build_model
from exporter.tokenizer.normalizers import build_normalizer, flatten_normalizer
from exporter.tokenizer.pieces import Pieces
from exporter.tokenizer.post_processors import build_post_processor
from exporter.tokenizer.pre_tokenizers import build_pre_tokenizer, flatten_pre_tokenizer
from exporter.tokenizer.sources import JsonSource, read_source


class JsonTokenizer(TokenizerGraph):
    """A tokenizer compiled from tokenizer.json nodes."""

    def __init__(
        self,
        source: JsonSource,
        *,
        special_tokens_in_text: bool,
        skip_special_tokens: bool,
        clean_up: bool,
    ) -> None:
        super().__init__(name="tokenizer")
        file, reference = source.file, source.tokenizer
        _refuse_moved_start(file)
        self.ignored_fields = source.ignored
        self.kind = _kind(file)
        self.vocab_size = max(reference.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        settings = source.settings
        self.bos_token_id, self.eos_token_id, self.pad_token_id = settings.bos, settings.eos, settings.pad
        added = reference.get_added_tokens_decoder()
        self._added = dict(sorted(added.items()))
        self._raw = _splitter(source, added, False, special_tokens_in_text)
        self._normalized = _splitter(source, added, True, special_tokens_in_text)
        self._token_ids = tables.WordTable("added_tokens", {pieces.token_code(i): i for i in added})
        self._normalizer = build_normalizer(file.normalizer)
        self._pre_tokenizer = build_pre_tokenizer(file.pre_tokenizer)
        self._model = build_model(file.model, byte_level=self._pre_tokenizer.byte_level)
        self._post_processor = build_post_processor(file.post_processor)
        self._decoder = build_decoder(
            file.decoder,
            token_strings(reference),
            special_strings(reference),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=clean_up,
        )

    @tf.autograph.experimental.do_not_convert
    def encode(self, text: tf.Tensor, add_special_tokens: bool = True) -> tf.RaggedTensor:
        with tables.cpu():
            ids = self._encoded(text, *(None if one is None or one.idle else one for one in self._passes))
            return self._post_processor(ids) if add_special_tokens else ids

    @tf.autograph.experimental.do_not_convert
    def encode_parts(
        self,
        texts: tf.Tensor,
        trusted: Sequence[bool],
        guarded: Collection[str] = (),
        add_special_tokens: bool = False,
    ) -> tf.RaggedTensor:
        guards = guarded_ids(self._added, guarded, normalizes=self._normalizer is not None)
        own = [place for place, flag in enumerate(trusted) if flag]
        others = [place for place, flag in enumerate(trusted) if not flag]
        with tables.cpu():

            def columns(places: list[int]) -> tf.Tensor:
                return tf.gather(texts, tf.constant(places, tf.int32), axis=1)

            marked = tf.reshape(columns(own), [-1])
            for one in filter(None, self._passes):
                marked = one.mark(marked, guards)
            # [batch * own] -> [batch, own], then back in their places
            marked = tf.reshape(marked, [tf.shape(texts)[0], len(own)])
            places = [(own + others).index(place) for place in range(len(trusted))]
            parts = tf.gather(tf.concat([marked, columns(others)], 1), places, axis=1)
            ids = self._encoded(tf.strings.reduce_join(parts, 1), *self._passes, guards)
            return self._post_processor(ids) if add_special_tokens else ids

    @property
    def _passes(self) -> tuple[AddedTokenSplitter | None, AddedTokenSplitter | None]:
        return self._raw, self._normalized

    def _encoded(
        self,
        text: tf.Tensor,
        raw: AddedTokenSplitter | None,
        normalized: AddedTokenSplitter | None,
        guards: frozenset[int] | None = None,
    ) -> tf.RaggedTensor:
        """string [batch] -> ids without those of the post-processor."""
        found = pieces.from_rows(text)
        if raw:
            found = raw(found, guards)
        if self._normalizer:
            found = found.with_texts(self._normalize(found.texts, raw is not None))
        if normalized:
            found = normalized(found, guards)
        words = pieces.split_at_cuts(self._pre_tokenizer(found))
        return self._ids(words, with_tokens=raw is not None or normalized is not None)

    @tf.autograph.experimental.do_not_convert
    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        with tables.cpu():
            return self._decoder(tf.RaggedTensor.from_tensor(ids, lengths))

    @tf.autograph.experimental.do_not_convert
    def settled(self, ids: tf.Tensor, lengths: tf.Tensor, tail: tf.Tensor) -> tf.Tensor:
        with tables.cpu():
            return self._decoder.settled(tf.RaggedTensor.from_tensor(ids, lengths), tail)

    def token_bytes(self, size: int, *, first: bool = False) -> list[bytes]:
        return self._decoder.token_bytes(size, first=first)

    def _normalize(self, texts: tf.Tensor, with_tokens: bool) -> tf.Tensor:
        """Normalizes what is text."""
        assert self._normalizer is not None
        if not with_tokens:
            return self._normalizer(texts)
        found = pieces.is_token(texts)
        return tf.where(found, texts, self._normalizer(tf.where(found, b"", texts)))

    def _ids(self, words: Pieces, with_tokens: bool) -> tf.RaggedTensor:
        """Each different word goes through the model once; then every word takes its ids."""
        unique, index = tf.unique(words.texts)
        if with_tokens:
            by_word, index = self._with_tokens(unique, index)
        else:
            by_word = self._model(unique)
        in_order = tf.gather(by_word, index)
        splits = tf.gather(tf.cast(in_order.row_splits, tf.int64), words.splits)
        return tf.RaggedTensor.from_row_splits(in_order.values, splits, validate=False)

    def _with_tokens(self, unique: tf.Tensor, index: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """The model's ids of the words, then the tokens' own ids, and the index into both."""
        found = pieces.is_token(unique)
        by_word = self._model(tf.boolean_mask(unique, ~found))
        tokens = self._token_ids(tf.boolean_mask(unique, found))
        splits = tf.cast(by_word.row_splits, tf.int64)
        more = splits[-1] + tf.range(1, tf.size(tokens, tf.int64) + 1, dtype=tf.int64)
        both = tf.RaggedTensor.from_row_splits(
            tf.concat([by_word.values, tokens], 0), tf.concat([splits, more], 0), validate=False
        )
        as_word, as_token = (tf.cumsum(tf.cast(flags, tf.int32), exclusive=True) for flags in (~found, found))
        position = tf.where(found, tf.size(splits, tf.int32) - 1 + as_token, as_word)
        return both, tf.gather(position, index)


def build_tokenizer(
    source: str | Path,
    *,
    origin: TokenizerReference = "files",
    special_tokens_in_text: bool = True,
    skip_special_tokens: bool = True,
    clean_up_tokenization_spaces: bool | None = None,
) -> TokenizerGraph:
    """Compiles the tokenizer of a checkpoint directory (or a tokenizer.json).

    Args:
      source, origin: see ``sources.read_source``.
      special_tokens_in_text: whether a special token written in a text is that token; False treats it as
        plain text, and so does a checkpoint that says ``split_special_tokens``.
      skip_special_tokens: whether ``decode`` leaves special tokens out.
      clean_up_tokenization_spaces: whether ``decode`` removes spaces before punctuation, as transformers
        does; None takes what the checkpoint's tokenizer_config.json says.

    Raises:
      CheckpointError: no tokenizer there, or one that the library cannot read.
      TokenizerUnsupportedError: a node has no exact translation.
    """
    found = read_source(Path(source), origin)
    clean_up = (
        found.settings.clean_up if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
    )
    options = {
        "special_tokens_in_text": special_tokens_in_text and not found.settings.split_special,
        "skip_special_tokens": skip_special_tokens,
        "clean_up": clean_up,
    }
    try:
        if isinstance(found, JsonSource):
            return JsonTokenizer(found, **options)
        from exporter.tokenizer.python_kinds import build_python_kind

        return build_python_kind(found, **options)
    except TokenizerUnsupportedError as refusal:
        raise refusal.of(found.named) from None


def _splitter(
    source: JsonSource, added: dict[int, Any], normalized: bool, special_tokens_in_text: bool
) -> AddedTokenSplitter | None:
    """The pass for the tokens that are looked for in raw, or in normalized, text; None without any."""
    normalizer = source.tokenizer.normalizer
    wanted = [
        Wanted(
            id=token_id,
            text=normalizer.normalize_str(token.content) if normalized and normalizer else token.content,
            single_word=token.single_word,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            plain=token.special and not special_tokens_in_text,
        )
        for token_id, token in sorted(added.items())
        if token.normalized == normalized
    ]
    if not wanted:
        return None
    if normalized:
        return AddedTokenSplitter(wanted, "normalized_tokens", pieces.NORMALIZED_MARK)
    return AddedTokenSplitter(wanted, "raw_tokens", pieces.RAW_MARK)


# Normalizers that may delete a text's first characters: the library then no longer counts the text as first.
_DELETING = (
    nodes.StripNormalizer,
    nodes.BertNormalizer,
    nodes.StripAccents,
    nodes.Nmt,
)


def _refuse_moved_start(file: nodes.TokenizerFile) -> None:
    """``prepend_scheme: first`` asks for the text at offset 0 of the original, which these may move."""
    first = [
        place
        for node, place in flatten_pre_tokenizer(file.pre_tokenizer, "pre_tokenizer")
        if isinstance(node, nodes.Metaspace) and node.prepend_scheme == "first"
    ]
    for node, place in flatten_normalizer(file.normalizer, "normalizer"):
        empties = isinstance(node, nodes.ReplaceNormalizer) and not node.content
        if first and (empties or isinstance(node, _DELETING)):
            raise TokenizerUnsupportedError(
                place, f"{node.type} before {first[0]} with prepend_scheme 'first'"
            )


def _kind(file: nodes.TokenizerFile) -> str:
    """Pre-tokenizer and model in words."""
    before = file.pre_tokenizer
    if isinstance(before, nodes.PreTokenizerSequence):
        before = before.pretokenizers[-1] if before.pretokenizers else None
    return f"{before.type} {file.model.type}" if before else file.model.type
