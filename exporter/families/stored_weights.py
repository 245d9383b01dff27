"""The weights that a checkpoint holds, made ours one at a time, part by part into place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint import StoredTensor
from exporter.families.layout import Array
from exporter.families.parts import Part, Weight
from exporter.weights import WeightInfo, Weights

#: Columns of a transposed array that are copied at a time: a cache line of what is written.
_STRIP = 16


class StoredWeights(Weights):
    """Found weights in one dtype: at most one of ours and one stored tensor of it are in memory."""

    def __init__(
        self, weights: list[Weight], tensors: Mapping[str, StoredTensor], dtype: npt.DTypeLike
    ) -> None:
        self._weights, self._tensors = {weight.target: weight for weight in weights}, tensors
        shapes = _Shapes()
        self.infos = {
            weight.target: WeightInfo(shapes.of(weight), _kept(weight, np.dtype(dtype))) for weight in weights
        }

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        weight, info = self._weights[name], self.infos[name]
        result = np.empty(info.shape, info.dtype)
        for index, group in enumerate(weight.groups):
            at, joined = 0, result[index] if weight.stacked else result
            for part in group:
                at += self._place(part, joined[..., at:])
        return result

    def _place(self, part: Part, into: Array) -> int:
        """Reads a part to where its columns begin; returns how many they are."""
        array = part.convert(self._stored(part))
        width = array.shape[-1]
        fill(into[..., :width], array)
        return int(width)

    def _stored(self, part: Part) -> Array:
        if part.default is not None and part.name not in self._tensors:
            return part.default()
        return self._tensors[part.name].read()


def _kept(weight: Weight, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of one weight in a model of ``dtype``."""
    wide = weight.strict or (weight.wide and dtype == np.float16)
    return np.dtype(np.float32) if wide else dtype


class _Shapes:
    """Shapes of our weights, from what their parts' conversions do to an array without content."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[int, ...]] = {}

    def of(self, weight: Weight) -> tuple[int, ...]:
        """The same for weights of one kind in all layers, which are of the same parts."""
        kind = re.sub(r"\d+", "", weight.target), tuple(part.shape for part in weight.groups[0])
        if kind not in self._known:
            self._known[kind] = self._joined(weight)
        shape = self._known[kind]
        return (len(weight.groups), *shape) if weight.stacked else shape

    def _joined(self, weight: Weight) -> tuple[int, ...]:
        shapes = [self._converted(part) for part in weight.groups[0]]
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    @staticmethod
    def _converted(part: Part) -> tuple[int, ...]:
        return part.convert(np.broadcast_to(np.zeros((), np.uint8), part.shape)).shape


def fill(into: Array, array: Array) -> None:
    """Casts ``array`` into an array of its shape.

    A transposed one goes strip by strip, each cast as it lies and then moved as plain numbers: ten times
    faster than element by element.
    """
    if array.strides[-1] == array.itemsize:
        np.copyto(into, array, casting="unsafe")
        return
    for start in range(0, array.shape[-1], _STRIP):
        strip = slice(start, start + _STRIP)
        _bits(into[..., strip])[...] = _bits(array[..., strip].astype(into.dtype, copy=False))


def _bits(array: Array) -> Array:
    return array.view(f"u{array.itemsize}")
