"""The initial symbols of a BPE word: its bytes, or its characters with what stands in for unknown ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import END, END_CODE_POINT, byte_alphabet, code_points, flat_bytes, is_lead
from exporter.tokenizer.tables import CharTable, array

_UNKNOWN = -1


class Symbols(Protocol):
    """string[n] -> int32[symbols]: the words' initial symbols, each word closed by the end symbol."""

    def __call__(self, words: tf.Tensor) -> tf.Tensor: ...


class _Affixes:
    """Which vocabulary entry a unit (byte or character) has by its place in the word.

    The reference looks up prefix + unit for every unit but the first, and unit + suffix for the last.
    """

    def __init__(self, node: nodes.BPE) -> None:
        self._vocab = node.vocab
        self._prefix = node.continuing_subword_prefix or ""
        self._suffix = node.end_of_word_suffix or ""

    def variants(self, units: Iterable[str]) -> list[dict[str, int]]:
        """unit -> id, one for all places, or one for each (0 first, 1 later) + 2 * (0 not last, 1 last)."""
        units = list(units)
        if not self._prefix and not self._suffix:
            return [self._lookup(units, "", "")]
        places = [("", ""), (self._prefix, ""), ("", self._suffix), (self._prefix, self._suffix)]
        return [self._lookup(units, prefix, suffix) for prefix, suffix in places]

    def _lookup(self, units: list[str], prefix: str, suffix: str) -> dict[str, int]:
        ids = ((unit, self._vocab.get(prefix + unit + suffix)) for unit in units)
        return {unit: number for unit, number in ids if number is not None}


def _place(ends: tf.Tensor) -> tf.Tensor:
    """int32[units], the variant's number of each unit; ``ends`` bool[units] marks the words' ends."""
    not_first = ~tf.concat([tf.ones_like(ends[:1]), ends[:-1]], 0)
    last = tf.concat([ends[1:], tf.ones_like(ends[:1])], 0)
    return tf.cast(not_first, tf.int32) + 2 * tf.cast(last, tf.int32)


def _resolve_unknown(ids: tf.Tensor, unk: int | None, fuse: bool) -> tf.Tensor:
    """Replaces unknown symbols: dropped without an unk token, one per run with ``fuse``, else each one."""
    unknown = tf.equal(ids, _UNKNOWN)
    if unk is None:
        return tf.boolean_mask(ids, ~unknown)
    ids = tf.where(unknown, unk, ids)
    if not fuse:
        return ids
    repeated = unknown & tf.concat([tf.zeros_like(unknown[:1]), unknown[:-1]], 0)
    return tf.boolean_mask(ids, ~repeated)


def _unk_id(node: nodes.BPE, path: str) -> int | None:
    if node.unk_token is None:
        return None
    if node.unk_token not in node.vocab:
        reason = f"{node.unk_token!r} is not in the vocabulary, but some texts need it"
        raise TokenizerUnsupportedError(f"{path}.unk_token", reason)
    return node.vocab[node.unk_token]


class ByteSymbols(tf.Module):  # type: ignore[misc]
    """Words are raw bytes; GPT-2's stand-in characters exist only in the vocabulary."""

    def __init__(self, node: nodes.BPE, end: int, path: str) -> None:
        super().__init__(name="byte_symbols")
        alphabet = byte_alphabet()
        variants = _Affixes(node).variants(alphabet)
        # Bytes that occur in UTF-8 text.
        complete = all(
            character in variant
            for variant in variants
            for character, byte in alphabet.items()
            if byte not in (0xC0, 0xC1) and byte < 0xF5
        )
        if node.byte_fallback and not complete:
            reason = "byte_fallback in a byte-level vocabulary that lacks some byte"
            raise TokenizerUnsupportedError(f"{path}.byte_fallback", reason)
        table = [[_UNKNOWN] * 256 for _ in variants]
        for row, variant in zip(table, variants, strict=True):
            for character, number in variant.items():
                row[alphabet[character]] = number
            row[END] = end
        self._ids = array([number for row in table for number in row])
        self._by_place = len(variants) > 1
        self._finish: Callable[[tf.Tensor], tf.Tensor] = lambda ids: ids
        if not complete:
            unk = _unk_id(node, path)
            self._finish = lambda ids: _resolve_unknown(ids, unk, node.fuse_unk)

    def __call__(self, words: tf.Tensor) -> tf.Tensor:
        """See ``Symbols``."""
        stream = flat_bytes(words)
        if self._by_place:
            stream += 256 * _place(tf.equal(stream, END))
        return self._finish(tf.gather(self._ids, stream))


def _character_table(ids: dict[str, int], end: int) -> CharTable:
    """Character -> id, ``_UNKNOWN`` elsewhere; ``end`` for the end of a word."""
    values = np.full(END_CODE_POINT + 1, _UNKNOWN, np.int32)
    for character, number in ids.items():
        values[ord(character)] = number
    values[END_CODE_POINT] = end
    return CharTable(values, "characters")


class CharacterSymbols(tf.Module):  # type: ignore[misc]
    """Words are text; a character outside the vocabulary becomes its bytes' tokens, or unk, or nothing."""

    def __init__(self, node: nodes.BPE, end: int, path: str) -> None:
        super().__init__(name="character_symbols")
        affixes = _Affixes(node)
        strip = len(node.continuing_subword_prefix or ""), len(node.end_of_word_suffix or "")
        characters = {
            token[start : len(token) - stop]
            for token in node.vocab
            for start in {0, strip[0]}
            for stop in {0, strip[1]}
            if len(token) == start + stop + 1
        }
        variants = affixes.variants(characters)
        self._tables = [_character_table(variant, end) for variant in variants]
        self._end = end
        self._byte_ids = self._fallback(node, variants[0], path)
        self._unk = None if self._byte_ids is not None else _unk_id(node, path)
        self._fuse = node.fuse_unk

    @staticmethod
    def _fallback(node: nodes.BPE, characters: dict[str, int], path: str) -> tf.Variable | None:
        """ids of ``<0x00>`` ... ``<0xFF>``, or None where unknown characters become unk."""
        if not node.byte_fallback:
            return None
        ids = [node.vocab.get(f"<0x{byte:02X}>", _UNKNOWN) for byte in range(256)]
        needed = {byte for byte in range(0x80) if chr(byte) not in characters}
        needed |= {*range(0x80, 0xC0), *range(0xC2, 0xF5)}
        missing = [byte for byte in sorted(needed) if ids[byte] == _UNKNOWN]
        if not missing:
            return array(ids)
        if len(missing) == len(needed):
            return None  # No byte of any unknown character has a token: each of them becomes unk.
        reason = f"byte_fallback, but only some byte tokens exist: <0x{missing[0]:02X}> is missing"
        raise TokenizerUnsupportedError(f"{path}.byte_fallback", reason)

    def __call__(self, words: tf.Tensor) -> tf.Tensor:
        """See ``Symbols``."""
        stream = flat_bytes(words)
        lead = is_lead(stream)
        leads = tf.where(lead)[:, 0]
        points = code_points(stream, leads)
        ids = self._lookup(points)
        if self._byte_ids is None:
            return _resolve_unknown(ids, self._unk, self._fuse)
        # Back to bytes: an unknown character's bytes each become a token, others stand at their first byte.
        by_byte = tf.gather(ids, tf.cumsum(tf.cast(lead, tf.int32)) - 1)
        known = by_byte >= 0
        symbols = tf.where(known, by_byte, tf.gather(self._byte_ids, stream))
        return tf.boolean_mask(symbols, lead | ~known)

    def _lookup(self, points: tf.Tensor) -> tf.Tensor:
        if len(self._tables) == 1:
            return self._tables[0](points)
        rows = tf.stack([table(points) for table in self._tables])  # [variants, characters]
        place = _place(tf.equal(points, END_CODE_POINT))
        return tf.gather_nd(rows, tf.stack([place, tf.range(tf.size(points))], 1))
