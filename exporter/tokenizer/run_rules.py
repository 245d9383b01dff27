"""Rules about runs of one class (``regex.runs``), on code points: where a text is cut, and what is kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from exporter.tokenizer import codepoints, nodes, tables
from exporter.tokenizer.codepoints import CodePoints
from exporter.tokenizer.regex import RunKind, Runs

_MEMBER, _NOT_BEFORE, _LINE_END = 1, 2, 4


class Matches(NamedTuple):
    """What a pattern matches.

    Attributes:
      starts: bool [characters]: a match starts here, be it empty.
      ends: bool [characters]: a match ends before this character.
      inside: bool [characters]: the character is part of a match.
    """

    starts: tf.Tensor
    ends: tf.Tensor
    inside: tf.Tensor


class _Runs(NamedTuple):
    """Each character's own run, int32 or bool [characters]; of no meaning outside runs.

    Attributes:
      place, first, past: the character's place, the run's first one, and the one behind it.
      at_end: whether the text ends with the run.
      behind: flags of the character behind it, 0 where there is none.
    """

    place: tf.Tensor
    first: tf.Tensor
    past: tf.Tensor
    at_end: tf.Tensor
    behind: tf.Tensor


class RunRule(tf.Module):
    """CodePoints -> (begins, kept), as ``ByCodePoints`` takes them; see ``split_stage`` for the behaviors."""

    def __init__(self, runs: Runs, behavior: nodes.Behavior, invert: bool) -> None:
        super().__init__(name="runs")
        self._runs, self._behavior, self._invert = runs, behavior, invert
        flags = np.where(runs.members, _MEMBER, 0)
        if runs.not_before is not None:
            flags = flags + np.where(runs.not_before, _NOT_BEFORE, 0)
        flags[ord("\n")] += _LINE_END
        self._flags = tables.CharTable(flags, "runs")

    def __call__(self, points: CodePoints) -> tuple[tf.Tensor, tf.Tensor]:
        starts, ends, inside = self.matches(points)
        begins, kept = points.starts(), tf.ones_like(inside)
        if self._behavior == "Removed":
            kept = inside if self._invert else ~inside
        if self._behavior in ("MergedWithPrevious", "MergedWithNext"):
            cuts = starts if (self._behavior == "MergedWithNext") != self._invert else ends
        elif self._behavior == "Contiguous" and self._runs.kind is not RunKind.GROUP_PLACES:
            cuts = starts ^ ends  # a match that starts where another ends is part of it
        else:
            cuts = starts | ends
        return (begins | cuts) & kept, kept

    def matches(self, points: CodePoints) -> Matches:
        """Every match, as the library finds them from left to right."""
        flags, begins = self._flags(points.values), points.starts()
        member = _has(flags, _MEMBER)
        found = _runs(flags, member, begins)
        if self._runs.kind is RunKind.GROUP_PLACES:
            places = member & self._allowed(found) & ((found.past - found.place) % self._runs.size == 0)
            return Matches(places, places, tf.zeros_like(member))
        stop, first_of_block = self._blocks(found, flags)
        inside = member & (found.place < stop)
        starts = inside & (first_of_block | (found.place == found.first))
        ends = codepoints.shifted(inside, False) & ~begins & (starts | ~inside)
        return Matches(starts, ends, inside)

    def _allowed(self, found: _Runs) -> tf.Tensor:
        """Whether what stands behind a run allows its groups."""
        return found.at_end | ~_has(found.behind, _NOT_BEFORE)

    def _blocks(self, found: _Runs, flags: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Where a run's matches stop, and whether a match may start at a character behind its first."""
        size, nowhere = self._runs.size, tf.zeros_like(found.at_end)
        but_last = tf.where(found.at_end, found.past, found.past - 1)
        match self._runs.kind:
            case RunKind.LINE_END:
                line_ends = codepoints.last_place(_has(flags, _LINE_END))
                last = tf.gather(line_ends, tf.clip_by_value(found.past - 1, 0, tf.size(flags) - 1))
                whole = found.at_end | _has(found.behind, _LINE_END)
                return tf.where(whole, found.past, last), nowhere
            case RunKind.BLOCKS:
                whole_blocks = (but_last - found.first) // size * size
                return found.first + whole_blocks, (found.place - found.first) % size == 0
            case RunKind.GROUPS:
                stop = tf.where(self._allowed(found), found.past, found.first)
                return stop, (found.past - found.place) % size == 0
        return but_last, nowhere


def _has(flags: tf.Tensor, flag: int) -> tf.Tensor:
    return tf.bitwise.bitwise_and(flags, flag) != 0


def _runs(flags: tf.Tensor, member: tf.Tensor, begins: tf.Tensor) -> _Runs:
    count = tf.size(flags)
    ends = tf.concat([begins[1:], tf.ones_like(begins[:1])], 0)  # the last character of each text
    following = tf.concat([flags[1:], tf.zeros_like(flags[:1])], 0)
    firsts = member & (begins | ~codepoints.shifted(member, False))
    lasts = member & (ends | ~_has(following, _MEMBER))
    past = count - tf.reverse(codepoints.last_place(tf.reverse(lasts, [0])), [0])
    last = tf.clip_by_value(past - 1, 0, count - 1)
    at_end = tf.gather(ends, last)
    return _Runs(
        place=tf.range(count),
        first=codepoints.last_place(firsts),
        past=past,
        at_end=at_end,
        behind=tf.where(at_end, 0, tf.gather(following, last)),
    )
