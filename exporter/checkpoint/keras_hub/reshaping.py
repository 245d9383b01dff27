"""How a variable of Keras becomes a tensor of the reference: each way with the shape that it gives.

Kernels of KerasHub are [in, out] or, around attention, [hidden, heads, head_dim] and [heads, head_dim,
hidden]; those of ``torch.nn.Linear`` are [out, in].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """From stored arrays to one tensor, and from their shapes to its shape."""

    shape: Callable[[Sequence[Shape]], Shape]
    read: Callable[[Sequence[Array]], Array]


def one(shape: Callable[[Shape], Shape], read: Callable[[Array], Array]) -> Way:
    """Of a single array."""
    return Way(lambda shapes: shape(shapes[0]), lambda arrays: read(arrays[0]))


def rows(way: Way) -> Way:
    """Several arrays, each by ``way``, one below the other."""

    def shape(shapes: Sequence[Shape]) -> Shape:
        parts = [way.shape([part]) for part in shapes]
        return (sum(part[0] for part in parts), *parts[0][1:])

    return Way(shape, lambda arrays: np.concatenate([way.read([array]) for array in arrays]))


def columns(way: Way) -> Way:
    """Several arrays, each by ``way``, beside each other on the last axis."""

    def shape(shapes: Sequence[Shape]) -> Shape:
        parts = [way.shape([part]) for part in shapes]
        return (*parts[0][:-1], sum(part[-1] for part in parts))

    return Way(shape, lambda arrays: np.concatenate([way.read([array]) for array in arrays], axis=-1))


def _flipped(array: Array) -> Array:
    return array.reshape(len(array), -1).T


#: As it is.
SAME = one(lambda s: s, lambda a: a)
#: [in, out ...] -> [out, in].
KERNEL = one(lambda s: (prod(s[1:]), s[0]), _flipped)
#: [heads, head_dim, hidden] -> [hidden, heads * head_dim].
OUTPUT = one(lambda s: (s[-1], prod(s[:-1])), lambda a: a.reshape(-1, a.shape[-1]).T)
#: [heads, head_dim] -> [heads * head_dim].
FLAT = one(lambda s: (prod(s),), lambda a: a.reshape(-1))
#: [in, out ...] -> [in, out], as GPT-2's Conv1D has it.
IN_OUT = one(lambda s: (s[0], prod(s[1:])), lambda a: a.reshape(len(a), -1))
#: [heads, head_dim, hidden] -> [heads * head_dim, hidden], the same for a Conv1D.
OUTPUT_IN_OUT = one(lambda s: (prod(s[:-1]), s[-1]), lambda a: a.reshape(-1, a.shape[-1]))
#: Heads first, [heads, hidden, head_dim] -> [heads * head_dim, hidden].
HEADS_FIRST = one(lambda s: (s[0] * s[2], s[1]), lambda a: a.swapaxes(1, 2).reshape(-1, a.shape[1]))
#: Every expert's kernel turned round: [experts, in, out] -> [experts, out, in].
TURNED = one(lambda s: (s[0], s[2], s[1]), lambda a: a.swapaxes(1, 2))
#: Two kernels of every expert, [experts, in, out] each -> [experts, 2 * out, in].
TURNED_PAIR = Way(
    lambda shapes: (shapes[0][0], shapes[0][2] + shapes[1][2], shapes[0][1]),
    lambda arrays: np.concatenate(arrays, axis=-1).swapaxes(1, 2),
)
#: Query, key and value, [hidden, heads, head_dim] each -> [heads * 3 * head_dim, hidden], head by head.
BY_HEAD = Way(
    lambda shapes: (3 * prod(shapes[0][1:]), shapes[0][0]),
    lambda arrays: _flipped(np.stack(arrays, axis=2)),
)
#: Their biases, [heads, head_dim] each -> [heads * 3 * head_dim].
BIAS_BY_HEAD = Way(lambda shapes: (3 * prod(shapes[0]),), lambda arrays: np.stack(arrays, axis=1).reshape(-1))
#: A table of positions behind the two rows that the reference keeps before position 0, and never reads.
BEHIND_TWO = one(lambda s: (s[0] + 2, *s[1:]), lambda a: np.concatenate([np.zeros_like(a[:2]), a]))
