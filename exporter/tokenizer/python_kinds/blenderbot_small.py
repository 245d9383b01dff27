"""BlenderbotSmall: lower-cased words, punctuation set apart, BPE whose pieces are marked with ``@@``.

Source: ``BlenderbotSmallTokenizer`` of transformers 5.
"""

from __future__ import annotations

from typing import Any

import regex  # type: ignore[import-untyped]
import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import chars, nodes, pieces
from exporter.tokenizer.detokenizer import Chain, Decoder
from exporter.tokenizer.models.bpe import BPE
from exporter.tokenizer.python_kinds.base import (
    AddedTokenCutter,
    PythonKind,
    affixes,
    stripped,
)
from exporter.tokenizer.python_kinds.lower import Lower
from exporter.tokenizer.sources import PythonSource
from exporter.tokenizer.tables import array, on_cpu

_NAME = "BlenderbotSmallTokenizer"
_END_OF_WORD = "</w>"
_UNKNOWN = "<unknown>"  # stands for characters of no token


class _Words(tf.Module):
    """string[n] -> RaggedTensor int32 [n, (ids)]."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(name="words")
        node = _symbols(tokenizer)
        self._bpe = BPE(node, byte_level=False, path=f"{_NAME}.bpe_ranks")
        self._ids = array(_numbers(tokenizer, node))
        self._lower = Lower()
        # As the reference does: the module's \s is not that of Python's re and str.strip.
        space = chars.charset(map(ord, regex.findall(r"\s", chars.all_characters())))
        white, other = chars.re2_class(space), chars.re2_class(chars.complement(space))
        cut = pieces.CUT
        # Words take a line feed along; the quote's two spaces can swallow it again.
        self._steps = [
            (f"({other}+\n?)|{white}+", cut + b"\\1" + cut),
            (r"[.,!?()]", b" \\0"),
            ("'", b" ' "),
            (f"{white}{{2,}}", b" "),
            ("\n", b" __newln__"),
            (" ", cut),
        ]

    @on_cpu
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        for pattern, rewrite in self._steps:
            texts = tf.strings.regex_replace(texts, pattern, rewrite)
        words = pieces.split_at_cuts(pieces.from_rows(texts))
        ids = self._bpe(self._lower(words.texts))
        numbers = tf.gather(self._ids, ids.flat_values)
        splits = tf.gather(ids.row_splits, words.splits)
        return tf.RaggedTensor.from_row_splits(numbers, splits, validate=False)


def build_blenderbot_small(
    source: PythonSource, *, special_tokens_in_text: bool, clean_up: bool
) -> PythonKind:
    """BlenderbotSmall in the graph."""
    tokenizer = source.tokenizer
    special = set(tokenizer.all_special_ids)
    ids = {*tokenizer.decoder, *tokenizer.added_tokens_decoder}
    # An id without token is decoded as the unknown token; the last entry stands for all above.
    size = max(ids) + 1
    tokens = [None if i in special else tokenizer.convert_ids_to_tokens(i) for i in range(size + 1)]
    # Behind a token stands a space, and "@@ " goes; behind the last one stands none.
    within = [None if token is None else f"{token} ".replace("@@ ", "").encode() for token in tokens]
    last = [None if token is None else token.encode() for token in tokens]
    around = tokenizer.build_inputs_with_special_tokens([-1])
    middle = around.index(-1)
    return PythonKind(
        source,
        "BlenderbotSmall BPE",
        model=_Words(tokenizer),
        cutter=AddedTokenCutter(tokenizer) if special_tokens_in_text else None,
        post_processor=affixes(around[:middle], around[middle + 1 :]),
        decoder=Decoder(
            Chain(rows=[stripped], divided="the last token's @@ stays"),
            *(within, within, last, last),
            clean_up=clean_up,
            open_ended=True,
        ),
        vocab_size=size,
    )


def _symbols(tokenizer: Any) -> nodes.BPE:
    """The rules over symbols of their own: characters, and whatever the rules make of them."""
    merges = [pair for pair in sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get) if len(pair) == 2]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    first_use = {token: rank for pair, rank in reversed(ranks.items()) for token in pair}
    for (left, right), rank in ranks.items():
        if first_use.get(left + right, rank + 1) <= rank:
            # The reference merges all equal pairs of a word in one go, a queue would not.
            reason = f"{left!r} {right!r}: its result is used by an earlier rule"
            raise TokenizerUnsupportedError(f"{_NAME}.bpe_ranks", reason)
    letters = {character for token in tokenizer.get_vocab() for character in token}
    letters |= {character for pair in merges for token in pair for character in token}
    symbols = [*letters, *(letter + _END_OF_WORD for letter in sorted(letters))]
    symbols += [symbol for pair in merges for symbol in (*pair, "".join(pair))]
    vocab = {symbol: i for i, symbol in enumerate(dict.fromkeys([*symbols, _UNKNOWN]))}
    return nodes.BPE(
        type="BPE",
        vocab=vocab,
        merges=tuple(merges),
        end_of_word_suffix=_END_OF_WORD,
        unk_token=_UNKNOWN,
    )


def _numbers(tokenizer: Any, node: nodes.BPE) -> list[int]:
    """symbol -> id: within a word ``@@`` marks it, at the word's end the end mark goes."""
    numbers = []
    for symbol in sorted(node.vocab, key=node.vocab.__getitem__):
        token = symbol[: -len(_END_OF_WORD)] if symbol.endswith(_END_OF_WORD) else f"{symbol}@@"
        numbers.append(
            tokenizer.unk_token_id if symbol == _UNKNOWN else tokenizer.convert_tokens_to_ids(token)
        )
    return numbers
