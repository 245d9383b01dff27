"""Ids to text in the graph: tables of what each token amounts to, joined, then steps on whole rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer.tables import array, on_cpu, string_array
from exporter.tokenizer.utf8 import REPLACEMENT, inspect_utf8, replace_ill_formed


class Place(NamedTuple):
    """Whether a token is the first, the last of its row (special tokens left out)."""

    first: bool
    last: bool


PLACES = [Place(first=bool(i & 1), last=bool(i & 2)) for i in range(4)]


RowStep = Callable[[tf.Tensor], tf.Tensor]
"""string[rows] -> string[rows]."""

# Ill-formed parts at the end of a text, as they are written.
_BROKEN_END = "\ufffd+$"
# The reference's clean_up_tokenization, in its order.
CLEAN_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


# Ends a text that a step on rows would else take for a whole one.
_ANCHOR = b"x"


class Chain(NamedTuple):
    """What remains to be done in the graph with the tokens' texts."""

    join: str = ""  # "": side by side, " ": with spaces, "bytes": as UTF-8, "fallback": byte tokens as UTF-8
    rows: Sequence[RowStep] = ()  # on the joined rows
    divided: str = ""  # why a row's text is more than its tokens' texts side by side, "" where it is not
    replacement: bytes = REPLACEMENT  # of ill-formed parts, with "bytes"


class Decoder(tf.Module):  # type: ignore[misc]
    """RaggedTensor int32 [rows, (ids)] -> string[rows]."""

    def __init__(
        self,
        chain: Chain,
        texts: Sequence[bytes | None],
        *others: Sequence[bytes | None],
        clean_up: bool = False,
        open_ended: bool = False,
    ) -> None:
        """Takes the vocabulary's texts.

        Args:
          chain: what is done with them.
          texts: by id, what a token amounts to in mid-row; None: the id is left out.
          others: the same for tokens that are first, last, both, where that differs.
          clean_up: whether transformers' clean_up_tokenization is done at the end.
          open_ended: whether the last entry is what all ids outside the vocabulary amount to; otherwise
            they are left out.
        """
        super().__init__(name="decoder")
        self._chain = chain
        self._rows = [*chain.rows, *(replacing(old, new) for old, new in (CLEAN_UP if clean_up else ()))]
        self._divided = "clean_up_tokenization_spaces" if clean_up else chain.divided
        self._size = len(texts) - open_ended
        # The entry behind the vocabulary is that of all ids outside it.
        variants = [[*variant, *([] if open_ended else [None])] for variant in (texts, *others)]
        self._kept = array([text is not None for text in variants[0]])
        tables: list[list[bytes]] = []
        self._variants: list[int] = []  # by place: number of its table
        for variant in variants:
            table = [text or b"" for text in variant]
            if table not in tables:
                tables.append(table)
            self._variants.append(tables.index(table))
        entries = [text for table in tables for text in table]
        self._texts = string_array(entries)
        self._bytes = string_array([bytes([i]) for i in range(256)])
        self._values = array([_byte_value(text) for text in entries] if chain.join == "fallback" else [0])

    @on_cpu
    def __call__(self, ids: tf.RaggedTensor) -> tf.Tensor:
        return self._text(*self._entries(ids), ids.nrows(tf.int32))

    @on_cpu
    def settled(self, ids: tf.RaggedTensor, tail: tf.Tensor) -> tf.Tensor:
        """What a row's text begins with whatever ids follow these.

        Left out are the bytes of a character that is not whole yet, and all of a text whose end is treated
        otherwise than its middle.

        Args:
          ids: int32 [rows, (ids)].
          tail: string [rows], bytes that the row's tokens end with and that are left out too: they may
            become a stop string. They may reach back over the row's beginning.
        """
        rows = ids.nrows(tf.int32)
        if self._divided:
            return tf.fill([rows], "")
        entries, row = self._entries(ids)
        cut = tf.strings.length(tail)
        if self._chain.join == "fallback":
            # A run of byte tokens is text or not as a whole: it is known when it has ended.
            open_run = self._open_run(entries, row)
            cut -= tf.math.unsorted_segment_sum(tf.cast(open_run, tf.int32), row, rows)
            entries, row = tf.boolean_mask(entries, ~open_run), tf.boolean_mask(row, ~open_run)
        text = self._text(entries, row, rows)
        if self._chain.join == "bytes":
            # What is not whole, and U+FFFD itself, goes from both.
            text = tf.strings.regex_replace(text, _BROKEN_END, "")
            whole = tf.strings.unicode_transcode(tail, "UTF-8", "UTF-8", errors="ignore")
            cut = tf.strings.length(tf.strings.regex_replace(whole, _BROKEN_END, ""))
        length = tf.strings.length(text)
        return tf.strings.substr(text, tf.zeros_like(length), tf.maximum(length - tf.maximum(cut, 0), 0))

    def _open_run(self, entries: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """bool[tokens], which are byte tokens that no other token of their row follows."""
        is_byte = tf.gather(self._values, entries) >= 0
        place = tf.range(tf.size(entries))
        last = tf.math.unsorted_segment_max(tf.where(is_byte, -1, place), row, tf.size(entries) + 1)
        return place > tf.gather(last, row)

    def _entries(self, ids: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int32[tokens] each: entries of the tables, of ids that are not left out, and their rows."""
        known = (ids.flat_values >= 0) & (ids.flat_values < self._size)
        places = tf.where(known, ids.flat_values, self._size)
        kept = tf.cast(tf.gather(self._kept, places), tf.bool)
        entries = tf.boolean_mask(places, kept)
        row = tf.cast(tf.boolean_mask(ids.value_rowids(), kept), tf.int32)
        return entries + (self._size + 1) * self._variant(entries, row), row

    def _text(self, entries: tf.Tensor, row: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        text = self._joined(entries, row, rows)
        for step in self._rows:
            text = step(text)
        return text

    def token_bytes(self, size: int, *, first: bool = False) -> list[bytes]:
        """What each of the first ``size`` ids adds to a row's text, anywhere but at its beginning.

        A row's text is these bytes side by side (ill-formed UTF-8 replaced), but for the first token, which
        may lose its leading space: ``first`` asks for what it adds there, whatever follows. Ids that are left
        out add nothing.

        Raises:
          TokenizerUnsupportedError: rows are not divided so; the message says what is in the way.
        """
        if self._divided:
            raise TokenizerUnsupportedError(
                "decoder", f"a row's text is not its tokens side by side: {self._divided}"
            )
        # Without variants by place there is one table.
        begin = self._variants[1 if first and len(self._variants) > 1 else 0] * (self._size + 1)
        texts = self._texts[begin : begin + self._size + 1].numpy().tolist()
        if self._chain.join == "fallback":
            values = self._values[begin : begin + self._size + 1].numpy().tolist()
            texts = [text if value < 0 else bytes([value]) for text, value in zip(texts, values, strict=True)]
        separator = b" " if self._chain.join == " " and not first else b""
        kept = self._kept.numpy().tolist()
        if first:
            texts = self._begun(texts)
        pieces = [separator + text if keep else b"" for text, keep in zip(texts, kept, strict=True)]
        return (pieces[:-1] + pieces[-1:] * size)[:size]

    def _begun(self, texts: list[bytes]) -> list[bytes]:
        """What the steps on whole rows leave of texts that others follow: all but a space at most."""
        probe = b"  " + _ANCHOR + b" "
        *rows, probed = self._stepped([*(text + _ANCHOR for text in texts), probe])
        # A first token that is nothing already would leave the space of the one behind it to be taken.
        strips, by_place = probed != probe, any(self._variants)
        if probed not in (probe, probe[1:]) or (strips and by_place):
            raise TokenizerUnsupportedError(
                "decoder", "a row's text is not its tokens side by side: more than one space is taken away"
            )
        return [row.removesuffix(_ANCHOR) for row in rows]

    def _stepped(self, texts: list[bytes]) -> list[bytes]:
        rows = tf.constant(texts, tf.string)
        for step in self._rows:
            rows = step(rows)
        return rows.numpy().tolist()

    def _variant(self, entries: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """int32[tokens], the table that each token's place asks for."""
        if not any(self._variants):
            return tf.zeros_like(row)
        first = self._begins(entries, row)
        last = tf.concat([tf.not_equal(row[1:], row[:-1]), tf.ones_like(row[:1], tf.bool)], 0)
        variant = tf.zeros_like(row)
        for place, table in zip(PLACES, self._variants, strict=True):
            here = tf.equal(first, place.first) & tf.equal(last, place.last)
            variant += tf.where(here, table, 0)
        return variant

    def _begins(self, entries: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """bool[tokens], which are first."""
        del entries
        return tf.concat([tf.ones_like(row[:1], tf.bool), tf.not_equal(row[1:], row[:-1])], 0)

    def _joined(self, entries: tf.Tensor, row: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        pieces = tf.gather(self._texts, entries)
        join = self._chain.join
        if join == "fallback":
            pieces = self._fall_back(pieces, tf.gather(self._values, entries), row)
        text = tf.strings.unsorted_segment_join(pieces, row, rows, separator=" " if join == " " else "")
        return replace_ill_formed(text, self._bytes, self._chain.replacement) if join == "bytes" else text

    def _fall_back(self, pieces: tf.Tensor, values: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """A run of byte tokens becomes its text, or U+FFFD for each of them where that is ill-formed."""
        is_byte = values >= 0
        goes_on = is_byte[1:] & is_byte[:-1] & tf.equal(row[1:], row[:-1])
        run = tf.cumsum(tf.cast(tf.concat([tf.ones_like(is_byte[:1]), ~goes_on], 0), tf.int32)) - 1
        # A line feed between runs keeps them apart: token i of run r stands at i + r.
        stream = tf.scatter_nd(
            (tf.range(tf.size(run)) + run)[:, None],
            tf.where(is_byte, values, 0x0A),
            [tf.size(run) + tf.reduce_max(tf.concat([run, [0]], 0)) + 1],
        )
        valid = tf.gather(inspect_utf8(stream).valid, tf.range(tf.size(run)) + run)
        broken = tf.math.unsorted_segment_max(tf.cast(~valid, tf.int32), run, tf.size(run)) > 0
        byte = tf.gather(self._bytes, tf.maximum(values, 0))
        text = tf.where(tf.gather(broken, run), tf.constant(REPLACEMENT, tf.string), byte)
        return tf.where(is_byte, text, pieces)


def replacing(old: str, new: str) -> RowStep:
    pattern, rewrite = quote(old), new.replace("\\", "\\\\")
    return lambda text: tf.strings.regex_replace(text, pattern, rewrite)


def quote(text: str) -> str:
    """A regular expression for RE2 that matches ``text`` alone; no class or case rule is involved."""
    return re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII) if text.isascii() else _quote_wide(text)


def _quote_wide(text: str) -> str:
    return "".join(quote(character) if character.isascii() else character for character in text)


def _byte_value(token: bytes) -> int:
    """The byte that a token like ``<0x0A>`` stands for, else -1; Rust's number parser takes a plus sign."""
    match = re.fullmatch(rb"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>", token)
    return int(match[1], 16) if match else -1
