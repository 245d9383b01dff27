"""Decoders: ids back to text.

What a decoder does to a token alone is done at export, for the whole vocabulary; the tables hold the
results, by the token's place in its row where that matters. What depends on neighbours (byte tokens that
form characters, whole rows) is left to the graph.

Source: ``decoders`` of the ``tokenizers`` library, 0.23; ``decode`` of transformers' fast tokenizers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.models.tables import byte_level_bytes, int_variable, on_cpu, string_variable
from exporter.tokenizer.utf8 import REPLACEMENT, inspect_utf8, replace_ill_formed


class Place(NamedTuple):
    """Whether a token is the first, the last of its row (special tokens left out)."""

    first: bool
    last: bool


_PLACES = [Place(first=bool(i & 1), last=bool(i & 2)) for i in range(4)]


class Local(NamedTuple):
    """What a decoder makes of one token."""

    apply: Callable[[str, Place], str]
    by_place: bool = True  # whether the token's place matters


RowStep = Callable[[tf.Tensor], tf.Tensor]
"""string[rows] -> string[rows]."""

# The reference's clean_up_tokenization, in its order.
_CLEAN_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip
# The WordPiece decoder's own list has one entry more.
_WORDPIECE_CLEAN_UP = (*_CLEAN_UP[:7], (" do not", " don't"), *_CLEAN_UP[7:])


class Chain(NamedTuple):
    """What remains to be done in the graph with the tokens' texts."""

    join: str = ""  # "": side by side, " ": with spaces, "bytes": as UTF-8, "fallback": byte tokens as UTF-8
    rows: Sequence[RowStep] = ()  # on the joined rows
    divided: str = ""  # why a row's text is more than its tokens' texts side by side, "" where it is not
    replacement: bytes = REPLACEMENT  # of ill-formed parts, with "bytes"


def token_strings(tokenizer: tokenizers.Tokenizer) -> list[str | None]:
    """id -> the token that the reference decodes it to, None for an id that it leaves out."""
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    return [tokenizer.id_to_token(i) for i in range(size)]


def special_strings(tokenizer: tokenizers.Tokenizer) -> set[str]:
    """The tokens that ``skip_special_tokens`` leaves out; the reference compares strings, not ids."""
    return {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}


class Decoder(tf.Module):  # type: ignore[misc]
    """RaggedTensor int32 [rows, (ids)] -> string[rows]; ids outside the vocabulary are left out."""

    def __init__(
        self,
        chain: Chain,
        texts: Sequence[bytes | None],
        *others: Sequence[bytes | None],
        clean_up: bool = False,
    ) -> None:
        """Takes the vocabulary's texts.

        Args:
          chain: what is done with them.
          texts: by id, what a token amounts to in mid-row; None: the id is left out.
          others: the same for tokens that are first, last, both, where that differs.
          clean_up: whether transformers' clean_up_tokenization is done at the end.
        """
        super().__init__(name="decoder")
        self._chain = chain
        self._rows = [*chain.rows, *(_replacing(old, new) for old, new in (_CLEAN_UP if clean_up else ()))]
        self._divided = "clean_up_tokenization_spaces" if clean_up else chain.divided
        self._size = len(texts)
        # One entry more, never kept, for all ids outside the vocabulary.
        self._kept = int_variable([*(text is not None for text in texts), False])
        tables: list[list[bytes]] = []
        self._variants: list[int] = []  # by place: number of its table
        for variant in (texts, *others):
            table = [*(text or b"" for text in variant), b""]
            if table not in tables:
                tables.append(table)
            self._variants.append(tables.index(table))
        entries = [text for table in tables for text in table]
        self._texts = string_variable(entries)
        self._bytes = string_variable([bytes([i]) for i in range(256)])
        self._values = int_variable(
            [_byte_value(text) for text in entries] if chain.join == "fallback" else [0]
        )

    @on_cpu
    def __call__(self, ids: tf.RaggedTensor) -> tf.Tensor:
        rows = ids.nrows(tf.int32)
        known = (ids.flat_values >= 0) & (ids.flat_values < self._size)
        places = tf.where(known, ids.flat_values, self._size)
        kept = tf.cast(tf.gather(self._kept, places), tf.bool)
        entries = tf.boolean_mask(places, kept)
        row = tf.cast(tf.boolean_mask(ids.value_rowids(), kept), tf.int32)
        entries += (self._size + 1) * self._variant(row)
        text = self._joined(entries, row, rows)
        for step in self._rows:
            text = step(text)
        return text

    def token_bytes(self, size: int) -> list[bytes]:
        """What each of the first ``size`` ids adds to a row's text, anywhere but at its beginning.

        A row's text is these bytes side by side (ill-formed UTF-8 replaced), but for the first token, which
        may lose its leading space. Ids that are left out add nothing.

        Raises:
          TokenizerUnsupportedError: rows are not divided so; the message says what is in the way.
        """
        if self._divided:
            raise TokenizerUnsupportedError(
                "decoder", f"a row's text is not its tokens side by side: {self._divided}"
            )
        begin = self._variants[0] * (self._size + 1)
        texts = self._texts[begin : begin + self._size].numpy().tolist()
        if self._chain.join == "fallback":
            values = self._values[begin : begin + self._size].numpy().tolist()
            texts = [text if value < 0 else bytes([value]) for text, value in zip(texts, values, strict=True)]
        separator = b" " if self._chain.join == " " else b""
        kept = self._kept[: self._size].numpy().tolist()
        pieces = [separator + text if keep else b"" for text, keep in zip(texts, kept, strict=True)]
        return (pieces + [b""] * size)[:size]

    def _variant(self, row: tf.Tensor) -> tf.Tensor:
        """int32[tokens], the table that each token's place asks for."""
        if not any(self._variants):
            return tf.zeros_like(row)
        change = tf.not_equal(row[1:], row[:-1])
        first = tf.concat([tf.ones_like(row[:1], tf.bool), change], 0)
        last = tf.concat([change, tf.ones_like(row[:1], tf.bool)], 0)
        variant = tf.zeros_like(row)
        for place, table in zip(_PLACES, self._variants, strict=True):
            here = tf.equal(first, place.first) & tf.equal(last, place.last)
            variant += tf.where(here, table, 0)
        return variant

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


def build_decoder(
    node: nodes.Decoder | None,
    tokens: Sequence[str | None],
    special: Collection[str] = (),
    *,
    skip_special_tokens: bool = True,
    clean_up_tokenization_spaces: bool = False,
    path: str = "decoder",
) -> Decoder:
    """The module that decodes.

    Args:
      node: the decoder; None joins tokens with spaces.
      tokens: id -> token, as ``token_strings`` gives them.
      special: tokens that ``skip_special_tokens`` leaves out.
      clean_up_tokenization_spaces: the clean-up is done. (transformers ignores the wish where the model
        is BPE, unless ``clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output`` is set:
        the caller decides.)
      path: the node's place in tokenizer.json, for errors.

    Raises:
      TokenizerUnsupportedError: CTC, or an order of decoders that has no exact translation.
    """
    local, chain = _compile(list(_flatten(node, path)))
    by_place = any(step.by_place for step in local)
    left_out = special if skip_special_tokens else ()
    to_bytes = _byte_level if chain.join == "bytes" else str.encode
    tables = [
        [
            None if token is None or token in left_out else to_bytes(_apply(local, token, place))
            for token in tokens
        ]
        for place in (_PLACES if by_place else _PLACES[:1])
    ]
    return Decoder(chain, *tables, clean_up=clean_up_tokenization_spaces)


def _flatten(node: nodes.Decoder | None, path: str) -> Iterator[tuple[nodes.Decoder | None, str]]:
    if isinstance(node, nodes.DecoderSequence):
        for i, decoder in enumerate(node.decoders):
            yield from _flatten(decoder, f"{path}.decoders[{i}]")
    else:
        yield node, path


def _compile(decoders: list[tuple[nodes.Decoder | None, str]]) -> tuple[list[Local], Chain]:
    """Divides a sequence of decoders into what is done by token, the joining, and what is done by row."""
    local: list[Local] = []
    rows: list[RowStep] = []
    join: str | None = None
    divided = ""
    fused = False
    for node, path in decoders:
        if node is None:
            join = " "
        elif fused:
            rows.append(_row_step(node, path))
            if isinstance(node, nodes.ReplaceDecoder) or (isinstance(node, nodes.StripDecoder) and node.stop):
                divided = f"{path}: {node.type} on joined text"
        elif isinstance(node, nodes.ByteLevelDecoder | nodes.Fuse):
            join = "bytes" if isinstance(node, nodes.ByteLevelDecoder) else join or ""
            fused = True
        elif join == "fallback":
            raise TokenizerUnsupportedError(path, f"{node.type} between ByteFallback and Fuse")
        elif isinstance(node, nodes.ByteFallback):
            join = "fallback"
        else:
            local.append(_local(node, path))
            if isinstance(node, nodes.BPEDecoder):
                divided = f"{path}: BPEDecoder treats the last token otherwise"
    return local, Chain(join or "", rows, divided)


def _apply(steps: Sequence[Local], token: str, place: Place) -> str:
    for step in steps:
        token = step.apply(token, place)
    return token


def _local(node: nodes.Decoder, path: str) -> Local:
    """What the decoder makes of one token."""
    if isinstance(node, nodes.ReplaceDecoder):
        regex = node.pattern.regex
        pattern = (node.pattern.string or "") if regex is None else tokenizers.Regex(regex)
        replace = tokenizers.decoders.Replace(pattern, node.content)
        return Local(lambda token, place: replace.decode([token]), by_place=False)
    if isinstance(node, nodes.StripDecoder):
        return Local(lambda token, place: _strip(token, node), by_place=False)
    if isinstance(node, nodes.Metaspace):
        drops_first = node.prepend_scheme != "never"
        return Local(
            lambda token, place: token.replace(node.replacement, "" if place.first and drops_first else " ")
        )
    if isinstance(node, nodes.WordPieceDecoder):
        return Local(lambda token, place: _wordpiece(token, place, node))
    if isinstance(node, nodes.BPEDecoder):
        return Local(lambda token, place: token.replace(node.suffix, "" if place.last else " "))
    raise TokenizerUnsupportedError(path, f"{node.type} cannot be reproduced exactly")


def _strip(token: str, node: nodes.StripDecoder) -> str:
    """Up to ``start`` and ``stop`` characters equal to ``content`` are cut off at the two ends."""
    start = len(token) - len(token.lstrip(node.content))
    stop = len(token) - len(token.rstrip(node.content))
    start, stop = min(start, node.start), min(stop, node.stop)
    return token[start : max(len(token) - stop, start)]


def _wordpiece(token: str, place: Place, node: nodes.WordPieceDecoder) -> str:
    if not place.first:
        token = token.removeprefix(node.prefix) if token.startswith(node.prefix) else f" {token}"
    if node.cleanup:
        for old, new in _WORDPIECE_CLEAN_UP:
            token = token.replace(old, new)
    return token


def _row_step(node: nodes.Decoder, path: str) -> RowStep:
    """What the decoder makes of a row that is already one string."""
    if isinstance(node, nodes.Fuse):
        return lambda text: text
    if isinstance(node, nodes.StripDecoder):
        return _stripping(node)
    if isinstance(node, nodes.ReplaceDecoder) and node.pattern.string:
        return _replacing(node.pattern.string, node.content)
    raise TokenizerUnsupportedError(path, f"{node.type} on text that is already joined")


def _replacing(old: str, new: str) -> RowStep:
    pattern, rewrite = _quote(old), new.replace("\\", "\\\\")
    return lambda text: tf.strings.regex_replace(text, pattern, rewrite)


def _stripping(node: nodes.StripDecoder) -> RowStep:
    unit = f"(?:{_quote(node.content)})"

    def strip(text: tf.Tensor) -> tf.Tensor:
        # One at a time: RE2 repeats a group at most a thousand times, and the counts are small.
        for pattern, count in ((f"^{unit}", node.start), (f"{unit}$", node.stop)):
            for _ in range(count):
                text = tf.strings.regex_replace(text, pattern, "", replace_global=False)
        return text

    return strip


def _quote(text: str) -> str:
    """A regular expression for RE2 that matches ``text`` alone; no class or case rule is involved."""
    return re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII) if text.isascii() else _quote_wide(text)


def _quote_wide(text: str) -> str:
    return "".join(_quote(character) if character.isascii() else character for character in text)


def _byte_level(token: str) -> bytes:
    known = byte_level_bytes(token)
    return token.encode() if known is None else known


def _byte_value(token: bytes) -> int:
    """The byte that a token like ``<0x0A>`` stands for, else -1; Rust's number parser takes a plus sign."""
    match = re.fullmatch(rb"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>", token)
    return int(match[1], 16) if match else -1
