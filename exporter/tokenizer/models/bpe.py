"""BPE: byte-level (GPT-2), SentencePiece-style (byte fallback, whole texts), and with word affixes.

Source: ``models/bpe`` of the ``tokenizers`` library, 0.23.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import tensorflow as tf
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import byte_level_bytes
from exporter.tokenizer.models.merging import Merge, Merger
from exporter.tokenizer.models.paths import cut_rows
from exporter.tokenizer.models.symbols import ByteSymbols, CharacterSymbols, Symbols
from exporter.tokenizer.tables import IntTable, WordTable, on_cpu


class BPE(tf.Module):  # type: ignore[misc]
    """string[n] -> RaggedTensor int32 [n, (ids)].

    A word that is known to become one token is looked up whole; the others become symbols, which are merged.
    """

    def __init__(self, node: nodes.BPE, *, byte_level: bool, path: str = "model") -> None:
        super().__init__(name="bpe")
        _refuse(node, path)
        num_ids = max(node.vocab.values(), default=0) + 1
        merges = list(_merges(node, path))
        self._merger = Merger(merges, num_ids, _longest(node, path))
        kind = ByteSymbols if byte_level else CharacterSymbols
        self._symbols: Symbols = kind(node, self._merger.end, path)
        self._crossed = None if byte_level else _Crossed(merges, self._merger.end)
        self._whole = WordTable("bpe", dict(_whole_words(node, byte_level)))

    @on_cpu
    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        whole = self._whole(words)
        ids = tf.cast(self._symbols(tf.where(whole < 0, words, "")), tf.int64)
        ids = self._merger(ids, self._segment_starts(ids))
        return cut_rows(tf.cast(ids, tf.int32), self._merger.end, whole)

    def _segment_starts(self, ids: tf.Tensor) -> tf.Tensor:
        """bool[symbols]: after a word's end, and wherever no merge crosses."""
        if self._crossed is not None:
            return ~self._crossed(ids)
        return tf.concat([tf.ones_like(ids[:1], tf.bool), tf.equal(ids[:-1], self._merger.end)], 0)


class _Crossed(tf.Module):  # type: ignore[misc]
    """Between which neighbouring initial symbols a merge can ever cross.

    A merge that crosses the border between x and y joins a left token that ends with x and a right token
    that begins with y. So the pairs (last symbol of left, first symbol of right), over all rules, are all.
    """

    def __init__(self, merges: list[Merge], end: int) -> None:
        super().__init__(name="crossed")
        self._stride = end + 1
        firsts, lasts = _edges(merges, "left"), _edges(merges, "right")
        keys = {
            last * self._stride + first
            for merge in merges
            for last in lasts.get(merge.left, {merge.left})
            for first in firsts.get(merge.right, {merge.right})
        }
        self._table = IntTable("crossed", dict.fromkeys(keys, 1), 0)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """bool[symbols]: whether a merge can reach from the symbol before into this one."""
        crossed = self._table(ids[:-1] * self._stride + ids[1:])
        return tf.concat([tf.zeros_like(ids[:1], tf.bool), crossed > 0], 0)


def _edges(merges: list[Merge], side: str) -> dict[int, set[int]]:
    """token -> the initial symbols that it can begin (``left``) or end (``right``) with."""
    edges: dict[int, set[int]] = {}
    changed = True
    while changed:
        changed = False
        for merge in merges:
            operand = getattr(merge, side)
            known = edges.setdefault(merge.result, {merge.result})
            new = edges.get(operand, {operand}) - known
            if new:
                known |= new
                changed = True
    return edges


def _refuse(node: nodes.BPE, path: str) -> None:
    """What has no exact translation."""
    if node.dropout:
        reason = f"dropout={node.dropout} makes the reference random; only null or 0 is allowed"
        raise TokenizerUnsupportedError(f"{path}.dropout", reason)
    if node.byte_fallback and (node.continuing_subword_prefix or node.end_of_word_suffix):
        reason = "byte_fallback together with continuing_subword_prefix or end_of_word_suffix"
        raise TokenizerUnsupportedError(f"{path}.byte_fallback", reason)
    if len(set(node.vocab.values())) != len(node.vocab):
        raise TokenizerUnsupportedError(f"{path}.vocab", "two tokens have the same id")


def _merges(node: nodes.BPE, path: str) -> Iterator[Merge]:
    """The rules by ids; the right operand's continuing prefix is left out of the result."""
    cut = len(node.continuing_subword_prefix or "")
    for rank, (left, right) in enumerate(node.merges):
        result = left + right[cut:]
        for token in (left, right, result):
            if token not in node.vocab:
                reason = f"rule {left!r} {right!r}: {token!r} is not in the vocabulary"
                raise TokenizerUnsupportedError(f"{path}.merges[{rank}]", reason)
        yield Merge(node.vocab[left], node.vocab[right], node.vocab[result])


def _longest(node: nodes.BPE, path: str) -> int:
    """An upper bound of the initial symbols in a merged token: each one gives it at least a character."""
    cut = len(node.continuing_subword_prefix or "")
    for rank, (left, right) in enumerate(node.merges):
        if not left or len(right) <= cut:
            raise TokenizerUnsupportedError(f"{path}.merges[{rank}]", f"empty operand in {left!r} {right!r}")
    return max((len(left) + len(right) - cut for left, right in node.merges), default=1)


def _whole_words(node: nodes.BPE, byte_level: bool) -> Iterator[tuple[bytes, int]]:
    """(word, id) of the words that become exactly one token."""
    model = None if node.ignore_merges else _reference(node)
    for token, number in node.vocab.items():
        word = byte_level_bytes(token) if byte_level else token.encode("utf-8", "surrogatepass")
        if not word:
            continue
        if model is None or [piece.id for piece in model.tokenize(token)] == [number]:
            yield word, number


def _reference(node: nodes.BPE) -> tokenizers.models.BPE:
    """The library's own model."""
    options: Mapping[str, str | None] = {
        "unk_token": node.unk_token,
        "continuing_subword_prefix": node.continuing_subword_prefix,
        "end_of_word_suffix": node.end_of_word_suffix,
    }
    return tokenizers.models.BPE(
        node.vocab,
        list(node.merges),
        fuse_unk=node.fuse_unk,
        byte_fallback=node.byte_fallback,
        **{key: value for key, value in options.items() if value is not None},
    )
