"""Weights of layers that are alike, stacked: as ``exporter.stacks`` names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.spec import LayerSpec, MlpSpec, ModelSpec
from exporter.stacks import Run, find_runs
from exporter.weights import WeightInfo, WeightPart, Weights


class StackedWeights(Weights):
    """``weights`` with those of equal layers in one array, whose first axis counts the layers.

    ``parts`` gives a stack's layers one at a time, in the order of ``weights``; looking a stack up reads all.
    """

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        self._weights = weights
        placed: dict[str, tuple[str, int]] = {}
        for prefix, stack in (("", spec.decoder), ("encoder.", spec.encoder)):
            for run in runs_in(stack.layers, weights.infos, prefix) if stack else ():
                placed |= _placed(run, prefix, weights.infos) if run.count > 1 else {}
        #: Our name -> the stack's, and the place in it.
        self._placed = placed
        self._members: dict[str, list[str]] = {}
        for name in weights.infos:
            self._members.setdefault(placed.get(name, (name, 0))[0], []).append(name)
        self.infos = {name: self._info(name) for name in self._members}

    def _info(self, name: str) -> WeightInfo:
        members = self._members[name]
        info = self._weights.infos[members[0]]
        return info if name in self._weights else WeightInfo((len(members), *info.shape), info.dtype)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name in self._weights:
            return self._weights[name]
        result = np.empty(self.infos[name].shape, self.infos[name].dtype)
        for member in self._members[name]:
            result[self._placed[member][1]] = self._weights[member]
        return result

    def parts(self) -> Iterator[WeightPart]:
        for name in self._weights.infos:
            stack, place = self._placed.get(name, (name, None))
            read = partial(self._weights.__getitem__, name)
            yield WeightPart(stack, place, self._weights.infos[name].nbytes, read)


def runs_in(
    layers: Sequence[LayerSpec], infos: Mapping[str, WeightInfo], prefix: str = ""
) -> tuple[Run, ...]:
    """The runs of equal layers of one stack, whose weights' names begin with ``prefix``."""
    kinds: dict[int, list[tuple[str, tuple[int, ...], str]]] = {}
    for name, info in infos.items():
        if name.startswith(f"{prefix}layers."):
            index, own = name.removeprefix(f"{prefix}layers.").split(".", 1)
            kinds.setdefault(int(index), []).append((own, info.shape, info.dtype.str))
    return find_runs(
        [(layer, _alone(layers, index, infos), *sorted(kinds[index])) for index, layer in enumerate(layers)]
    )


def _alone(layers: Sequence[LayerSpec], index: int, infos: Mapping[str, WeightInfo]) -> int | None:
    """A number that no other layer has, where a layer must not be stacked.

    It may have a table of relative biases of its own; it may lend its keys and values to later layers; or, in
    half precision, it may hand on a residual stream in another dtype than it got.
    """
    layer, dtypes = layers[index], {info.dtype for info in infos.values()}
    relative, mlp = layer.attention.relative if layer.attention else None, layer.mlp
    wide = isinstance(mlp, MlpSpec) and mlp.wide_down and np.dtype(np.float16) in dtypes
    if layer.wide_residual and any(dtype.itemsize == 2 for dtype in dtypes):
        wide = wide or index == 0 or not layers[index - 1].wide_residual
    lent = layer.attention is not None and layer.attention.lent
    return index if wide or lent or (relative is not None and relative.per_layer) else None


def _placed(run: Run, prefix: str, infos: Mapping[str, WeightInfo]) -> dict[str, tuple[str, int]]:
    """Our names of a run's weights -> the stack's, and the place in it."""
    placed: dict[str, tuple[str, int]] = {}
    for offset, stack in enumerate(run.names()):
        begins = [f"{prefix}layers.{run.first + offset + run.period * turn}." for turn in range(run.count)]
        owns = [name.removeprefix(begins[0]) for name in infos if name.startswith(begins[0])]
        for turn, begin in enumerate(begins):
            placed |= {f"{begin}{own}": (f"{prefix}{stack}{own}", turn) for own in owns}
    return placed
