"""Tensors of gRPC messages: ``TensorProto`` and NumPy arrays; dtypes in TensorFlow's spelling."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from exporter.preview.status import invalid

# The fields that TensorFlow Serving fills in its answers (Tensor::AsProtoField).
_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


def dtype_name(dtype: tf.DType) -> str:
    """TensorFlow's own spelling in messages: "float", "double", "string", "int32"."""
    return {tf.float32: "float", tf.float64: "double"}.get(dtype, dtype.name)


def from_proto(proto: Any, name: str) -> np.ndarray:
    """The array of a request's input ``name``; strings become ``bytes``.

    Raises:
      StatusError: INVALID_ARGUMENT, the message's values do not fill its shape or type.
    """
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
        field = _FIELDS[dtype]
        shape = tf.TensorShape(proto.tensor_shape).as_list()
        count = int(np.prod(shape, dtype=np.int64))
        given = len(getattr(proto, field))
        content = len(proto.tensor_content)
        # Fewer values than elements repeat the last one, but more are malformed.
        if given > count or (content and content != count * dtype.size):
            raise ValueError
        if dtype == tf.string and content:
            raise ValueError
        array = tf.make_ndarray(proto)
    except (KeyError, TypeError, ValueError):
        raise invalid(f"tensor parsing error: {name}") from None
    if dtype == tf.string and not proto.string_val:
        return np.full(shape, b"", object)
    return array.astype(object) if dtype == tf.string else array


def to_proto(array: np.ndarray) -> Any:
    """Typed fields, never ``tensor_content``: what the server sends."""
    is_string = array.dtype == object or array.dtype.kind in "SU"
    dtype = tf.string if is_string else tf.dtypes.as_dtype(array.dtype)
    if dtype not in _FIELDS:
        return tf.make_tensor_proto(array)
    proto = tf.make_tensor_proto(np.zeros(0), dtype=tf.float32)
    proto.Clear()
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    values = array.reshape(-1)
    getattr(proto, _FIELDS[dtype]).extend(values.tolist())
    return proto
