"""REST answers: tensors to JSON, printed as TensorFlow Serving prints them (json_tensor.cc).

Row form answers "predictions", columnar form "outputs"; a single output drops its name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from exporter.preview.status import invalid


def format_predict(tensors: Mapping[str, np.ndarray], *, row_format: bool) -> bytes:
    """The body of an answer, with the keys in the order of their names."""
    if not tensors:
        raise invalid("Cannot convert empty tensor map to JSON")
    ordered = dict(sorted(tensors.items()))
    if not row_format:
        columns = {name: _values(name, array) for name, array in ordered.items()}
        return _object("outputs", _single_or_object(columns))
    size = 0
    for name, array in ordered.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if array.shape[0] < 1:
            raise invalid(f"Tensor name: {name} has invalid batch size: {array.shape[0]}")
        if size not in (0, array.shape[0]):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {size}"
            )
        size = array.shape[0]
    rows = [
        _single_or_object({name: _values(name, array[row]) for name, array in ordered.items()})
        for row in range(size)
    ]
    return _object("predictions", "[" + ", ".join(rows) + "\n    ]")


def _single_or_object(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts.values()))
    members = ",\n".join(f"            {json.dumps(name)}: {text}" for name, text in texts.items())
    return "{\n" + members + "\n        }"


def _object(key: str, text: str) -> bytes:
    return f'{{\n    "{key}": {text}\n}}'.encode("utf-8", "surrogateescape")


def _values(name: str, array: Any) -> str:
    if isinstance(array, np.ndarray) and array.ndim:
        return "[" + ", ".join(_values(name, element) for element in array) + "]"
    value = array[()] if isinstance(array, np.ndarray) else array
    if isinstance(value, bytes):
        return _format_string(name, value)
    if isinstance(value, np.floating):
        return format_decimal(value)
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return str(int(value))


def _format_string(name: str, value: bytes) -> str:
    if name.endswith("_bytes"):
        return '{"b64": "' + base64.b64encode(value).decode() + '"}'
    # Bytes that are not UTF-8 go out as they are, as the server's writer sends them.
    return json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)


def format_decimal(value: np.floating[Any]) -> str:
    """A float as the server prints it: six digits where they come back to the same value, else all of them.

    0.5 -> "0.5", 3 -> "3.0", 1/3 (float32) -> "0.333333343", 9e6 -> "9e+06", inf -> "Infinity".
    """
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = f"{float(value):.6g}"
    if value.dtype.type(text) != value:
        text = f"{float(value):.{9 if value.dtype == np.float32 else 17}g}"
    return text if "." in text or "e" in text else text + ".0"
