"""Weights in MXFP4: blocks of 32 four-bit floats that share a power of two.

Source: OCP Microscaling Formats specification 1.0, section 5.3.1 (E2M1 elements, E8M0 scales). Stored as in
gpt-oss's checkpoints: ``NAME_blocks`` uint8 [experts, out, in / 32, 16], the even column in a byte's lower
half, and ``NAME_scales`` uint8 [experts, out, in / 32]; the exponent's bias is 127.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError

BLOCKS, SCALES = "_blocks", "_scales"
_BIAS = 127
_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_VALUES = np.array([*_MAGNITUDES, *(-value for value in _MAGNITUDES)], np.float32)


@dataclass(frozen=True)
class Mxfp4Tensor(StoredTensor):
    """Two stored tensors as the one that they stand for: [experts, in, out]."""

    blocks: StoredTensor
    scales: StoredTensor

    def read(self) -> npt.NDArray[Any]:
        """bfloat16, which holds every value exactly."""
        result = np.empty(self.shape, ml_dtypes.bfloat16)
        blocks, scales = self.blocks.read(), self.scales.read()
        for expert, (packed, exponents) in enumerate(zip(blocks, scales, strict=True)):
            # [out, in / 32, 16] -> [out, in / 32, 32] -> [out, in]
            values = np.stack([_VALUES[packed & 15], _VALUES[packed >> 4]], axis=-1).reshape(
                *exponents.shape, 32
            )
            scaled = np.ldexp(values, exponents.astype(np.int32)[..., None] - _BIAS)
            result[expert] = scaled.reshape(len(packed), -1).T.astype(ml_dtypes.bfloat16)
        return result


def with_whole_tensors(tensors: Mapping[str, StoredTensor]) -> Mapping[str, StoredTensor]:
    """The tensors with every pair of blocks and scales replaced by what they stand for.

    Raises:
      CheckpointError: blocks without scales of their shape.
    """
    whole: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(BLOCKS) and name.removesuffix(BLOCKS) + SCALES in tensors:
            joint = _joined(tensor, tensors[name.removesuffix(BLOCKS) + SCALES])
            whole[joint.name] = joint
        elif not (name.endswith(SCALES) and name.removesuffix(SCALES) + BLOCKS in tensors):
            whole[name] = tensor
    return whole


def _joined(blocks: StoredTensor, scales: StoredTensor) -> Mxfp4Tensor:
    packed = blocks.dtype == scales.dtype == "U8" and len(blocks.shape) == 4 and blocks.shape[-1] == 16
    if not packed or blocks.shape[:-1] != scales.shape:
        raise CheckpointError(
            f"{blocks.path}: {blocks.name} {blocks.dtype}{list(blocks.shape)} and {scales.name} "
            f"{scales.dtype}{list(scales.shape)} are not MXFP4: U8 [experts, out, in / 32, 16] and "
            "[experts, out, in / 32]"
        )
    experts, outputs, groups, _ = blocks.shape
    return Mxfp4Tensor(
        name=blocks.name.removesuffix(BLOCKS),
        dtype="MXFP4",
        shape=(experts, groups * 32, outputs),
        path=blocks.path,
        nbytes=blocks.nbytes + scales.nbytes,
        blocks=blocks,
        scales=scales,
    )
