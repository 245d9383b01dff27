"""Joint experts that a checkpoint may store either way, [experts, out, in] or [experts, in, out]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exporter.checkpoint import StoredTensor
from exporter.checkpoint.tensor import LazyTensor
from exporter.families.names import Names
from exporter.families.parts import Part


def turned_experts(
    tensors: Mapping[str, StoredTensor], names: Names, parts: Iterable[Part]
) -> Mapping[str, StoredTensor]:
    """``tensors`` with experts as ``parts`` ask for them; equal axes stay as they are."""
    if not names.experts_either_way:
        return tensors
    wanted = {part.name: part.shape for part in parts if part.name.endswith(names.experts[1:])}
    return {
        name: _turned(tensor) if _swapped(tensor.shape, wanted.get(name)) else tensor
        for name, tensor in tensors.items()
    }


def _swapped(shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> bool:
    return wanted is not None and shape != wanted and shape == (wanted[0], wanted[2], wanted[1])


def _turned(tensor: StoredTensor) -> LazyTensor:
    experts, one, other = tensor.shape
    return LazyTensor(
        tensor.name,
        tensor.dtype,
        (experts, other, one),
        tensor.path,
        tensor.nbytes,
        lambda: tensor.read().swapaxes(1, 2),
    )
