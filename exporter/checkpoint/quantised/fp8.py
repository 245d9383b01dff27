"""Weights of eight-bit floats: with a scale for a tensor, for each row, or for each block.

Source: ``Fp8Dequantize`` of transformers (integrations/finegrained_fp8.py) for the methods fp8 and mxfp8, and
``FbgemmFp8Linear`` for fbgemm_fp8. The product is taken in float32 and rounded once, to the export's type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint.quantised.modules import (
    Layout,
    Note,
    Parts,
    Tensors,
    dequantised,
    misfit,
    must_be,
    replaced,
    without_activations,
)
from exporter.checkpoint.tensor import StoredTensor

FLOATS = frozenset({"F8_E4M3", "F8_E5M2"})
_SCALES = frozenset({"F32", "BF16", "F16", "U8", "F8_E8M0"})
#: Published under either name; each is multiplied with.
_NAMES = ("weight_scale_inv", "weight_scale")


def problem(config: Mapping[str, Any]) -> str | None:
    """What of a configuration cannot be read."""
    block = config.get("weight_block_size")
    fits = isinstance(block, list) and len(block) == 2 and all(type(n) is int and n > 0 for n in block)
    return None if block is None or fits else f"weight_block_size={block!r} must be two sizes"


def read(tensors: Tensors, config: Mapping[str, Any], note: Note) -> Tensors:
    """Every weight of eight-bit floats with its scale multiplied in."""
    block = config.get("weight_block_size")
    tensors = without_activations(tensors, note)
    names = [name for name in _NAMES if any(stored.endswith(f".{name}") for stored in tensors)]
    for scale in names or _NAMES[:1]:
        tensors = replaced(
            tensors, Layout(scale, ("weight",)), lambda module, parts: _weight(module, parts, block), note
        )
    return tensors


def _weight(module: str, parts: Parts, block: list[int] | None) -> StoredTensor:
    scale = next(tensor for name, tensor in parts.items() if name != "weight")
    weight = parts["weight"]
    must_be(module, parts, "weight", FLOATS, 2)
    if scale.dtype not in _SCALES:
        raise misfit(module, parts, f"scales must be {' or '.join(sorted(_SCALES))}")
    rows, columns = blocks(module, parts, weight.shape, scale.shape, block)

    def load() -> npt.NDArray[np.float32]:
        values = weight.read().astype(np.float32)
        spread_over(values, _scales(scale), rows, columns)
        return values

    return dequantised(module, weight.dtype, weight.shape, parts, load)


def blocks(
    module: str, parts: Parts, shape: tuple[int, ...], grid: tuple[int, ...], block: list[int] | None
) -> tuple[int, int]:
    """Rows and columns that share a scale; the last block of a side may be smaller."""
    grid = (1,) * (2 - len(grid)) + grid if len(grid) < 2 else grid
    if len(shape) == 2 and len(grid) == 2 and 0 not in (*shape, *grid):
        if block and tuple(-(-side // size) for side, size in zip(shape, block, strict=True)) == grid:
            return block[0], block[1]
        if all(side % count == 0 for side, count in zip(shape, grid, strict=True)):
            return shape[0] // grid[0], shape[1] // grid[1]
    raise misfit(module, parts, "the scales do not divide the weight")


def spread_over(
    values: npt.NDArray[np.float32], scales: npt.NDArray[np.float32], rows: int, columns: int
) -> None:
    """Multiplies [out, in] in place with a scale for every block of ``rows`` x ``columns``."""
    scales = scales.reshape(-(-values.shape[0] // rows), -(-values.shape[1] // columns))
    for index, line in enumerate(scales):
        band = values[index * rows : (index + 1) * rows]
        band *= line if columns == 1 else np.repeat(line, columns)[: values.shape[1]]


def _scales(tensor: StoredTensor) -> npt.NDArray[np.float32]:
    """Exponents in a byte are powers of two with a bias of 127 (OCP Microscaling Formats 1.0, E8M0)."""
    stored = tensor.read()
    if tensor.dtype == "U8":
        return np.ldexp(np.float32(1), stored.astype(np.int32) - 127).astype(np.float32)
    return stored.astype(np.float32)
