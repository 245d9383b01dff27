"""Marian and M2M100: SentencePiece models whose pieces are numbered by a vocab.json.

Source: ``MarianTokenizer`` and ``M2M100Tokenizer`` of transformers 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import pieces
from exporter.tokenizer.codepoints import last_place, shifted
from exporter.tokenizer.detokenizer import Chain, Decoder
from exporter.tokenizer.python_kinds.base import AddedTokenCutter, PythonKind, affixes, stripped
from exporter.tokenizer.python_kinds.sentencepiece import SentencePieces
from exporter.tokenizer.sources import PythonSource
from exporter.tokenizer.tables import WordTable, array, on_cpu

_LANGUAGE_CODE = r"^(>>(?s:.*?)<<)"
_ANCHOR = "▁x"  # need not be a piece: an unknown one is copied
_CODE = b"\xfd"  # in no UTF-8 text: begins a piece that is a language code


class _NumberedPieces(tf.Module):
    """string[n] -> RaggedTensor int32 [n, (ids)]."""

    def __init__(self, model: Path, vocab: Mapping[str, int], unk: int, language_codes: bool) -> None:
        super().__init__(name="numbered_pieces")
        self._pieces = SentencePieces(model)
        self._ids = WordTable("pieces", {token.encode(): i for token, i in vocab.items()})
        self._unk = unk
        self._language_codes = language_codes

    @on_cpu
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        if not self._language_codes:
            return self._numbered(self._pieces(texts))
        marked = tf.strings.regex_replace(texts, _LANGUAGE_CODE, _CODE + b"\\1" + pieces.CUT)
        found = pieces.split_at_cuts(pieces.from_rows(texts).with_texts(marked))
        is_code = tf.equal(tf.strings.substr(found.texts, 0, 1), _CODE)
        words = tf.where(is_code, tf.strings.substr(found.texts, 1, -1), found.texts)
        codes = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(words, is_code), tf.cast(is_code, tf.int64), validate=False
        )
        ids = self._numbered(tf.concat([codes, self._pieces(tf.where(is_code, "", words))], 1))
        splits = tf.gather(ids.row_splits, found.splits)
        return tf.RaggedTensor.from_row_splits(ids.flat_values, splits, validate=False)

    def _numbered(self, found: tf.RaggedTensor) -> tf.RaggedTensor:
        ids = self._ids(found.flat_values)
        return found.with_flat_values(tf.where(ids < 0, self._unk, ids))


def build_marian(source: PythonSource, *, special_tokens_in_text: bool, clean_up: bool) -> PythonKind:
    """Marian: the source language's model encodes; ``>>fr<<`` at a text's beginning is one token."""
    tokenizer = source.tokenizer
    spm = tokenizer.spm_target if tokenizer.separate_vocabs else tokenizer.spm_source
    # An id that vocab.json lacks is read as a number of the SentencePiece model.
    known = {i: spm.id_to_piece(i) for i in range(spm.vocab_size())} | tokenizer.decoder
    texts = _texts(tokenizer, known, lambda part: spm.decode_pieces(part).replace("▁", " "))
    return PythonKind(
        source,
        "Marian SentencePiece",
        model=_NumberedPieces(
            Path(tokenizer.spm_files[0]), tokenizer.encoder, tokenizer.unk_token_id, language_codes=True
        ),
        cutter=AddedTokenCutter(tokenizer) if special_tokens_in_text else None,
        post_processor=affixes([], [tokenizer.eos_token_id]),
        decoder=Decoder(Chain(rows=[stripped]), texts, clean_up=clean_up),
        vocab_size=len(texts),
    )


def build_m2m100(source: PythonSource, *, special_tokens_in_text: bool, clean_up: bool) -> PythonKind:
    """M2M100: the source language's token before a text, the end token behind it."""
    tokenizer = source.tokenizer
    decoder = _M2M100Decoder(tokenizer, clean_up)
    return PythonKind(
        source,
        "M2M100 SentencePiece",
        model=_NumberedPieces(
            Path(tokenizer.spm_file),
            tokenizer.encoder | tokenizer.lang_token_to_id,
            tokenizer.encoder[tokenizer.unk_token],
            language_codes=False,
        ),
        cutter=AddedTokenCutter(tokenizer) if special_tokens_in_text else None,
        post_processor=affixes(tokenizer.prefix_tokens, tokenizer.suffix_tokens),
        decoder=decoder,
        vocab_size=decoder.vocab_size,
    )


class _M2M100Decoder(Decoder):
    """An id without token is written as the unknown token, and parts the pieces around it.

    Published models have such ids: they pad their vocabulary. SentencePiece takes a leading space away from
    what follows as it does from a text, as long as nothing but white space has followed.
    """

    def __init__(self, tokenizer: Any, clean_up: bool) -> None:
        known = tokenizer.decoder | tokenizer.id_to_lang_token
        decode = tokenizer.sp_model.decode
        later = _texts(tokenizer, known, decode)
        self.vocab_size = len(later)
        unknown = [i for i in range(self.vocab_size) if i not in {*known, *tokenizer.added_tokens_decoder}]
        first, stays = list(later), []
        for i, text in enumerate(later):
            token = "" if text is None else tokenizer.convert_ids_to_tokens(i)
            first[i] = None if text is None else decode([token]).encode()
            stays.append(first[i] == b"" and decode([token, _ANCHOR]) == decode([_ANCHOR]))
        for texts in (later, first):
            texts.append(tokenizer.unk_token.encode())
            for i in unknown:
                texts[i] = texts[-1]
        parts = np.isin(np.arange(self.vocab_size + 1), [*unknown, self.vocab_size])
        super().__init__(
            Chain(rows=[stripped]), later, first, later, first, clean_up=clean_up, open_ended=True
        )
        self._parts = array(parts, np.bool_)
        self._stays = array([*stays, False], np.bool_)

    def _begins(self, entries: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        last = shifted(last_place(~tf.gather(self._stays, entries)), -1)  # before each token, that is text
        place = tf.maximum(last, 0)
        return (
            (last < 0)
            | tf.not_equal(tf.gather(row, place), row)
            | tf.gather(self._parts, tf.gather(entries, place))
        )


def _texts(
    tokenizer: Any, known: Mapping[int, str], decode: Callable[[list[str]], str]
) -> list[bytes | None]:
    """id -> what the token adds to a text that has begun; None for special tokens.

    Ids outside ``known`` are left out. At a text's beginning the library takes one leading space away, and
    ``strip`` takes all of them.
    """
    special = set(tokenizer.all_special_ids)
    ids = {*known, *tokenizer.added_tokens_decoder}
    texts: list[bytes | None] = [None] * (max(ids) + 1)
    begun = decode([_ANCHOR])
    name = type(tokenizer).__name__
    for i in ids - special:
        token = tokenizer.convert_ids_to_tokens(i)
        if token in tokenizer.all_special_tokens:
            raise TokenizerUnsupportedError(f"{name}.decode", f"{token!r} has another id, {i}, when decoding")
        text = decode([_ANCHOR, token])
        if not text.startswith(begun):
            reason = f"token {i} changes the text before it"
            raise TokenizerUnsupportedError(f"{name}.decode", reason)
        texts[i] = text[len(begun) :].encode()
    return texts
