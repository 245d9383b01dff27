"""compressed-tensors (vLLM's llm-compressor): integers, packed or not, and eight-bit floats.

Source: ``decompress`` of ``PackedQuantizationCompressor`` and ``NaiveQuantizationCompressor``,
``_dequantize`` and ``unpack_from_int32``, which compute (q - zero) * scale in the type of the scales. Packed
integers are stored with half their range added; packed zero points lie along the outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint.patterns import compiles
from exporter.checkpoint.quantised.fp8 import FLOATS, blocks, spread_over
from exporter.checkpoint.quantised.modules import (
    WORDS,
    Layout,
    Note,
    Parts,
    Tensors,
    dequantised,
    misfit,
    must_be,
    replaced,
    unpacked,
    without_activations,
)
from exporter.checkpoint.quantised.packed import scaled
from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError

_FORMATS = ("pack-quantized", "int-quantized", "naive-quantized", "float-quantized")
_STRATEGIES = ("tensor", "channel", "group", "block")
_SCALES = frozenset({"F32", "BF16", "F16"})


@dataclass(frozen=True)
class Scheme:
    """How the weights of a group of modules are quantised."""

    targets: tuple[str, ...]
    bits: int
    strategy: str
    size: int
    block: list[int] | None
    symmetric: bool


def problem(config: Mapping[str, Any]) -> str | None:
    """What of a configuration cannot be read."""
    groups = config.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        return "config_groups must say how weights are quantised"
    if config.get("quantization_status", "compressed") != "compressed":
        return f"quantization_status={config['quantization_status']!r} must be 'compressed'"
    for key in ("sparsity_config", "transform_config"):
        if config.get(key):
            return f"{key} is not supported"
    for name, group in groups.items():
        if found := _group_problem(group, config.get("format")):
            return f"config_groups.{name}: {found}"
    return None


def _group_problem(group: Any, format_of_all: Any) -> str | None:
    weights = group.get("weights") if isinstance(group, dict) else None
    if not isinstance(weights, dict) or not isinstance(group.get("targets"), list):
        return "weights must say how they are quantised, targets of which modules"
    for target in map(str, group["targets"]):
        if target.startswith("re:") and not compiles(target.removeprefix("re:")):
            return f"target {target!r} is no regular expression"
    form = group.get("format") or format_of_all
    if form not in _FORMATS:
        return f"format={form!r} is not supported; known are {', '.join(_FORMATS)}"
    kind, bits, strategy = weights.get("type", "int"), weights.get("num_bits", 8), _strategy(weights)
    if strategy not in _STRATEGIES:
        return f"strategy={strategy!r} is not supported; known are {', '.join(_STRATEGIES)}"
    if (
        kind not in ("int", "float")
        or type(bits) is not int
        or not (1 <= bits <= 8 if kind == "int" else bits == 8)
    ):
        return f"type={kind!r} with num_bits={bits!r} is not supported"
    size, block = weights.get("group_size"), weights.get("block_structure")
    if strategy == "group" and not (type(size) is int and size > 0):
        return f"group_size={size!r} must be above 0"
    if strategy == "block" and not (isinstance(block, list) and [type(side) for side in block] == [int, int]):
        return f"block_structure={block!r} must be two sizes"
    return None


def _strategy(weights: Mapping[str, Any]) -> Any:
    """As the library fills it in where it is not said."""
    size = weights.get("group_size")
    inferred = "tensor" if size is None else "group" if size != -1 else "channel"
    return weights.get("strategy") or inferred


def read(tensors: Tensors, config: Mapping[str, Any], note: Note) -> Tensors:
    """Every weight as numbers."""
    schemes = [_scheme(group) for group in config["config_groups"].values()]
    tensors = without_activations(tensors, note)
    packed = Layout("weight_packed", ("weight_scale", "weight_shape"), ("weight_zero_point", "weight_g_idx"))
    plain = Layout("weight_scale", ("weight",), ("weight_zero_point",))
    if any(name.endswith(f".{packed.anchor}") for name in tensors):
        tensors = replaced(
            tensors, packed, lambda module, parts: _packed(module, parts, _of(module, schemes)), note
        )
        if not any(name.endswith(f".{plain.anchor}") for name in tensors):
            return tensors
    return replaced(tensors, plain, lambda module, parts: _plain(module, parts, _of(module, schemes)), note)


def _scheme(group: Mapping[str, Any]) -> Scheme:
    weights = group["weights"]
    return Scheme(
        targets=tuple(map(str, group["targets"])),
        bits=weights.get("num_bits", 8),
        strategy=_strategy(weights),
        size=weights.get("group_size") or 0,
        block=weights.get("block_structure"),
        symmetric=weights.get("symmetric", True),
    )


def _of(module: str, schemes: list[Scheme]) -> Scheme:
    """The group that a module is in: by its name before by its class."""
    named = [scheme for scheme in schemes if any(_is_named(module, target) for target in scheme.targets)]
    by_class = [scheme for scheme in schemes if {"Linear", "Embedding"} & set(scheme.targets)]
    if not named and not by_class:
        raise CheckpointError(f"{module}: is quantised, and no group of config_groups has it as a target")
    return (named or by_class)[0]


def _is_named(module: str, target: str) -> bool:
    if target.startswith("re:"):
        return re.match(target.removeprefix("re:"), module) is not None
    return module == target


def _packed(module: str, parts: Parts, scheme: Scheme) -> StoredTensor:
    words, scale, size = (parts[name] for name in ("weight_packed", "weight_scale", "weight_shape"))
    must_be(module, parts, "weight_packed", WORDS, 2)
    must_be(module, parts, "weight_scale", _SCALES, 2)
    must_be(module, parts, "weight_shape", {"I64", "I32"}, 1)
    if "weight_g_idx" in parts:
        raise CheckpointError(
            f"{module}: weight_g_idx: groups in the order of activations are not read by the library any more"
        )
    shape = tuple(int(side) for side in size.read())
    if len(shape) != 2 or words.shape != (shape[0], -(-shape[1] * scheme.bits // 32)):
        raise misfit(module, parts, f"weight_packed is not {list(shape)} of {scheme.bits} bits")
    half, points = np.int16(2 ** (scheme.bits - 1)), parts.get("weight_zero_point")
    groups = _columns(module, parts, shape, scheme)
    if (points is None) != scheme.symmetric or (
        points is not None and points.shape != (-(-shape[0] * scheme.bits // 32), scale.shape[1])
    ):
        raise misfit(module, parts, "zero points do not fit the scales, or symmetric")

    def load() -> npt.NDArray[Any]:
        values = unpacked(words.read(), scheme.bits, shape[1]).astype(np.int16) - half
        zeros = None
        if points is not None:
            zeros = unpacked(points.read().T, scheme.bits, shape[0]).T.astype(np.int16) - half
        return scaled(values, zeros, _rows(scale, shape[0]), groups)

    return dequantised(module, f"INT{scheme.bits}", shape, parts, load)


def _plain(module: str, parts: Parts, scheme: Scheme) -> StoredTensor:
    weight, scale, points = parts["weight"], parts["weight_scale"], parts.get("weight_zero_point")
    must_be(module, parts, "weight", FLOATS | {"I8"}, 2)
    must_be(module, parts, "weight_scale", _SCALES)
    if points is not None and points.shape != scale.shape:
        raise misfit(module, parts, "zero points do not fit the scales")
    if scheme.strategy == "block":
        if points is not None:
            raise misfit(module, parts, "zero points of blocks are not built")
        rows, columns = blocks(module, parts, weight.shape, scale.shape, scheme.block)
        return dequantised(
            module, weight.dtype, weight.shape, parts, lambda: _blockwise(weight, scale, rows, columns)
        )
    groups = _columns(module, parts, weight.shape, scheme)
    height = weight.shape[0]

    def load() -> npt.NDArray[Any]:
        zeros = None if points is None else _rows(points, height)
        return scaled(weight.read(), zeros, _rows(scale, height), groups)

    return dequantised(module, weight.dtype, weight.shape, parts, load)


def _blockwise(weight: StoredTensor, scale: StoredTensor, rows: int, columns: int) -> npt.NDArray[Any]:
    values, scales = weight.read().astype(np.float32), scale.read()
    spread_over(values, scales.astype(np.float32), rows, columns)
    return values.astype(scales.dtype)


def _columns(module: str, parts: Parts, shape: tuple[int, ...], scheme: Scheme) -> npt.NDArray[np.int64]:
    """The scale's column for each of the weight's; scales are checked against the strategy."""
    scale, size = parts["weight_scale"], scheme.size
    fits = {
        "tensor": scale.size == 1,
        "channel": scale.size == shape[0],
        "group": bool(size) and shape[1] % size == 0 and scale.shape == (shape[0], shape[1] // size),
    }
    if not fits.get(scheme.strategy, False):
        raise misfit(module, parts, f"the scales are not those of {scheme.strategy!r}")
    return np.arange(shape[1]) // (size if scheme.strategy == "group" else shape[1])


def _rows(tensor: StoredTensor, rows: int) -> npt.NDArray[Any]:
    """[rows, groups], where a tensor may hold one number for all rows."""
    values = tensor.read()
    return np.broadcast_to(values.reshape(1, 1), (rows, 1)) if values.size == 1 else values.reshape(rows, -1)
