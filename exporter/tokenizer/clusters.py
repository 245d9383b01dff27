"""Grapheme clusters as the library finds them: classes asked of it, and the boundary rules in the graph.

The library shows its clusters through the Precompiled normalizer alone: a cluster of fewer than six bytes
that begins with a key is replaced whole, in any other cluster each character is. Most questions here end in
the mark ``_MARK``, which is no key. After the base before it, it is lost if base and mark are a cluster of
their own, and survives if the base was joined to what stands further left.

Regional indicators need no rule: a cluster with one is a single character or too long to matter; so is one
with a second character of four bytes, which is why some questions leave these out.

Source: Unicode Standard Annex 29, rules GB3 to GB11.
"""

from __future__ import annotations

from enum import IntFlag
from functools import cache

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tokenizers import normalizers

from exporter.tokenizer import chars
from exporter.tokenizer.chars import CharSet
from exporter.tokenizer.charsmap import make_charsmap
from exporter.tokenizer.codepoints import CodePoints, last_place, shifted
from exporter.tokenizer.tables import CharTable

_MARK, _ZWJ = "\u0301", "\u200d"
_PICTURE, _LONG_PICTURE = "\u00a9", "\u203c"
_LEADING, _VOWEL, _TAIL = "\u1100", "\u1160", "\u11a8"
_CONSONANT, _LINKER = "\u0915", "\u094d"


class Class(IntFlag):
    """What a character does at a cluster boundary; ``cur`` is the one on the right, ``prev`` the left."""

    CONTROL = 1  # joins nothing
    ATTACHES = 2  # cur joins any prev
    PREPENDS = 4  # any cur joins this prev
    BEFORE_LEADING = 8  # Hangul, as prev
    BEFORE_VOWEL = 16
    BEFORE_TAIL = 32
    AFTER_LEADING = 64  # Hangul, as cur
    VOWEL = 128
    TAIL = 256
    PICTURE = 512
    PICTURE_EXTEND = 1024  # may stand between a picture and its ZWJ
    CONSONANT = 2048  # Indic, on the left of a linker
    AFTER_LINKER = 4096  # Indic, on its right
    LINKER = 8192
    CONSONANT_EXTEND = 16384  # may stand between the two, beside a linker
    ZWJ = 32768


def _ask(before: str, asked: CharSet, after: str, keys: str = "") -> list[tuple[int, str]]:
    """(c, what the library makes of ``before + c + after``) for every c asked about.

    ``keys`` are mapped to ``Q``; without any, all but ``_MARK`` are.
    """
    wanted = [key.encode() for key in keys]
    if not keys:  # a key may be any beginning: the first byte of every character but the marks'
        wanted = [
            bytes([byte]) for byte in [*range(0x20, 0x80), *range(0xC2, 0xF5)] if byte != _MARK.encode()[0]
        ]
    asked = asked & ~chars.charset([ord("\n")])  # which parts the questions
    points = np.flatnonzero(asked)
    columns = [
        points if part is None else np.full_like(points, ord(part)) for part in [*before, None, *after, "\n"]
    ]
    probe = normalizers.Precompiled(make_charsmap(dict.fromkeys(wanted, b"Q")))
    answers = probe.normalize_str(chars.decode(np.stack(columns, 1).ravel())).split("\n")
    return list(zip(points.tolist(), answers[:-1], strict=True))


def _joined(before: str, asked: CharSet, after: str, keys: str = "") -> CharSet:
    """Those for which the last base was joined to the left."""
    return chars.charset(
        [point for point, answer in _ask(before, asked, after, keys) if answer.endswith(_MARK)]
    )


@cache
def cluster_classes() -> npt.NDArray[np.int32]:
    """The ``Class`` flags of every code point, [0x110000]."""
    everything = chars.complement(chars.charset([]))
    attaches = chars.charset([c for c, answer in _ask("e", everything, "", "e") if answer == "Q"])
    # Two marks are one small cluster, with a single Q, unless they attach to the character.
    control = chars.charset([c for c, answer in _ask("", everything, _MARK * 2, _MARK) if len(answer) == 2])
    control |= chars.charset([ord("\n")])
    # The planes above these hold ideographs, variation selectors and private characters.
    bases = chars.charset(np.arange(0x20000)) & ~attaches & ~control
    short = bases & chars.charset(np.arange(0x10000))
    tails = _joined(_TAIL, short, _MARK)
    found = {
        Class.CONTROL: control,
        Class.ATTACHES: attaches,
        Class.PREPENDS: _joined("", bases, "e" + _MARK, "e"),
        Class.BEFORE_LEADING: _joined("", bases, _LEADING + _MARK, _LEADING),
        Class.BEFORE_VOWEL: _joined("", bases, _VOWEL + _MARK, _VOWEL),
        Class.BEFORE_TAIL: _joined("", bases, _TAIL + _MARK, _TAIL),
        Class.AFTER_LEADING: _joined(_LEADING, short, _MARK),
        Class.VOWEL: _joined(_VOWEL, short, _MARK) & ~tails,
        Class.TAIL: tails,
        # Picture and ZWJ alone are a small cluster, which loses the ZWJ.
        Class.PICTURE: chars.charset(
            [c for c, a in _ask(_PICTURE + _ZWJ, bases, "", _PICTURE) if len(a) == 3]
        ),
        Class.PICTURE_EXTEND: _joined(_PICTURE, attaches, _ZWJ + _LONG_PICTURE + _MARK, _LONG_PICTURE),
        Class.CONSONANT: _joined("", bases, _LINKER + _CONSONANT + _MARK, _CONSONANT),
        Class.AFTER_LINKER: _joined(_CONSONANT + _LINKER, short, _MARK),
        Class.LINKER: _joined(_CONSONANT, attaches, _CONSONANT + _MARK, _CONSONANT),
        Class.CONSONANT_EXTEND: _joined(_CONSONANT + _LINKER, attaches, _CONSONANT + _MARK, _CONSONANT),
        Class.ZWJ: chars.charset([ord(_ZWJ)]),
    }
    flags = np.zeros(chars.CODE_POINTS, np.int32)
    for flag, members in found.items():
        flags[members] |= int(flag)
    return flags


class Clusters(tf.Module):
    """Where grapheme clusters begin."""

    def __init__(self) -> None:
        super().__init__(name="clusters")
        self._classes = CharTable(cluster_classes(), "cluster_classes")

    def __call__(self, points: CodePoints) -> tf.Tensor:
        """bool [characters]: True at the first character of every cluster."""
        flags, starts = self._classes(points.values), points.starts()
        text = tf.cumsum(tf.cast(starts, tf.int32))
        before = shifted(flags, 0)
        bases = ~_has(flags, Class.CONTROL) & ~_has(before, Class.CONTROL)
        joins = _has(flags, Class.ATTACHES) | _has(before, Class.PREPENDS)
        joins |= _has(before, Class.BEFORE_LEADING) & _has(flags, Class.AFTER_LEADING)
        joins |= _has(before, Class.BEFORE_VOWEL) & _has(flags, Class.VOWEL)
        joins |= _has(before, Class.BEFORE_TAIL) & _has(flags, Class.TAIL)
        joins |= _has(flags, Class.PICTURE) & _has(before, Class.ZWJ) & self._after_picture(flags, text)
        joins |= _has(flags, Class.AFTER_LINKER) & self._after_consonant(flags, text)
        crlf = (points.values == ord("\n")) & (shifted(points.values, 0) == ord("\r"))
        return starts | ~((bases & joins) | crlf)

    def _after_picture(self, flags: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
        """bool [characters]: whether a picture, and nothing but its extensions, ends two places before."""
        place = shifted(shifted(last_place(~_has(flags, Class.PICTURE_EXTEND)), -1), -1)
        return _has(_at(flags, place), Class.PICTURE) & (_at(text, place) == text)

    def _after_consonant(self, flags: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
        """bool [characters]: whether a consonant and, among its extensions, a linker end one place before."""
        linker = _has(flags, Class.LINKER)
        linkers = tf.cumsum(tf.cast(linker, tf.int32))
        place = shifted(last_place(~(linker | _has(flags, Class.CONSONANT_EXTEND))), -1)
        linked = shifted(linkers, 0) > _at(linkers, place)
        return linked & _has(_at(flags, place), Class.CONSONANT) & (_at(text, place) == text)


def _has(flags: tf.Tensor, flag: Class) -> tf.Tensor:
    return tf.bitwise.bitwise_and(flags, int(flag)) > 0


def _at(values: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """``values[place]``, 0 where the place is -1."""
    return tf.where(place < 0, 0, tf.gather(values, tf.maximum(place, 0)))
