"""The type that a version computes in: what was asked, or what the checkpoint and the target suggest."""

from __future__ import annotations

from collections import Counter
from typing import Any

from exporter.checkpoint import Checkpoint
from exporter.choices import ComputeDtype
from exporter.options import ExportOptions

#: As safetensors spells stored types; float64 is read as the nearest type that models compute in.
_STORED: dict[str, ComputeDtype] = {
    "F64": "float32",
    "F32": "float32",
    "BF16": "bfloat16",
    "F16": "float16",
}
_NAMED: dict[str, ComputeDtype] = {
    "float64": "float32",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
}
#: Sections of a config.json of several models that may name the text model's type.
_SECTIONS = ("text_config", "decoder")


def resolve_dtype(options: ExportOptions, checkpoint: Checkpoint) -> ComputeDtype:
    """The type of weights and activations in the compiled function.

    "auto" is float32 on a CPU, where half precision gains nothing. On a GPU it is the checkpoint's own, as
    transformers loads it: what config.json says, else the type that most of its stored numbers have, else
    (quantised weights, which say nothing) bfloat16.
    """
    if options.dtype != "auto":
        return options.dtype
    if options.target == "cpu":
        return "float32"
    return named_dtype(checkpoint.config) or _stored_dtype(checkpoint)


def named_dtype(config: dict[str, Any]) -> ComputeDtype | None:
    """The type that a config.json names, None where it names none that a model computes in."""
    sections = [config, *(config[key] for key in _SECTIONS if isinstance(config.get(key), dict))]
    for section in sections:
        for key in ("dtype", "torch_dtype"):
            name = str(section.get(key)).removeprefix("torch.")
            if name in _NAMED:
                return _NAMED[name]
    return None


def _stored_dtype(checkpoint: Checkpoint) -> ComputeDtype:
    if isinstance(checkpoint.config.get("quantization_config"), dict):
        return "bfloat16"
    sizes: Counter[str] = Counter()
    for tensor in checkpoint.tensors.values():
        if tensor.floating:
            sizes[tensor.dtype] += tensor.size
    return _STORED.get(sizes.most_common(1)[0][0], "bfloat16") if sizes else "float32"
