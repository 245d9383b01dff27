"""Weights of bitsandbytes: eight bits with a scale per row (LLM.int8), or four with a table (NF4, FP4).

Source: ``dequantize_4bit``, ``dequantize_blockwise``, ``QuantState.from_dict`` and
``int8_vectorwise_dequant``, which transformers' ``dequantize`` calls. Weights of four bits are rounded to the
type they had; their blocks go on across rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import ml_dtypes
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
)
from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError

_STATES = ("weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4")
_NESTED = ("weight.nested_absmax", "weight.nested_quant_map")
_TYPES: dict[str, npt.DTypeLike] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
#: 1 / 127, as the library writes it.
_RECIPROCAL = np.float32(7.874015718698502e-3)


def problem(config: Mapping[str, Any]) -> str | None:
    """What of a configuration cannot be read."""
    four, eight = (config.get(key) or config.get(f"_{key}") for key in ("load_in_4bit", "load_in_8bit"))
    return None if four or eight else "neither load_in_4bit nor load_in_8bit is set"


def read(tensors: Tensors, config: Mapping[str, Any], note: Note) -> Tensors:
    """Every weight as numbers."""
    if config.get("load_in_8bit") or config.get("_load_in_8bit"):
        return replaced(tensors, Layout("SCB", ("weight",), ("weight_format",)), _eight, note)
    layouts = [
        Layout(state, ("weight", "weight.absmax", "weight.quant_map"), _NESTED)
        for state in _STATES
        if any(name.endswith(state) for name in tensors)
    ]
    for layout in layouts or [Layout(_STATES[0], ())]:
        tensors = replaced(tensors, layout, _four, note)
    return tensors


def _eight(module: str, parts: Parts) -> StoredTensor:
    weight, scales = parts["weight"], parts["SCB"]
    must_be(module, parts, "weight", {"I8"}, 2)
    must_be(module, parts, "SCB", {"F32"})
    layout = parts.get("weight_format")
    if scales.size != weight.shape[0] or (layout is not None and layout.read().any()):
        raise misfit(module, parts, "weight must lie in rows, with a number in SCB for each")

    def load() -> npt.NDArray[Any]:
        values = weight.read().astype(np.float32)
        values *= scales.read().reshape(-1, 1)
        values *= _RECIPROCAL
        return values

    return dequantised(module, "I8", weight.shape, parts, load)


def _four(module: str, parts: Parts) -> StoredTensor:
    state = _state(module, parts)
    shape, block = tuple(state["shape"]), state["blocksize"]
    size = math.prod(shape)
    must_be(module, parts, "weight.quant_map", {"F32"}, 1)
    nested = "nested_blocksize" in state
    must_be(module, parts, "weight.absmax", {"U8"} if nested else {"F32"}, 1)
    counts = {"weight.absmax": -(-size // block), "weight.quant_map": 16}
    if nested:
        counts |= {
            "weight.nested_absmax": -(-counts["weight.absmax"] // state["nested_blocksize"]),
            "weight.nested_quant_map": 256,
        }
    fits = all(name in parts and parts[name].size == count for name, count in counts.items())
    if not fits or parts["weight"].nbytes != -(-size // 2) or nested != (_NESTED[0] in parts):
        raise misfit(module, parts, f"they do not make a weight of {list(shape)} in blocks of {block}")

    def load() -> npt.NDArray[Any]:
        octets = parts["weight"].read().reshape(-1).view(np.uint8)
        codes = np.stack([octets >> 4, octets & 15], axis=-1).reshape(-1)[:size]
        values = parts["weight.quant_map"].read()[codes]
        values *= np.repeat(_largest(parts, state), block)[:size]
        return values.reshape(shape).astype(_TYPES[state["dtype"]])

    return dequantised(module, state["quant_type"].upper(), shape, parts, load)


def _largest(parts: Parts, state: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """The largest magnitude of each block, which may be quantised itself."""
    stored = parts["weight.absmax"].read()
    if "nested_blocksize" not in state:
        return stored.astype(np.float32)
    values = parts["weight.nested_quant_map"].read().astype(np.float32)[stored]
    values *= np.repeat(parts["weight.nested_absmax"].read(), state["nested_blocksize"])[: len(values)]
    values += np.float32(state["nested_offset"])
    return values


def _state(module: str, parts: Parts) -> dict[str, Any]:
    """The JSON object that a tensor of bytes holds."""
    tensor = next(tensor for name, tensor in parts.items() if name in _STATES)
    try:
        state = json.loads(tensor.read().tobytes().decode("utf-8"))
        numbers = [state["blocksize"], *state["shape"], state.get("nested_blocksize", 1)]
        known = state["quant_type"] in {"nf4", "fp4"} and state["dtype"] in _TYPES
        if not known or any(type(number) is not int or number < 1 for number in numbers):
            raise ValueError(f"of {state['quant_type']!r}, {state['dtype']!r} and sizes {numbers}")
        float(state.get("nested_offset", 0))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{module}: {tensor.name} is no state of bitsandbytes: {error!r}") from error
    return state  # type: ignore[no-any-return]
