"""REST requests: JSON to tensors, with TensorFlow Serving's rules and messages (json_tensor.cc).

A tensor is a NumPy array; strings are ``bytes`` in an object array. Row form ("instances") holds one element
per row, columnar form ("inputs") one value per input; a single input needs no name.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.preview.status import StatusError, invalid

Tensors = dict[str, np.ndarray]

_INTEGERS = {
    "int8": (-(2**31), 2**31 - 1),  # the server range-checks the small types as int32
    "uint8": (-(2**31), 2**31 - 1),
    "int16": (-(2**31), 2**31 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_MANTISSA = {"float": 24, "double": 53}
NUMPY_TYPES = {"float": np.float32, "double": np.float64, "bool": np.bool_, "string": np.object_} | {
    name: np.dtype(name).type for name in _INTEGERS
}
# Python's parser says it in other words than the server's.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting ',' delimiter": "Missing a comma or } after an object member.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Extra data": "The document root must not be followed by other values.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_MISSING = object()


@dataclass(frozen=True)
class Input:
    """What a signature says of one input: its dtype in TensorFlow's spelling ("float", "string", ...)."""

    dtype: str


@dataclass(frozen=True)
class PredictBody:
    """A parsed predict request."""

    signature: str
    tensors: Tensors
    row_format: bool


def parse_document(body: bytes) -> dict[str, Any]:
    """The JSON object of a request; its strings may hold raw bytes as surrogate escapes.

    The server does not check the encoding of strings: invalid UTF-8 reaches the graph as it came.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        text, raw = body.decode("utf-8"), False
    except UnicodeDecodeError:
        text, raw = body.decode("utf-8", "surrogateescape"), True
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        message = "The document is empty." if not text.strip() else _PARSE_ERRORS.get(error.msg, error.msg)
        offset = len(text[: error.pos].encode("utf-8", "surrogateescape"))
        raise invalid(f"JSON Parse error: {message} at offset: {offset}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Terminate parsing due to Handler error.") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_show(document)} Is not object")
    if not raw and "\\u" in text and _LONE_SURROGATE.search(json.dumps(document, ensure_ascii=False)):
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """The request's signature, or an empty string."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_show(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def parse_predict(document: Mapping[str, Any], inputs: Mapping[str, Input]) -> PredictBody:
    """Fills the tensors of a signature's ``inputs``."""
    signature = signature_name(document)
    if not inputs:
        raise invalid(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    instances, columns = document.get("instances", _MISSING), document.get("inputs", _MISSING)
    if instances is not _MISSING and columns is not _MISSING:
        raise invalid(
            f"JSON Value: {_show(document)} Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    if instances is not _MISSING:
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {_show(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {_show(document)} No values in 'instances' array")
        return PredictBody(signature, _rows(instances, inputs), row_format=True)
    if columns is not _MISSING:
        return PredictBody(signature, _columns(columns, inputs), row_format=False)
    raise invalid("Missing 'inputs' or 'instances' key")


def _rows(instances: list[Any], inputs: Mapping[str, Input]) -> Tensors:
    """One element per row: a value where the signature has one input, else an object of all inputs."""
    if not isinstance(instances[0], dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as "
            "per tensorinfo_map"
        )
    objects = _is_object(instances[0])
    names = sorted(inputs)
    rows: dict[str, list[np.ndarray]] = {}
    for index, element in enumerate(instances):
        if objects and not _is_object(element):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if not objects and _is_object(element):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        for name, value in (element if objects else {names[0]: element}).items():
            where = f"element: {index} key: {name}" if objects else f"element: {index}"
            try:
                _add_row(rows, name, value, inputs)
            except StatusError as error:
                raise invalid(f"Failed to process {where} of 'instances' list. Error: {error}") from None
        if objects and sorted(element) != names:
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: {_show(element)} "
                f"keys must be equal to: {','.join(names)}"
            )
    return {name: np.stack(values) for name, values in rows.items()}


def _add_row(rows: dict[str, list[np.ndarray]], name: str, value: Any, inputs: Mapping[str, Input]) -> None:
    if name not in inputs:
        raise invalid(f"JSON object: does not have named input: {name}")
    row = _tensor(value, inputs[name].dtype)
    first = rows.setdefault(name, [row])[0]
    if first is row:
        return
    if first.size != row.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {row.size}")
    if first.shape != row.shape:
        raise invalid(f"Expecting shape {_shape(first)} but got: {_shape(row)}")
    rows[name].append(row)


def _columns(value: Any, inputs: Mapping[str, Input]) -> Tensors:
    if not _is_object(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as "
                "per tensorinfo_map"
            )
        name, only = next(iter(inputs.items()))
        return {name: _tensor(value, only.dtype)}
    tensors = {}
    for name, info in sorted(inputs.items()):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        tensors[name] = _tensor(value[name], info.dtype)
    return tensors


def _tensor(value: Any, dtype: str) -> np.ndarray:
    """A dense tensor of nested lists; the first element of each list fixes the shape."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    values: list[Any] = []
    _fill(value, 0, shape, dtype, values)
    array: np.ndarray = np.empty(len(values), NUMPY_TYPES[dtype])
    array[:] = values
    return array.reshape(shape)


def _fill(value: Any, level: int, shape: list[int], dtype: str, values: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        values.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _fill(element, level + 1, shape, dtype, values)


def _scalar(value: Any, dtype: str) -> Any:
    if dtype not in NUMPY_TYPES:
        raise invalid(f"Conversion of JSON Value: {_show(value)} to type: {dtype}")
    if dtype == "string":
        return _string(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype in _MANTISSA and number:
        return _decimal(value, dtype)
    if dtype == "bool" and isinstance(value, bool):
        return value
    if dtype in _INTEGERS and number and isinstance(value, int):
        low, high = _INTEGERS[dtype]
        if low <= value <= high:
            return np.array(value).astype(NUMPY_TYPES[dtype])[()]
    raise invalid(f"JSON Value: {_show(value)} Type: {_json_type(value)} is not of expected type: {dtype}")


def _decimal(value: float, dtype: str) -> float:
    """Integers must fit the mantissa, decimals the range."""
    lossless = (
        abs(value) <= 2 ** _MANTISSA[dtype] - 1
        if isinstance(value, int)
        else not math.isfinite(value) or abs(value) <= float(np.finfo(NUMPY_TYPES[dtype]).max)
    )
    if not lossless:
        raise invalid(f"Cannot convert JSON value: {_show(value)} to {dtype} without loss of precision.")
    return value


def _string(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {_show(value)} Type: {_json_type(value)} is not of expected type: string")
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_show(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _json_type(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    for kind, name in ((dict, "Object"), (list, "Array"), (str, "String")):
        if isinstance(value, kind):
            return name
    return "Number"


def _show(value: Any) -> str:
    """A JSON value inside a message."""
    return json.dumps(value, ensure_ascii=False, indent=4).encode("utf-8", "replace").decode()


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(str(size) for size in array.shape)}]"
