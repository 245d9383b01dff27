"""GPTQ and AWQ: whole numbers of a few bits in words of 32, with a scale and a zero point per group.

GPTQ (Frantar et al. 2022), as AutoGPTQ and GPTQModel store it: ``qweight`` [in * bits / 32, out] packed along
its inputs, ``qzeros`` [groups, out * bits / 32], ``scales`` [groups, out], ``g_idx`` [in], the group of each
input. The first version of the format stores zero points less one, modulo 2 ** bits.

AWQ (Lin et al. 2023), version GEMM of AutoAWQ: ``qweight`` [in, out / 8] packed along its outputs, each eight
in the order 0, 2, 4, 6, 1, 3, 5, 7; ``qzeros`` [groups, out / 8] in the same order, ``scales`` [groups, out].

Both libraries compute (q - zero) * scale in the type of the scales, which holds every difference exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint.quantised.modules import (
    WORDS,
    Layout,
    Note,
    Parts,
    Tensors,
    dequantised,
    groups_of,
    misfit,
    must_be,
    replaced,
    unpacked,
)
from exporter.checkpoint.tensor import StoredTensor

Array = npt.NDArray[Any]
_SCALES = frozenset({"F16", "BF16", "F32"})
#: Numbers that are widened at a time.
_AT_ONCE = 1 << 20
#: Where the eight values of a word of AWQ are, the lowest four bits counted as the first.
_AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)


def gptq_problem(config: Mapping[str, Any]) -> str | None:
    """What of a configuration of GPTQ cannot be read."""
    if config.get("bits") not in (2, 3, 4, 8):
        return f"bits={config.get('bits')!r} must be 2, 3, 4 or 8"
    if not _is_group(config.get("group_size", 128)):
        return f"group_size={config.get('group_size')!r} must be above 0, or -1 for one group"
    if config.get("checkpoint_format", "gptq") not in ("gptq", "gptq_v2"):
        return f"checkpoint_format={config['checkpoint_format']!r} must be 'gptq' or 'gptq_v2'"
    if config.get("dynamic"):
        return "dynamic gives layers other settings, which is not built"
    if config.get("pack_dtype") not in (None, "int32"):
        return f"pack_dtype={config['pack_dtype']!r} must be 'int32'"
    return None


def awq_problem(config: Mapping[str, Any]) -> str | None:
    """What of a configuration of AWQ cannot be read."""
    bits, group = (
        config.get("bits", config.get("w_bit")),
        config.get("group_size", config.get("q_group_size")),
    )
    if bits not in (None, 4):
        return f"bits={bits!r} must be 4"
    if not _is_group(128 if group is None else group):
        return f"group_size={group!r} must be above 0, or -1 for one group"
    if str(config.get("version", config.get("format", "gemm"))).lower() != "gemm":
        return f"version={config.get('version', config.get('format'))!r} must be 'gemm'"
    if config.get("zero_point", True) is not True:
        return "zero_point must be true"
    return None


def _is_group(size: Any) -> bool:
    return type(size) is int and (size > 0 or size == -1)


def gptq(tensors: Tensors, config: Mapping[str, Any], note: Note) -> Tensors:
    """Every weight of GPTQ as numbers."""
    bits, size = config["bits"], config.get("group_size", 128)
    less_one = config.get("checkpoint_format", "gptq") == "gptq"
    layout = Layout("qweight", ("qzeros", "scales"), ("g_idx",))
    return replaced(
        tensors,
        layout,
        lambda module, parts: _gptq_weight(module, parts, bits, size, less_one=less_one),
        note,
    )


def _gptq_weight(module: str, parts: Parts, bits: int, size: int, *, less_one: bool) -> StoredTensor:
    words, zeros, scales = (parts[name] for name in ("qweight", "qzeros", "scales"))
    _must_be_packed(module, parts)
    inputs, outputs = words.shape[0] * 32 // bits, words.shape[1]
    size = inputs if size == -1 else size
    groups = scales.shape[0]
    index = parts.get("g_idx")
    packed = (groups, -(-outputs * bits // 32))
    if scales.shape != (groups, outputs) or zeros.shape != packed or groups != -(-inputs // size):
        raise misfit(module, parts, f"they are not of {bits} bits in groups of {size}")
    if index is not None and (index.shape != (inputs,) or index.dtype not in {"I32", "I64"}):
        raise misfit(module, parts, f"g_idx must name the groups of {inputs} inputs")

    def load() -> Array:
        points = unpacked(zeros.read(), bits, outputs)
        points = (points + np.uint8(1)) & np.uint8(2**bits - 1) if less_one else points
        values = unpacked(words.read().T, bits, inputs)
        return scaled(values, points.T, scales.read().T, groups_of(index, inputs, size, groups))

    return dequantised(module, f"GPTQ-{bits}", (outputs, inputs), parts, load)


def awq(tensors: Tensors, config: Mapping[str, Any], note: Note) -> Tensors:
    """Every weight of AWQ as numbers."""
    size = config.get("group_size", config.get("q_group_size")) or 128
    layout = Layout("qweight", ("qzeros", "scales"))
    return replaced(tensors, layout, lambda module, parts: _awq_weight(module, parts, size), note)


def _awq_weight(module: str, parts: Parts, size: int) -> StoredTensor:
    words, zeros, scales = (parts[name] for name in ("qweight", "qzeros", "scales"))
    _must_be_packed(module, parts)
    inputs, outputs = words.shape[0], words.shape[1] * 8
    size = inputs if size == -1 else size
    groups = -(-inputs // size)
    if scales.shape != (groups, outputs) or zeros.shape != (groups, words.shape[1]):
        raise misfit(module, parts, f"they are not of 4 bits in groups of {size}")

    def load() -> Array:
        values, points = (_awq_order(unpacked(part.read(), 4, outputs)) for part in (words, zeros))
        return scaled(values.T, points.T, scales.read().T, groups_of(None, inputs, size, groups))

    return dequantised(module, "AWQ-4", (outputs, inputs), parts, load)


def _awq_order(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """[rows, out] as packed -> as numbered."""
    return values.reshape(len(values), -1, 8)[:, :, _AWQ_PLACES].reshape(values.shape)


def _must_be_packed(module: str, parts: Parts) -> None:
    for name, dtypes in (("qweight", WORDS), ("qzeros", WORDS), ("scales", _SCALES)):
        must_be(module, parts, name, dtypes, 2)


def scaled(values: Array, points: Array | None, scales: Array, groups: npt.NDArray[np.int64]) -> Array:
    """(values - points) * scales for [out, in], with points and scales [out, groups], in the scales' type."""
    result = np.empty(values.shape, scales.dtype)
    height, width = max(1, _AT_ONCE // max(1, values.shape[1])), scales.shape[1]
    even = np.array_equal(groups, np.arange(values.shape[1]) * width // max(1, values.shape[1]))
    spread = (lambda part: part[:, :, None]) if even else (lambda part: part[:, groups, None])
    for start in range(0, len(values), height):
        band = slice(start, start + height)
        numbers = values[band].astype(np.float32)
        shaped = numbers.reshape(len(numbers), width if even else values.shape[1], -1)
        if points is not None:
            shaped -= spread(points[band].astype(np.float32))
        shaped *= spread(scales[band].astype(np.float32))
        result[band] = numbers
    return result
