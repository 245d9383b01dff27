"""Character knowledge, asked of the ``tokenizers`` library itself over all 1,112,064 code points.

Libraries disagree about Unicode: RE2's ``\\p{L}`` differs from the library's on thousands of code points,
and a server may carry yet other tables. So every class, case map and normalization form in the graph is
what the library answered at export, written as explicit ranges or tables. Answers are cached per process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import normalizers, pre_tokenizers

CODE_POINTS = 0x110000
_SURROGATES = slice(0xD800, 0xE000)

CharSet = npt.NDArray[np.bool_]  # [CODE_POINTS]; surrogates are never members
CodePoints = npt.NDArray[np.int32]


@cache
def scalar_values() -> CodePoints:
    """Every code point but the surrogates, increasing."""
    points = np.arange(CODE_POINTS, dtype=np.int32)
    return np.delete(points, np.arange(0xD800, 0xE000))


@cache
def all_characters() -> str:
    """Every character once, in the order of code points."""
    return decode(scalar_values())


def decode(points: npt.NDArray[np.generic] | Sequence[int]) -> str:
    """Code points -> text."""
    return np.asarray(points, "<u4").tobytes().decode("utf-32-le")


def encode(text: str) -> CodePoints:
    """Text -> code points."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int32)


def charset(points: Iterable[int] | CodePoints) -> CharSet:
    """The set of these code points."""
    members = np.zeros(CODE_POINTS, np.bool_)
    members[np.asarray(list(points) if not isinstance(points, np.ndarray) else points, np.int64)] = True
    members[_SURROGATES] = False
    return members


def complement(members: CharSet) -> CharSet:
    """Every other character."""
    result = ~members
    result[_SURROGATES] = False
    return result


@cache
def white_space() -> CharSet:
    """What Python's ``str.strip`` and ``\\s`` take for white space."""
    return charset(point for point in range(CODE_POINTS) if chr(point).isspace())


@cache
def regex_class(text: str, ignore_case: bool = False) -> CharSet:
    """The characters that a one-character Oniguruma pattern (``\\s``, ``[^\\p{L}]``, ``.``) matches.

    The library deletes all others from the string of all characters; what is left is the class. Raises
    whatever the library raises for a pattern that it cannot compile.
    """
    atom = f"(?i:{text})" if ignore_case else text
    # The bound keeps each match below Oniguruma's limit of retries.
    others = tokenizers.Regex(f"(?:(?!{atom})(?m:.)){{1,1000}}")
    return charset(encode(normalizers.Replace(others, "").normalize_str(all_characters())))


@cache
def removed_by(name: str) -> CharSet:
    """The characters that a pre-tokenizer removes (``WhitespaceSplit``: what Rust calls white space)."""
    kept = PROBES[name].pre_tokenize_str(all_characters())
    return complement(charset(np.concatenate([encode(piece) for piece, _ in kept])))


@cache
def parted_by(name: str) -> CharSet:
    """The characters that a pre-tokenizer parts from a letter before them (punctuation, digits).

    All characters in order fall into runs of one kind; one question tells a run's kind.
    """
    split = PROBES[name].pre_tokenize_str
    runs = [encode(piece) for piece, _ in split(all_characters())]
    parted = [run for run in runs if len(split("a" + chr(run[0]))) == 2]
    return charset(np.concatenate(parted))


@cache
def word_characters() -> CharSet:
    """Rust's ``\\w``: what Whitespace neither removes nor parts from a letter."""
    return complement(removed_by("Whitespace") | parted_by("Whitespace"))


@cache
def scripts() -> npt.NDArray[np.int32]:
    """UnicodeScripts' script of every code point as a number; 0 for characters that belong to any."""
    split = pre_tokenizers.UnicodeScripts().pre_tokenize_str
    common = ~_parted("a") & ~_parted("\u4e2d")
    runs = [encode(piece) for piece, _ in split(decode(scalar_values()[~common[scalar_values()]]))]
    numbers = np.zeros(CODE_POINTS, np.int32)
    samples: list[str] = []
    for run in runs:
        character = chr(run[0])
        number = next(
            (n for n, sample in enumerate(samples) if len(split(sample + character)) == 1), len(samples)
        )
        if number == len(samples):
            samples.append(character)
        numbers[run] = number + 1
    return numbers


def _parted(neighbour: str) -> CharSet:
    """The characters that UnicodeScripts parts from ``neighbour``."""
    points = scalar_values()
    text = decode(np.stack([np.full_like(points, ord(neighbour)), points], 1).ravel())
    pieces = [piece for piece, _ in pre_tokenizers.UnicodeScripts().pre_tokenize_str(text)]
    return charset(
        np.concatenate([encode(piece) for piece in pieces if neighbour not in piece] or [points[:0]])
    )


PROBES: dict[str, pre_tokenizers.PreTokenizer] = {
    "WhitespaceSplit": pre_tokenizers.WhitespaceSplit(),
    "Whitespace": pre_tokenizers.Whitespace(),
    "Punctuation": pre_tokenizers.Punctuation("contiguous"),
    "Digits": pre_tokenizers.Digits(individual_digits=False),
}


def ranges(members: CharSet) -> list[tuple[int, int]]:
    """The set as inclusive ranges, increasing. A range may span the surrogates: no text holds one."""
    padded = members.copy()
    if padded[0xD7FF] and padded[0xE000]:
        padded[_SURROGATES] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[False], padded, [False]]).astype(np.int8)))
    return [(int(start), int(stop) - 1) for start, stop in edges.reshape(-1, 2)]


def re2_class(members: CharSet) -> str:
    """The set as an RE2 bracket expression of explicit ranges; raises ValueError for the empty set."""
    parts = [
        f"\\x{{{low:x}}}" if low == high else f"\\x{{{low:x}}}-\\x{{{high:x}}}"
        for low, high in ranges(members)
    ]
    if not parts:
        raise ValueError("an empty character class matches nothing")
    return f"[{''.join(parts)}]"


def at_ends(members: CharSet) -> tuple[str, str]:
    """The runs of a set that a text begins and ends with, as RE2 patterns."""
    taken = re2_class(members)
    return f"^{taken}+", f"{taken}+$"


def map_characters(normalize: Callable[[str], str], separator: str = "\n") -> list[str]:
    """What ``normalize`` makes of every character alone, indexed as ``scalar_values``.

    ``separator`` stands between the characters of one long call; it must be kept by ``normalize`` and no
    other character may become it. Characters that break this are asked again, alone.
    """
    points = scalar_values()
    text = decode(np.stack([points, np.full_like(points, ord(separator))], 1).ravel())
    answers = normalize(text).split(separator)[:-1]
    if len(answers) != len(points) + 1:  # the separator itself is one of the characters
        return [normalize(chr(point)) for point in points]
    position = int(np.searchsorted(points, ord(separator)))
    return [*answers[:position], separator, *answers[position + 2 :]]
