"""Added tokens: cut out of the text before the model sees it, as the library does.

The library looks for the longest token at the leftmost place; twice: for ``normalized=false`` tokens in the
raw text, then, in what is left, for the normalized form of the others in the normalized text. A token that
must be a single word but is not, and a special token where special tokens count as plain text, is passed
over: what it covers stays text, and no other token is found inside it. ``lstrip`` and ``rstrip`` take away
the white space beside a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from exporter.tokenizer import chars, pieces, regex, tables
from exporter.tokenizer.pieces import Pieces


@dataclass(frozen=True)
class Wanted:
    """One token of a pass: ``text`` is what to look for; ``plain`` means found, but left as text."""

    id: int
    text: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    plain: bool


class AddedTokenSplitter(tf.Module):
    """One pass. Pieces -> Pieces in which the tokens found are pieces of their own, as token codes."""

    def __init__(self, wanted: Sequence[Wanted], name: str) -> None:
        super().__init__(name=name)
        self._wanted = tuple(wanted)
        longest_first = sorted(wanted, key=lambda token: -len(token.text.encode()))
        self._pattern = "|".join(regex.translate_literal(token.text) for token in longest_first)
        self._index = tables.WordTable(
            f"{name}_index", {token.text.encode(): index for index, token in enumerate(wanted)}
        )
        self._codes = tables.string_array([pieces.token_code(token.id) for token in wanted])

    def __call__(self, source: Pieces) -> Pieces:
        # Each piece of the source is a sentence of its own: nothing looks or reaches into the next one.
        cut = tf.strings.regex_replace(source.texts, self._pattern, pieces.CUT + b"\\0" + pieces.CUT)
        found = self._found(pieces.split_at_cuts(pieces.from_rows(cut)))
        return Pieces(found.texts, tf.gather(found.splits, source.splits))

    def _found(self, found: Pieces) -> Pieces:
        """Rows cut around every token's text -> the same, with codes for the tokens that count."""
        index = self._index(found.texts)
        if any(token.plain or token.single_word for token in self._wanted):
            found, index = self._pass_over(found, index)
        codes = tf.gather(self._codes, tf.maximum(index, 0))
        if not any(token.lstrip or token.rstrip for token in self._wanted):
            return found.with_texts(tf.where(index >= 0, codes, found.texts))
        texts = self._strip_neighbours(found, index)
        # Stripping may have left an empty piece.
        return pieces.split_at_cuts(found.with_texts(tf.where(index >= 0, codes, texts)))

    def _pass_over(self, found: Pieces, index: tf.Tensor) -> tuple[Pieces, tf.Tensor]:
        """Joins the tokens that do not count with the text around them."""
        passed = self._flags("plain", index) | (
            self._flags("single_word", index) & ~self._is_single_word(found)
        )
        index = tf.where(passed, -1, index)
        is_token = index >= 0
        row_starts = pieces.begins_row(found)
        starts = row_starts | is_token | _shift(is_token, 1, False)
        groups = tf.cumsum(tf.cast(starts, tf.int64)) - 1
        count = tf.reduce_sum(tf.cast(starts, tf.int64))
        joined = tf.strings.unsorted_segment_join(found.texts, groups, count)
        splits = tf.concat([[0], tf.cumsum(tf.cast(starts, tf.int64))], 0)
        return Pieces(joined, tf.gather(splits, found.splits)), tf.math.segment_max(index, groups)

    def _is_single_word(self, found: Pieces) -> tf.Tensor:
        """bool [pieces]: whether no word character touches the piece in its row."""
        word = chars.re2_class(chars.word_characters())
        ends = tf.strings.regex_full_match(found.texts, f"(?s:.*){word}")
        begins = tf.strings.regex_full_match(found.texts, f"{word}(?s:.*)")
        before = _shift(ends, 1, False) & ~pieces.begins_row(found)
        after = _shift(begins, -1, False) & ~pieces.ends_row(found)
        return ~(before | after)

    def _strip_neighbours(self, found: Pieces, index: tf.Tensor) -> tf.Tensor:
        """Takes white space off the texts beside tokens that ask for it."""
        white = chars.re2_class(chars.removed_by("Whitespace"))
        texts, is_text = found.texts, index < 0
        if any(token.lstrip for token in self._wanted):
            follows = _shift(self._flags("lstrip", index), -1, False) & ~pieces.ends_row(found)
            texts = tf.where(follows & is_text, tf.strings.regex_replace(texts, f"{white}+$", b""), texts)
        if any(token.rstrip for token in self._wanted):
            precedes = _shift(self._flags("rstrip", index), 1, False) & ~pieces.begins_row(found)
            texts = tf.where(precedes & is_text, tf.strings.regex_replace(texts, f"^{white}+", b""), texts)
        return texts

    def _flags(self, field: str, index: tf.Tensor) -> tf.Tensor:
        """bool [pieces]: a token's field, False for text."""
        values = tf.constant([False, *(getattr(token, field) for token in self._wanted)])
        return tf.gather(values, index + 1)


def _shift(flags: tf.Tensor, by: int, fill: bool) -> tf.Tensor:
    """bool [n]: position i holds ``flags[i - by]``, for by = 1 or -1."""
    edge = tf.fill([tf.minimum(tf.size(flags), 1)], fill)
    return tf.concat([edge, flags[:-1]], 0) if by == 1 else tf.concat([flags[1:], edge], 0)
