"""Byte-pair merging of many words at once, exactly as one word's merge queue would do it.

The reference merges, in one word, the pair of lowest rank, leftmost first, until no pair is left. Done
literally that is one merge a step. Here a step merges every pair that nothing can forestall any more.

A pair at place i with rank r is *settled* when

* no pair within reach of it has a lower rank, where reach is what one token can span: a merge that
  forestalls ours swallows its left or right symbol into some token, and every merge that built that
  token's other half had a rank of at most r and began from a pair that stands within reach today;
* the merges of equal pairs before it open no lower pair. Either the rule is *ordered* (everything that
  can be merged with its result ranks behind it), or no equal pair stands within reach on its left, or
  all of those are settled and the pairs that their results form with their neighbours are not lower;
* in a run of overlapping equal pairs (``aaaa``) it stands at an even distance from the run's first pair,
  and nothing lower is within reach of that first pair either.

Reach is counted in blocks: a segment (a word, or a part of it that no merge crosses) is cut into blocks
of twice the longest token's length in initial symbols, and two neighbouring blocks cover the reach on
each side. Block numbers leave a gap between segments. The leftmost lowest pair of a segment is always
settled, so each step makes progress, and a typical word is one block.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf

from exporter.tokenizer.tables import IntTable, on_cpu

_NONE = tf.int64.max
"""Value of a pair without merge rule: it ranks behind all others."""
_RANK_SHIFT = 32
_ORDERED_BIT = 1 << 31
_ID_MASK = _ORDERED_BIT - 1


class Merge(NamedTuple):
    """Rule: symbols ``left`` and ``right`` (ids) become ``result``; rules are listed by rank."""

    left: int
    right: int
    result: int


class _State(NamedTuple):
    ids: tf.Tensor  # int64[symbols]
    blocks: tf.Tensor  # int32[symbols], never decreasing
    merged: tf.Tensor  # bool[]: whether the last step merged anything


class _Candidates(NamedTuple):
    """Pairs with nothing lower within reach."""

    mask: tf.Tensor  # bool[symbols]
    places: tf.Tensor  # int64[candidates], where the mask is true
    blocks: tf.Tensor  # int32[candidates]
    lowest: tf.Tensor  # int64[blocks], lowest value in a block
    in_reach: tf.Tensor  # int64[blocks], lowest value in a block and the blocks beside it


class Merger(tf.Module):  # type: ignore[misc]
    """Applies merge rules to a flat stream of symbols.

    Args:
      merges: rules by rank; of two rules for the same pair the later one counts, as in the reference.
      num_ids: ids are below this; ``num_ids`` itself is the end-of-word symbol ``end``.
      longest: the most initial symbols that a merge's result can span.
    """

    def __init__(self, merges: Iterable[Merge], num_ids: int, longest: int) -> None:
        super().__init__(name="merges")
        self.end = num_ids
        self._stride = num_ids + 1
        self._block = 2 * max(longest, 1)
        rules = {(merge.left, merge.right): (rank, merge.result) for rank, merge in enumerate(merges)}
        self._values = IntTable("merges", self._pack(rules), _NONE)

    def _pack(self, rules: dict[tuple[int, int], tuple[int, int]]) -> dict[int, int]:
        """(left, right) -> (rank, result) becomes one number each, comparable by rank."""
        first_use: dict[int, int] = {}
        for (left, right), (rank, _) in rules.items():
            for operand in (left, right):
                first_use[operand] = min(rank, first_use.get(operand, rank))
        return {
            left * self._stride + right: rank << _RANK_SHIFT
            | (_ORDERED_BIT if first_use.get(result, rank + 1) > rank else 0)
            | result
            for (left, right), (rank, result) in rules.items()
        }

    def __call__(self, ids: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
        """Merges.

        Args:
          ids: int64[symbols], each word closed by ``end``.
          starts: bool[symbols], where a segment begins: the first symbol of each word, and any other
            place that no merge crosses.

        Returns:
          int64[fewer], each word still closed by ``end``.
        """
        segment = tf.cumsum(tf.cast(starts, tf.int32)) - 1
        first = tf.cast(tf.where(starts)[:, 0], tf.int32)
        offset = tf.range(tf.size(ids)) - tf.gather(first, segment)
        part = offset // self._block
        wide = tf.reduce_any(part > 0)
        return tf.cond(
            wide,
            on_cpu(lambda: self._merge(ids, self._number_blocks(segment, part), wide=True)),
            on_cpu(lambda: self._merge(ids, segment, wide=False)),
        )

    @staticmethod
    def _number_blocks(segment: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
        """Consecutive numbers for a segment's parts, and one number left out after each segment."""
        parts = tf.math.segment_max(part, segment) + 1
        return tf.gather(tf.cumsum(parts + 1, exclusive=True), segment) + part

    def _merge(self, ids: tf.Tensor, blocks: tf.Tensor, wide: bool) -> tf.Tensor:
        num_blocks = tf.reduce_max(tf.concat([blocks, [0]], 0)) + 2
        step = on_cpu(lambda *state: self._step(_State(*state), num_blocks, wide))
        state = tf.while_loop(
            lambda ids, blocks, merged: merged,
            step,
            _State(ids, blocks, tf.constant(True)),
            shape_invariants=_State(tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape([])),
        )
        return state.ids

    def _step(self, state: _State, num_blocks: tf.Tensor, wide: bool) -> _State:
        ids, blocks, _ = state
        following = tf.concat([ids[1:], [self.end]], 0)
        values = self._values(ids * self._stride + following)
        lowest = tf.math.unsorted_segment_min(values, blocks, num_blocks)
        in_reach = _with_neighbours(lowest) if wide else lowest
        candidate = tf.equal(values, tf.gather(in_reach, blocks)) & (values < _NONE)
        places = tf.where(candidate)[:, 0]
        block = tf.gather(blocks, places)
        tied = tf.concat([[False], tf.equal(block[1:], block[:-1])], 0)
        if wide:
            tied |= tf.equal(tf.gather(_shift(lowest), block), tf.gather(values, places))
        places = tf.cond(
            tf.reduce_any(tied),
            on_cpu(
                lambda: self._settle(
                    ids, values, _Candidates(candidate, places, block, lowest, in_reach), wide
                )
            ),
            lambda: places,
        )
        return self._apply(ids, blocks, places, tf.gather(values, places))

    def _settle(self, ids: tf.Tensor, values: tf.Tensor, candidates: _Candidates, wide: bool) -> tf.Tensor:
        """The settled ones among candidates, where some have an equal pair within reach; int64[settled]."""
        _, places, block, lowest, in_reach = candidates
        even, uncertain = _in_runs(values, candidates)
        own = tf.gather(values, places)
        opens = even & self._opens_lower(ids, own, places, even)
        ordered = tf.not_equal(tf.bitwise.bitwise_and(own, _ORDERED_BIT), 0)
        # An equal pair in the block before that is no candidate: something lower is merged near it first.
        unsure = tf.equal(tf.gather(_shift(lowest), block), own) & tf.not_equal(
            tf.gather(_shift(in_reach), block), own
        )
        trouble = tf.cumsum(tf.cast(opens | uncertain, tf.int32), exclusive=True)
        trouble += tf.cumsum(tf.cast(unsure, tf.int32))
        # Trouble spreads to the right through neighbouring blocks that all hold candidates.
        chains = tf.concat([[True], block[1:] - block[:-1] > (1 if wide else 0)], 0)
        chain = tf.cumsum(tf.cast(chains, tf.int32)) - 1
        start = tf.where(chains)[:, 0]
        clean = tf.equal(trouble, tf.gather(tf.gather(trouble, start), chain))
        clean &= ~tf.gather(tf.gather(unsure, start), chain)
        return tf.boolean_mask(places, even & ~uncertain & (ordered | clean))

    def _opens_lower(self, ids: tf.Tensor, own: tf.Tensor, places: tf.Tensor, even: tf.Tensor) -> tf.Tensor:
        """Whether merging each candidate, left to right, forms a pair of lower rank; bool[candidates]."""
        results = tf.bitwise.bitwise_and(own, tf.constant(_ID_MASK, tf.int64))
        padded = tf.pad(ids, [[2, 2]], constant_values=self.end)  # place p -> p + 2
        merging = tf.scatter_nd(places[:, None] + 2, even, tf.shape(padded, tf.int64))
        # The symbol on the left is what an equal merge two places before has made, if there is one.
        left = tf.where(tf.gather(merging, places), results, tf.gather(padded, places + 1))
        right = tf.gather(padded, places + 4)
        lower = tf.minimum(
            self._values(left * self._stride + results), self._values(results * self._stride + right)
        )
        return lower < own

    @staticmethod
    def _apply(ids: tf.Tensor, blocks: tf.Tensor, places: tf.Tensor, values: tf.Tensor) -> _State:
        """Replaces the symbols at ``places`` and drops each one's right neighbour."""
        results = tf.bitwise.bitwise_and(values, tf.constant(_ID_MASK, tf.int64))
        ids = tf.tensor_scatter_nd_update(ids, places[:, None], results)
        dropped = tf.scatter_nd(places[:, None] + 1, tf.ones_like(places, tf.bool), tf.shape(ids, tf.int64))
        kept = tf.where(~dropped)[:, 0]
        return _State(tf.gather(ids, kept), tf.gather(blocks, kept), tf.size(places) > 0)


def _shift(values: tf.Tensor) -> tf.Tensor:
    """Every value one place to the right, after a value that stands for no pair."""
    return tf.concat([tf.constant([_NONE], tf.int64), values[:-1]], 0)


def _with_neighbours(lowest: tf.Tensor) -> tf.Tensor:
    """Each block's lowest value, its two neighbours counted in; numbers left out hold the largest value."""
    right = tf.concat([lowest[1:], tf.constant([_NONE], tf.int64)], 0)
    return tf.minimum(lowest, tf.minimum(_shift(lowest), right))


def _in_runs(values: tf.Tensor, candidates: _Candidates) -> tuple[tf.Tensor, tf.Tensor]:
    """Where candidates stand in their runs of overlapping equal pairs.

    Returns:
      bool[candidates] whether at an even distance from the run's first pair; bool[candidates] whether
      that first pair is no candidate.
    """
    starts = tf.not_equal(values, _shift(values))
    run = tf.gather(tf.cumsum(tf.cast(starts, tf.int32)) - 1, candidates.places)
    first = tf.gather(tf.where(starts)[:, 0], run)
    return tf.equal((candidates.places - first) % 2, 0), ~tf.gather(candidates.mask, first)
