"""What the methods share: finding a module's tensors, and unpacking small integers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint.tensor import LazyTensor, StoredTensor
from exporter.errors import CheckpointError, raise_all

Tensors = Mapping[str, StoredTensor]
Parts = Mapping[str, StoredTensor]
Note = Callable[[str], None]

#: Whole numbers that are packed.
WORDS = frozenset({"I32", "U32"})
#: Scales of activations and of keys and values: of the arithmetic that a dequantised model does without.
ACTIVATIONS = (
    *("input_scale", "input_zero_point", "input_global_scale", "activation_scale", "input_scale_ub"),
    *("output_scale", "output_zero_point", "k_scale", "v_scale", "q_scale", "k_zero_point", "v_zero_point"),
)


@dataclass(frozen=True)
class Dequantised(LazyTensor):
    """The floating-point numbers that a module's stored tensors stand for."""

    @property
    def floating(self) -> bool:
        """Always."""
        return True


def dequantised(
    module: str, dtype: str, shape: tuple[int, ...], parts: Parts, load: Callable[[], npt.NDArray[Any]]
) -> Dequantised:
    """The weight of a module."""
    path, size = next(iter(parts.values())).path, sum(part.nbytes for part in parts.values())
    return Dequantised(f"{module}.weight", dtype, shape, path, size, load)


@dataclass(frozen=True)
class Layout:
    """The names under a quantised module.

    Attributes:
      anchor: the tensor that makes a module a quantised one.
      needed, perhaps: the others, and those that some modules lack.
    """

    anchor: str
    needed: tuple[str, ...]
    perhaps: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """All of them."""
        return (self.anchor, *self.needed, *self.perhaps)


def replaced(
    tensors: Tensors, layout: Layout, make: Callable[[str, Parts], StoredTensor], note: Note
) -> dict[str, StoredTensor]:
    """``tensors``, with each module's parts as the one weight that ``make`` makes of them.

    Raises:
      CheckpointError: every module that lacks a part, and everything that ``make`` has against the others.
    """
    result = dict(tensors)
    problems, count = list[str](), 0
    for name in [name for name in tensors if name.endswith(f".{layout.anchor}")]:
        module = name.removesuffix(f".{layout.anchor}")
        parts = {part: tensors[f"{module}.{part}"] for part in layout.parts if f"{module}.{part}" in tensors}
        if missing := [part for part in layout.needed if part not in parts]:
            problems.append(f"{module}: has {layout.anchor}, but no {' and no '.join(missing)}")
            continue
        try:
            weight = make(module, parts)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for part in parts:
            del result[f"{module}.{part}"]
        result[weight.name] = weight
        count += 1
    raise_all(
        CheckpointError, f"{_where(tensors)}: the quantised tensors do not fit their config.json:", problems
    )
    if not count:
        raise CheckpointError(f"{_where(tensors)}: config.json says that weights are quantised, and none is")
    note(f"{count} weights are dequantised")
    return result


def without_activations(tensors: Tensors, note: Note) -> dict[str, StoredTensor]:
    """``tensors`` without what only quantised activations need; which is noted."""
    left = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[2] not in ACTIVATIONS}
    if len(left) < len(tensors):
        note(
            f"{len(tensors) - len(left)} scales of activations are passed over: activations are not "
            "quantised, as in a model that transformers dequantises"
        )
    return left


def misfit(module: str, parts: Parts, what: str) -> CheckpointError:
    """A module whose parts cannot be read together."""
    shown = ", ".join(f"{part} {tensor.dtype}{list(tensor.shape)}" for part, tensor in parts.items())
    return CheckpointError(f"{module}: {what}: {shown}")


def must_be(
    module: str, parts: Parts, name: str, dtypes: Collection[str], dimensions: int | None = None
) -> None:
    """Raises CheckpointError for a part of another type, or with another number of dimensions."""
    part = parts[name]
    if part.dtype not in dtypes or dimensions not in (None, len(part.shape)):
        axes = "" if dimensions is None else f" of {dimensions} dimensions"
        raise misfit(module, parts, f"{name} must be {' or '.join(sorted(dtypes))}{axes}")


def unpacked(words: npt.NDArray[Any], bits: int, count: int) -> npt.NDArray[np.uint8]:
    """[rows, words] of 32 bits -> [rows, count] of ``bits`` bits each, the lowest first, across words."""
    rows = len(words)
    octets = np.ascontiguousarray(words).astype("<u4", copy=False).view(np.uint8).reshape(rows, -1)
    if bits == 8:
        return octets[:, :count]
    if bits in {2, 4}:
        values = np.empty((*octets.shape, 8 // bits), np.uint8)
        for place in range(8 // bits):
            values[:, :, place] = (octets >> np.uint8(place * bits)) & np.uint8(2**bits - 1)
        return values.reshape(rows, -1)[:, :count]
    separate = np.unpackbits(octets, axis=1, bitorder="little")[:, : count * bits].reshape(rows, count, bits)
    return (separate << np.arange(bits, dtype=np.uint8)).sum(axis=-1, dtype=np.uint8)


def groups_of(index: StoredTensor | None, columns: int, size: int, count: int) -> npt.NDArray[np.int64]:
    """Which group each column is of; ``index`` says so where columns were ordered by their activations."""
    if index is None:
        return np.arange(columns) // size
    groups = index.read().astype(np.int64)
    if groups.size and not 0 <= groups.min() <= groups.max() < count:
        raise CheckpointError(f"{index.path}: {index.name} names groups that are not there; fetch it again")
    return groups


def _where(tensors: Tensors) -> Path | str:
    return next((tensor.path.parent for tensor in tensors.values()), "the checkpoint")
