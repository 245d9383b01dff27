"""Tensors of gRPC messages: ``TensorProto`` and NumPy arrays, without TensorFlow.

A dtype's name is that of the REST metadata: "float", "double", "half", "int32", "string", "bool", ...
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from exporter.client.messages import CORE, enum_name


class _Kind(NamedTuple):
    """How a dtype travels: the NumPy dtype of its elements (little endian), and the field of typed values."""

    numpy: str
    field: str


_KINDS: dict[str, _Kind] = {
    "float": _Kind("<f4", "float_val"),
    "double": _Kind("<f8", "double_val"),
    "half": _Kind("<f2", "half_val"),
    "bfloat16": _Kind("<u2", "half_val"),  # the upper half of a float32; NumPy has no such type
    "int8": _Kind("i1", "int_val"),
    "uint8": _Kind("u1", "int_val"),
    "int16": _Kind("<i2", "int_val"),
    "uint16": _Kind("<u2", "int_val"),
    "int32": _Kind("<i4", "int_val"),
    "int64": _Kind("<i8", "int64_val"),
    "uint32": _Kind("<u4", "uint32_val"),
    "uint64": _Kind("<u8", "uint64_val"),
    "bool": _Kind("?", "bool_val"),
}
_BY_NUMPY = {np.dtype(kind.numpy): name for name, kind in _KINDS.items() if name != "bfloat16"}


def dtype_name(message: Any) -> str:
    """The name of a message's ``dtype``: "float", "invalid", or the number of an unknown one."""
    return enum_name(message, "dtype").removeprefix("DT_").lower()


def to_proto(value: Any, dtype: str | None = None) -> Any:
    """A ``TensorProto`` of nested lists or an array.

    Args:
      value: text, bytes, numbers or booleans; every row of one length.
      dtype: what the signature takes; None: as the values are, Python's integers int32, its floats float32.

    Raises:
      ValueError: the values have no such dtype, or rows differ in length.
    """
    if dtype is None:
        dtype = _natural_dtype(value)
    if dtype == "string":
        array = _array(value, object)
        return _message(dtype, array.shape, string_val=[_bytes(leaf) for leaf in array.flat])
    if dtype not in _KINDS:
        raise ValueError(f"dtype {dtype} cannot be sent; can be: string, {', '.join(_KINDS)}")
    numbers = _numbers(value, dtype)
    return _message(dtype, numbers.shape, tensor_content=numbers.tobytes())


def from_proto(proto: Any) -> np.ndarray:
    """The array of a message; strings are ``bytes`` objects, bfloat16 becomes float32.

    Raises:
      ValueError: a dtype that has no array, or values that do not fill the shape.
    """
    dtype = dtype_name(proto)
    shape = tuple(int(dim.size) for dim in proto.tensor_shape.dim)
    if dtype == "string":
        values = np.empty(len(proto.string_val), object)
        values[:] = list(proto.string_val)
        return _filled(values, shape)
    if dtype not in _KINDS:
        raise ValueError(f"dtype {dtype} has no array")
    kind = _KINDS[dtype]
    if proto.tensor_content:
        flat = np.frombuffer(proto.tensor_content, kind.numpy)
    elif dtype == "half":  # typed values of 16-bit floats are their bits
        flat = np.asarray(proto.half_val, np.uint16).view(kind.numpy)
    else:
        flat = np.asarray(getattr(proto, kind.field), kind.numpy)
    if dtype == "bfloat16":
        flat = (flat.astype("<u4") << 16).view("<f4")
    return _filled(flat, shape)


def _filled(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Typed values may be fewer than the elements: the last one, or the type's zero, stands for the rest."""
    count = int(np.prod(shape, dtype=np.int64))
    if min(shape, default=0) < 0 or len(flat) > count:
        raise ValueError(f"{len(flat)} values for shape {list(shape)}")
    if len(flat) < count:
        zero = np.full(1, b"", object) if flat.dtype == object else np.zeros(1, flat.dtype)
        last = flat[-1:] if len(flat) else zero
        flat = np.concatenate([flat, np.repeat(last, count - len(flat))])
    return flat.reshape(shape)


def _message(dtype: str, shape: tuple[int, ...], **content: Any) -> Any:
    proto = CORE.new("TensorProto", dtype=f"DT_{dtype.upper()}", **content)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def _array(value: Any, dtype: Any = None) -> np.ndarray:
    try:
        return np.asarray(value, dtype)
    except ValueError:
        raise ValueError("rows of different lengths") from None


def _natural_dtype(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic) and value.dtype in _BY_NUMPY:
        return _BY_NUMPY[value.dtype]
    if any(isinstance(leaf, str | bytes) for leaf in _array(value, object).flat):
        return "string"
    kind = _array(value).dtype
    natural = {"b": "bool", "i": "int32", "f": "float"}
    if kind.kind not in natural:
        raise ValueError(f"values of NumPy dtype {kind} are no tensor")
    return natural[kind.kind]


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode("utf-8", "surrogateescape")
    if isinstance(leaf, bytes):
        return leaf
    raise ValueError(f"a string is needed, got {leaf!r}")


def _numbers(value: Any, dtype: str) -> np.ndarray:
    """The elements of a number's or boolean's tensor; no integer may change on the way."""
    wanted = np.dtype("<f4" if dtype == "bfloat16" else _KINDS[dtype].numpy)
    given = _array(value)
    if given.dtype.kind in "fO" and all(type(leaf) is int for leaf in _array(value, object).flat):
        given = _array(value, object)  # Python's integers, which NumPy makes floats where int64 is too small
    elif given.dtype.kind not in {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}[wanted.kind]:
        raise ValueError(f"{dtype} is needed, got {value!r:.200}")
    try:
        cast = given.astype(wanted)
    except OverflowError:
        cast = np.empty(0, wanted)
    if wanted.kind in "iu" and not np.array_equal(cast, given):
        raise ValueError(f"a value does not fit into {dtype}: {value!r:.200}")
    return (cast.view("<u4") >> 16).astype("<u2") if dtype == "bfloat16" else cast
