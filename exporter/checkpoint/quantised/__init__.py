"""Quantised checkpoints: each weight as the numbers that it stands for, computed when it is read.

A method is a pair: what of its configuration cannot be read, and the tensors with every quantised weight in
its place. What is stored for activations is passed over: they are not quantised, as in a model that
transformers dequantises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from exporter.checkpoint.quantised import bitsandbytes, compressed_tensors, fp8, mxfp4, packed
from exporter.checkpoint.quantised.modules import Dequantised, Note, Tensors

__all__ = ["Dequantised", "dequantised", "problem"]


class Method(NamedTuple):
    """How one method's checkpoints are read."""

    problem: Callable[[Mapping[str, Any]], str | None]
    read: Callable[[Tensors, Mapping[str, Any], Note], Tensors]


METHODS = {
    "awq": Method(packed.awq_problem, packed.awq),
    "bitsandbytes": Method(bitsandbytes.problem, bitsandbytes.read),
    "compressed-tensors": Method(compressed_tensors.problem, compressed_tensors.read),
    "fbgemm_fp8": Method(fp8.problem, fp8.read),
    "fp8": Method(fp8.problem, fp8.read),
    "gptq": Method(packed.gptq_problem, packed.gptq),
    "mxfp8": Method(fp8.problem, fp8.read),
}
#: Read for the one family whose experts are published so, and asked for by its reader.
_MXFP4 = "mxfp4"


def problem(config: Any) -> str | None:
    """Why weights with this ``quantization_config`` cannot be read; None where they can."""
    if not isinstance(config, dict):
        return f"must be an object, not {type(config).__name__}"
    name = _name(config)
    if name not in METHODS:
        return (
            f"the weights are quantised with quant_method={name!r}, which is not read (known are "
            f"{', '.join(METHODS)}); export the unquantised checkpoint"
        )
    found = METHODS[name].problem(config)
    return found and f"the weights are quantised with {name}: {found}; export the unquantised checkpoint"


def dequantised(tensors: Tensors, config: Any, note: Note) -> Tensors:
    """``tensors`` with every quantised weight in its place; as they are where there is a ``problem``.

    Raises:
      CheckpointError: tensors that do not fit the configuration.
    """
    if not isinstance(config, dict):
        return tensors
    name = _name(config)
    if name == _MXFP4:
        return mxfp4.with_whole_tensors(tensors)
    if problem(config):
        return tensors
    return METHODS[name].read(tensors, config, lambda line: note(f"{name}: {line}"))


def _name(config: Mapping[str, Any]) -> str:
    """The method; old configurations of bitsandbytes do not name theirs."""
    old = "bitsandbytes" if config.get("load_in_4bit") or config.get("load_in_8bit") else None
    return str(config.get("quant_method") or old)
