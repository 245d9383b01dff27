"""Added tokens: cut out of the text before the model sees it, as the library does.

The library looks for the longest token at the leftmost place; twice: for ``normalized=false`` tokens in the
raw text, then, in what is left, for the normalized form of the others in the normalized text. A token that
must be a single word but is not, and a special token where special tokens count as plain text, is passed
over: what it covers stays text, and no other token is found inside it. ``lstrip`` and ``rstrip`` take away
the white space beside a token.

Texts that are parts of a template's and parts of people's (``TokenizerGraph.encode_parts``) have *guarded*
tokens: these are found in a template's parts alone (``mark``), and what looks like one elsewhere is passed
over. All else is as in one text, the borders of the parts included.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    """One pass. Pieces -> Pieces in which the tokens found are pieces of their own, as token codes.

    Attributes:
      idle: whether no token counts in ordinary texts.
    """

    def __init__(self, wanted: Sequence[Wanted], name: str, mark: bytes) -> None:
        """``mark`` stands around codes that this pass is to find; see ``mark``."""
        super().__init__(name=name)
        self._wanted = tuple(wanted)
        self._mark = mark
        self.idle = all(token.plain for token in wanted)
        longest_first = sorted(wanted, key=lambda token: -len(token.text.encode()))
        self._pattern = "|".join(regex.translate_literal(token.text) for token in longest_first)
        texts = {token.text.encode(): index for index, token in enumerate(wanted)}
        codes = [pieces.token_code(token.id) for token in wanted]
        # A code counts from len(wanted) on: the same token, found before.
        self._index = tables.WordTable(
            f"{name}_index", texts | {code: len(wanted) + index for index, code in enumerate(codes)}
        )
        self._codes = tables.string_array(codes)
        self._texts = tables.string_array([token.text.encode() for token in wanted])

    def __call__(self, source: Pieces, guarded: Collection[int] | None = None) -> Pieces:
        """``guarded``: ids of tokens that count only where ``mark`` has found them; None: ordinary texts."""
        texts = source.texts if guarded is None else pieces.cut_at(source.texts, self._mark)
        # Each piece of the source is a sentence of its own: nothing looks or reaches into the next one.
        found = self._found(self._cut(texts), guarded)
        return Pieces(found.texts, tf.gather(found.splits, source.splits))

    def mark(self, texts: tf.Tensor, guarded: Collection[int]) -> tf.Tensor:
        """string [n]: the guarded tokens in these texts have become codes between two marks."""
        found = self._cut(texts)
        index = self._index(found.texts)
        chosen = self._values([token.id in guarded for token in self._wanted], index)
        codes = tf.gather(self._codes, tf.maximum(index, 0))
        marked = tf.where(chosen, tf.strings.join([self._mark, codes, self._mark]), found.texts)
        rows = tf.searchsorted(found.splits, tf.range(tf.size(marked, tf.int64)), side="right") - 1
        return pieces.joined(marked, rows, tf.size(texts, tf.int64))

    def _cut(self, texts: tf.Tensor) -> Pieces:
        """string [rows] -> rows cut around every token's text."""
        cut = tf.strings.regex_replace(texts, self._pattern, pieces.CUT + b"\\0" + pieces.CUT)
        return pieces.split_at_cuts(pieces.from_rows(cut))

    def _found(self, found: Pieces, guarded: Collection[int] | None) -> Pieces:
        """Rows cut around every token's text -> the same, with codes for the tokens that count."""
        index = self._index(found.texts)
        plain = self._flags("plain", index)
        if guarded is not None:
            before = index >= len(self._wanted)
            index = tf.where(before, index - len(self._wanted), index)
            # Its text again, which a single word beside it looks at.
            found = found.with_texts(
                tf.where(before, tf.gather(self._texts, tf.maximum(index, 0)), found.texts)
            )
            plain = self._values([token.id in guarded for token in self._wanted], index) & ~before
        if guarded is not None or any(token.plain or token.single_word for token in self._wanted):
            found, index = self._pass_over(found, index, plain)
        codes = tf.gather(self._codes, tf.maximum(index, 0))
        if not any(token.lstrip or token.rstrip for token in self._wanted):
            return found.with_texts(tf.where(index >= 0, codes, found.texts))
        texts = self._strip_neighbours(found, index)
        # Stripping may have left an empty piece.
        return pieces.split_at_cuts(found.with_texts(tf.where(index >= 0, codes, texts)))

    def _pass_over(self, found: Pieces, index: tf.Tensor, plain: tf.Tensor) -> tuple[Pieces, tf.Tensor]:
        """Joins the tokens that do not count with the text around them."""
        passed = plain | (self._flags("single_word", index) & ~self._is_single_word(found))
        index = tf.where(passed, -1, index)
        is_token = index >= 0
        row_starts = pieces.begins_row(found)
        starts = row_starts | is_token | _shift(is_token, 1, False)
        groups = tf.cumsum(tf.cast(starts, tf.int64)) - 1
        count = tf.reduce_sum(tf.cast(starts, tf.int64))
        joined = pieces.joined(found.texts, groups, count)
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
        return self._values([getattr(token, field) for token in self._wanted], index)

    def _values(self, of_tokens: Sequence[bool], index: tf.Tensor) -> tf.Tensor:
        """bool [pieces]: a token's value, False for text."""
        values = tf.constant([False, *of_tokens])
        return tf.gather(values, tf.minimum(index, len(self._wanted) - 1) + 1)


def _shift(flags: tf.Tensor, by: int, fill: bool) -> tf.Tensor:
    """bool [n]: position i holds ``flags[i - by]``, for by = 1 or -1."""
    edge = tf.fill([tf.minimum(tf.size(flags), 1)], fill)
    return tf.concat([edge, flags[:-1]], 0) if by == 1 else tf.concat([flags[1:], edge], 0)
